"""Where python-iptables finds its C libraries. For its child process alone.

Left to itself the library asks ldconfig, the compiler and the linker, a dozen programs that take
many times as long as all else in a look, and loads setuptools to learn where Python's packages are.
"""

import ctypes
import ctypes.util
import sys
from typing import Final

_SONAMES: Final = {
    "c": "libc.so.6",
    "ip4tc": "libip4tc.so.2",
    "ip6tc": "libip6tc.so.2",
    "xtables": "libxtables.so.12",
}
_search: Final = ctypes.util.find_library


def tell_libraries() -> None:
    """Have the libraries found by their names; to be called before `iptc` is imported."""
    ctypes.util.find_library = _found
    # Without it, as on Python 3.12, the library asks sysconfig.
    sys.modules["distutils"] = None  # type: ignore[assignment]


def _found(name: str) -> str | None:
    """Name the file of a library, searching only if it has another name than on Debian.

    The library's own part is no library of the system: it finds that among Python's packages.
    """
    soname = _SONAMES.get(name)
    if soname is None:
        return None
    return soname if _is_there(soname) else _search(name)


def _is_there(soname: str) -> bool:
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True
