"""Numbers of the kernel's interface: linux/netlink.h, nfnetlink.h and nf_tables.h."""

from enum import IntEnum
from typing import Final

from capture_nat.families import Family

MESSAGE_HEADER: Final = 16
"""Bytes of `struct nlmsghdr`."""
NF_HEADER: Final = MESSAGE_HEADER + 4
"""Bytes of the header and of `struct nfgenmsg` after it."""
FAMILY_OFFSET: Final = MESSAGE_HEADER
"""Where `struct nfgenmsg` has the family."""
RESOURCE: Final = slice(MESSAGE_HEADER + 2, NF_HEADER)
"""Where it has the resource: in a dump of nf_tables, the lower half of the generation."""


class MessageType(IntEnum):
    """Types of messages; those of nf_tables carry the number of their subsystem, 10."""

    ERROR = 2
    DONE = 3
    BATCH_BEGIN = 0x10
    BATCH_END = 0x11
    NEWTABLE = 0x0A00
    GETTABLE = 0x0A01
    NEWCHAIN = 0x0A03
    GETCHAIN = 0x0A04
    DELCHAIN = 0x0A05
    NEWRULE = 0x0A06
    GETRULE = 0x0A07
    DELRULE = 0x0A08
    NEWGEN = 0x0A0F
    GETGEN = 0x0A10


NFNL_SUBSYS_NFTABLES: Final = 10
NFNLGRP_NFTABLES: Final = 7
"""The multicast group of changes to rulesets."""

NLM_F_REQUEST: Final = 0x001
NLM_F_MULTI: Final = 0x002
NLM_F_ACK: Final = 0x004
NLM_F_DUMP_INTR: Final = 0x010
NLM_F_DUMP: Final = 0x300
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800


class NfFamily(IntEnum):
    """Families of nf_tables; those that a network namespace can have tables in."""

    UNSPEC = 0
    """In a dump request: every family."""
    INET = 1
    IPV4 = 2
    ARP = 3
    NETDEV = 5
    BRIDGE = 7
    IPV6 = 10

    @classmethod
    def of(cls, family: Family) -> "NfFamily":
        """The family that has the nat table which iptables or ip6tables works on."""
        return cls.IPV4 if family is Family.IPV4 else cls.IPV6


class TableAttribute(IntEnum):
    """Attributes of NEWTABLE."""

    NAME = 1
    FLAGS = 2
    USE = 3
    HANDLE = 4
    OWNER = 7


class ChainAttribute(IntEnum):
    """Attributes of NEWCHAIN and DELCHAIN."""

    TABLE = 1
    HANDLE = 2
    NAME = 3
    HOOK = 4
    POLICY = 5
    USE = 6
    TYPE = 7
    COUNTERS = 8
    USERDATA = 12


class HookAttribute(IntEnum):
    """Attributes within `ChainAttribute.HOOK`."""

    NUMBER = 1
    PRIORITY = 2


class RuleAttribute(IntEnum):
    """Attributes of NEWRULE and DELRULE."""

    TABLE = 1
    CHAIN = 2
    HANDLE = 3
    EXPRESSIONS = 4
    COMPAT = 5
    POSITION = 6
    USERDATA = 7


class CompatAttribute(IntEnum):
    """Attributes within `RuleAttribute.COMPAT`: for which protocol an xt extension checks."""

    PROTOCOL = 1
    FLAGS = 2


class GenerationAttribute(IntEnum):
    """Attributes of NEWGEN."""

    ID = 1
    PID = 2
    COMM = 3


LIST_ELEMENT: Final = 1
EXPRESSION_NAME: Final = 1
EXPRESSION_DATA: Final = 2
DATA_VALUE: Final = 1
DATA_VERDICT: Final = 2
DATA_REGISTER: Final = 1
VERDICT_REGISTER: Final = 0
BATCH_GENERATION: Final = 1
"""The attribute of BATCH_BEGIN that the kernel compares with its generation."""

TABLE_DORMANT: Final = 0x1
TABLE_OWNED: Final = 0x2
