"""The API server of the cluster is found as every pod finds it."""

import ssl
from pathlib import Path

import pytest

from capture_agent.kube_errors import ApiUnavailableError, NotInClusterError
from capture_agent.service_account import TOKEN_LIFETIME, TokenFile, in_cluster

CA = """\
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUBa9B1SJOX9z9acU9PvW5GIKOeq0wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjIxNzAyMDhaGA8yMTI2MTAyOTE3MDIw
OFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJ/s
3nTiMA+VuHVqGjmYfz5WaVZAxbEg9zA34/OlfR+GT+ei5gapIDGqLxY1kc2cYd0c
kCD02apC3R5oQk/LstyjUzBRMB0GA1UdDgQWBBRL2gyolQEeR5idEyYcij7+wQFw
vDAfBgNVHSMEGDAWgBRL2gyolQEeR5idEyYcij7+wQFwvDAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIESwXTKpwVOgQN0we2utEnG6xakejXWuPcz2
Wf+g73wKAiATzkHOlXL08REzm0hKXPdmY+FdECZCff+8OT5zedfpag==
-----END CERTIFICATE-----
"""


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """The files that the kubelet mounts."""
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text(CA)
    return tmp_path


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("10.96.0.1", "https://10.96.0.1:443"),
        ("fd00::1", "https://[fd00::1]:443"),
        ("api.example", "https://api.example:443"),
    ],
)
def test_the_api_server_is_where_the_environment_says(account: Path, host: str, url: str) -> None:
    """IPv6 addresses go in brackets."""
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    server = in_cluster(environ, account)
    assert server.base_url == url
    assert server.token is not None
    assert server.token.current() == "first"


def test_the_api_server_must_prove_who_it_is(account: Path) -> None:
    """Chain and host name are checked, by rules that real clusters' authorities satisfy."""
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    tls = in_cluster(environ, account).tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname
    assert not tls.verify_flags & ssl.VERIFY_X509_STRICT
    assert len(tls.get_ca_certs()) == 1


def test_outside_a_cluster_it_says_so(account: Path) -> None:
    """Without the environment of a pod the error names what is missing."""
    with pytest.raises(NotInClusterError, match="KUBERNETES_SERVICE_HOST"):
        in_cluster({}, account)


def test_a_pod_without_a_service_account_is_told_the_remedy(tmp_path: Path) -> None:
    """A missing ca.crt names the file and the pod's field."""
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(NotInClusterError, match=r"ca\.crt.*automountServiceAccountToken"):
        in_cluster(environ, tmp_path)


def test_a_rotated_token_is_read_within_a_minute(account: Path) -> None:
    """The file is read again when what was read is a minute old, and not before."""
    now = [0.0]
    token = TokenFile(account / "token", clock=lambda: now[0])
    assert token.current() == "first"
    (account / "token").write_text("second")
    now[0] = TOKEN_LIFETIME - 1
    assert token.current() == "first"
    now[0] = TOKEN_LIFETIME
    assert token.current() == "second"


def test_a_refused_token_is_read_again_at_once(account: Path) -> None:
    """A 401 doesn't wait for the minute."""
    token = TokenFile(account / "token", clock=lambda: 0.0)
    assert token.current() == "first"
    (account / "token").write_text("second")
    token.refused()
    assert token.current() == "second"


@pytest.mark.parametrize("content", [None, "", " \n", "sché"])
def test_an_unusable_token_is_a_reason_to_try_again(tmp_path: Path, content: str | None) -> None:
    """A token that isn't there now may be there at the next attempt."""
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ApiUnavailableError, match="token"):
        TokenFile(path).current()
