"""Keys and certificates, made with openssl: the standard library can't issue any."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_cluster.commands import run

DAYS = "365"
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
# A request's default extensions differ between distributions; with this configuration, which is
# the least openssl takes, only the ones we name are there.
CONFIGURATION = "[req]\ndistinguished_name = subject\n[subject]\n"


@dataclass(frozen=True, slots=True)
class Authority:
    """The cluster's certificate authority; its files and those that it issues share a folder."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "Authority":
        """Make a new authority, `ca.crt` and `ca.key`."""
        authority = cls(folder)
        authority._request("ca", "/CN=local-cluster", ("basicConstraints=critical,CA:TRUE",))
        return authority

    def issue(self, name: str, subject: str, alternative_names: Sequence[str] = ()) -> None:
        """Write `<name>.crt` and `<name>.key` for an openssl subject such as `/CN=admin`."""
        extensions = ["basicConstraints=CA:FALSE"]
        if alternative_names:
            extensions.append(f"subjectAltName={','.join(alternative_names)}")
        signer = ("-CA", str(self.folder / "ca.crt"), "-CAkey", str(self.folder / "ca.key"))
        self._request(name, subject, extensions, signer)

    def _request(
        self, name: str, subject: str, extensions: Sequence[str], signer: Sequence[str] = ()
    ) -> None:
        files = ("-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.crt")
        added = [word for extension in extensions for word in ("-addext", extension)]
        command = ["openssl", "req", "-x509", "-config", "/dev/stdin", *KEY, "-days", DAYS]
        run([*command, "-subj", subject, *files, *added, *signer], stdin=CONFIGURATION)


def create_key(path: Path) -> None:
    """Write a private key that belongs to no certificate."""
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path])
