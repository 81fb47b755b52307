"""iptables as later releases of Debian have it, to be run beside the machine's own.

Nothing is installed. apt fetches the packages of a suite from the machine's own mirror, with lists
of its own, and checks Debian's signatures. What reads and writes rules has its digest pinned here,
so that a run tests what the last one did; the C library comes along as the suite has it. All of it
is unpacked in the cache, once.

`stable` suites keep their iptables; in others it is replaced, and then the error says what to pin.
"""

import hashlib
import platform
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local_cluster.cache import built, key
from local_cluster.commands import run
from local_cluster.errors import LocalClusterError
from local_cluster.images.mirror import machine_mirror
from local_cluster.progress import step

_PINNED: Final = ("iptables", "libxtables12", "libnftnl11")
_UNDERNEATH: Final = ("libc6", "libmnl0")
_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TOOLS: Final = tuple(
    f"{tool}-nft{suffix}"
    for tool in ("iptables", "ip6tables")
    for suffix in ("", "-save", "-restore")
)
_WRAPPER: Final = """\
#!/bin/sh
export XTABLES_LIBDIR={libraries}/xtables
exec {libraries}/{loader} --library-path {libraries} {program} {tool} "$@"
"""


@dataclass(frozen=True, slots=True)
class IptablesRelease:
    """iptables-nft of one suite of Debian; `digests` are the packages' SHA-256, by file name."""

    suite: str
    version: str
    digests: Mapping[str, str]

    def folder(self) -> Path:
        """Return the folder with its `iptables-nft` and the like, fetching it if it isn't cached.

        Raises:
            LocalClusterError: it can't be had, or the suite has another one by now.
        """

        def build(folder: Path) -> None:
            with step(f"fetching iptables {self.version} of Debian {self.suite} (20 MB, once)"):
                _fetch(self, folder)

        return built("iptables", key(self.suite, *self.digests.values(), _WRAPPER), build) / "tools"


RELEASES: Final = (
    IptablesRelease(
        "trixie",
        "1.8.11",
        {
            "iptables_1.8.11-2_amd64.deb": (
                "95ba166bb68a76ca1513196dd59d91e3c33b2096884c6de80406f302b18a030e"
            ),
            "iptables_1.8.11-2_arm64.deb": (
                "441a3c4b202f83cb1c2609c9eff768229ce991c2f49bea37416168028bc23e95"
            ),
            "libnftnl11_1.2.9-1_amd64.deb": (
                "1b3eae46bfb9c6ab44e404797fb45278045f926d73974a84097ad47a3e27d983"
            ),
            "libnftnl11_1.2.9-1_arm64.deb": (
                "070278465783af9f3c38a9465d3dec8ad51468a87b8c3a52f6451d4e95e08875"
            ),
            "libxtables12_1.8.11-2_amd64.deb": (
                "4de5aa59faef5e98d6ba9f5f521a915be5641f224f597862f8d29e8319e8db16"
            ),
            "libxtables12_1.8.11-2_arm64.deb": (
                "b200a559a4ae1b4ebcee4fb0fcaef6a16ef01abbe3da8887de15e800b1a6440d"
            ),
        },
    ),
    IptablesRelease(
        "forky",
        "1.8.13",
        {
            "iptables_1.8.13-1_amd64.deb": (
                "188a26c3ae2a431018ab769897f82c1ac40a25d902186f17d31f00d103a78f71"
            ),
            "iptables_1.8.13-1_arm64.deb": (
                "9baad8460eb9e4b90e0a6e873ae3675e4c7a4f1f9d0d45d742af8944e2c2272c"
            ),
            "libnftnl11_1.3.2-1_amd64.deb": (
                "409b62c0d383ae181e3550d0ec9279359856d98a449d8bce9983f69e1995dbc6"
            ),
            "libnftnl11_1.3.2-1_arm64.deb": (
                "7eaa248e2c1a7178e65801e666e2fba352e4392a91b51bb222c4a231a886fa1f"
            ),
            "libxtables12_1.8.13-1_amd64.deb": (
                "08ca0b50ecc24b84faf75716b4a7a279a5e5fb01d7a5c602fe3f473b6d9ffcb9"
            ),
            "libxtables12_1.8.13-1_arm64.deb": (
                "5a537d34894c35bc101d9e9017366d9cb4eff066ea39c8bf49b3b1959a7a5961"
            ),
        },
    ),
)
"""From the signed `Packages` lists of each suite: its newest, and that of Debian 13."""


def is_debian() -> bool:
    """Whether the machine's mirror is one of Debian, which has them; Ubuntu's has not."""
    return platform.freedesktop_os_release().get("ID") == "debian"


def _fetch(release: IptablesRelease, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            packages = _downloaded(release.suite, Path(scratch))
        except LocalClusterError as error:
            raise LocalClusterError(
                f"iptables of Debian {release.suite} can't be fetched from {machine_mirror().url}: "
                f"see that apt reaches it\n{error}"
            ) from error
        check_pins(release, {path.name: _digest(path) for path in packages})
        for package in packages:
            run(["dpkg-deb", "--extract", package, folder / "root"])
    _write_tools(folder)


def check_pins(release: IptablesRelease, fetched: Mapping[str, str]) -> None:
    """See that of each pinned package what was fetched is what is pinned.

    Raises:
        LocalClusterError: it isn't; the message says what to pin instead.
    """
    names = tuple(f"{package}_" for package in _PINNED)
    found = {name: digest for name, digest in fetched.items() if name.startswith(names)}
    if found.items() <= release.digests.items():
        return
    lines = "\n".join(f'    "{name}": "{digest}",' for name, digest in sorted(found.items()))
    raise LocalClusterError(
        f"Debian {release.suite} has other packages now than iptables {release.version}, which is "
        f"pinned in {Path(__file__).name}: see that the tests pass with them, and pin\n{lines}"
    )


def _downloaded(suite: str, scratch: Path) -> list[Path]:
    """Fetch the packages of a suite with apt, whose own lists and state stay as they are."""
    # Testing's lists expire, and a mirror may be behind; what counts is pinned.
    options = f"signed-by={_KEYRING} check-valid-until=no"
    source = scratch / "sources.list"
    source.write_text(f"deb [{options}] {machine_mirror().url} {suite} main\n")
    status = scratch / "status"
    status.touch()
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    settings = {
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": "-",
        "Dir::State": scratch / "state",
        "Dir::State::status": status,
        "Dir::Cache": scratch / "cache",
        "Acquire::Languages": "none",
        "Acquire::Retries": 3,
        "APT::Update::Error-Mode": "any",  # or else it ends well without its lists
        "APT::Sandbox::User": "root",  # the cache may be closed to apt's own user
    }
    apt = [
        "apt-get",
        *(word for item in settings.items() for word in ("-o", "=".join(map(str, item)))),
    ]
    run([*apt, "update"])
    run([*apt, "download", *_PINNED, *_UNDERNEATH], cwd=scratch)
    return sorted(scratch.glob("*.deb"))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_tools(folder: Path) -> None:
    (loader,) = (folder / "root/usr/lib").glob("*-linux-gnu*/ld-linux-*.so.*")
    tools = folder / "tools"
    tools.mkdir()
    for tool in _TOOLS:
        script = _WRAPPER.format(
            libraries=shlex.quote(str(loader.parent)),
            loader=loader.name,
            program=shlex.quote(str(folder / "root/usr/sbin/xtables-nft-multi")),
            tool=tool,
        )
        (tools / tool).write_text(script)
        (tools / tool).chmod(0o755)
