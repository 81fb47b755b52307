"""Who changed the rules, told from what the kernel and the cgroup say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_agent.actors import Actor, cgroup_of
from capture_nat.rule_text import MAX_READABLE

CONTAINER = "0123456789ab" + "c" * 52


@pytest.mark.parametrize(
    "cgroup",
    [
        f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{CONTAINER}.scope\n",
        f"12:pids:/x\n0::/kubepods/besteffort/pod1/{CONTAINER}\n",
        f"2:memory:/kubepods/pod1/{CONTAINER}\n0::/\n",
        f"0::/kubepods-pod1.slice:cri-containerd:{CONTAINER}\n",
    ],
)
def test_a_process_in_a_container_is_told_with_it(cgroup: str) -> None:
    """With the digits that `crictl ps` shows."""
    told = str(Actor(42, "iptables", cgroup.encode()))
    assert told == "iptables (pid 42, container 0123456789ab)"


@pytest.mark.parametrize(
    "cgroup", ["", "0::/system.slice/sshd.service\n", f"0::/{CONTAINER}/init.scope\n"]
)
def test_a_process_that_is_gone_or_on_the_node_is_told_alone(cgroup: str) -> None:
    """What is not known is left out."""
    assert str(Actor(42, "nft", cgroup.encode())) == "nft (pid 42)"


@given(comm=st.text(), cgroup=st.binary())
def test_nothing_that_a_process_calls_itself_breaks_the_status(comm: str, cgroup: bytes) -> None:
    """Printable, and no longer than a status holds."""
    told = str(Actor(42, comm, cgroup))
    assert told.isprintable()
    assert len(told) <= MAX_READABLE


def test_a_process_that_is_gone_has_no_cgroup() -> None:
    """That is no error."""
    assert cgroup_of(2**22 + 1) == b""
