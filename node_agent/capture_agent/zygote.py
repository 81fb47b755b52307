"""The zygote: keeps the capabilities that the agent gives up, and forks brokers.

Run by the agent, before it does anything else, as
``python -m capture_agent.zygote FD PARENT DEVICE INODE``: the packet socket to answer on, the
agent's PID, and the network namespace of the node, which is never entered. A process of its own
with few modules, so that a fork costs a millisecond and hardly any memory, and a broker that died
or hung is replaced at once.

Nobody outlives the agent. Its death ends the packets, and the kernel tells of it too; either way
the zygote kills its brokers with what they run, and ends. Brokers are killed by the kernel when the
zygote is; what they ran then comes to its own end.
"""

import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass, field
from typing import Final, NoReturn

from capture_agent.broker import serve
from capture_agent.broker_protocol import MAX_OUTPUT
from capture_agent.capabilities import BROKER, keep_only
from capture_agent.linux_calls import adopt_orphans, end_with
from capture_agent.zygote_protocol import FORK, NUMBER
from capture_api.node_captures import NetnsIdentity

_DYING_SECONDS: Final = 1.0
"""For what was killed to be gone. It takes longer only inside of a system call that can't end."""


@dataclass(slots=True)
class Zygote:
    """Forks and ends brokers on request; each leads a process group of what it runs."""

    agent: socket.socket
    host: NetnsIdentity
    brokers: set[int] = field(default_factory=set)
    dying: set[int] = field(default_factory=set)

    def run(self) -> None:
        """Answer requests until the agent is gone, then end every broker."""
        try:
            while request := self._received():
                self._answer(*NUMBER.unpack(request))
        finally:
            for pid in tuple(self.brokers):
                self._end(pid)

    def _received(self) -> bytes:
        try:
            return self.agent.recv(NUMBER.size)
        except ConnectionError:
            return b""

    def _answer(self, request: int) -> None:
        self.dying = {group for group in self.dying if _has_members(group)}
        with contextlib.suppress(ConnectionError):
            if request == FORK:
                self._fork()
            else:
                self._end(request)
                self.agent.send(NUMBER.pack(request))

    def _fork(self) -> None:
        try:
            agents, brokers = socket.socketpair()
        except OSError as error:
            self.agent.send(NUMBER.pack(-(error.errno or 1)))
            return
        with agents, brokers:
            try:
                pid = _forked(self, agents, brokers)
            except OSError as error:  # no process, no memory
                self.agent.send(NUMBER.pack(-(error.errno or 1)))
                return
            self.brokers.add(pid)
            socket.send_fds(self.agent, [NUMBER.pack(pid)], [agents.fileno()])

    def _end(self, pid: int) -> None:
        """Kill a broker and what it runs; until then it is a zombie at least, and has its PID."""
        if pid not in self.brokers:
            return
        self.brokers.discard(pid)
        os.killpg(pid, signal.SIGKILL)
        if not _is_gone(pid, _DYING_SECONDS):
            self.dying.add(pid)
            _say(f"broker {pid} was killed, and is not gone yet")


def _forked(zygote: Zygote, agents: socket.socket, brokers: socket.socket) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_broker(zygote, parent, agents, brokers)
    os.setpgid(pid, pid)  # here too: the next request may be to kill the group
    return pid


def _be_broker(
    zygote: Zygote, parent: int, agents: socket.socket, stream: socket.socket
) -> NoReturn:
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_with(parent, signal.SIGKILL)
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        agents.close()
        zygote.agent.close()
        with contextlib.suppress(ConnectionError):
            serve(stream, zygote.host)
    except BaseException:  # noqa: BLE001 - whatever it was, no fork may go on as a second zygote
        _say(traceback.format_exc())
        os._exit(1)
    os._exit(0)


def _is_gone(group: int, seconds: float) -> bool:
    """Wait for the end of every child in a process group."""
    deadline = time.monotonic() + seconds
    while _has_members(group):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        signal.sigtimedwait({signal.SIGCHLD}, left)
    return True


def _has_members(group: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
        return True
    return False


def _say(text: str) -> None:
    print(f"zygote: {text}", file=sys.stderr, flush=True)  # noqa: T201 - its log is the agent's


def main() -> None:
    """Be the zygote until the agent is gone."""
    fd, parent, device, inode = map(int, sys.argv[1:])
    keep_only(BROKER)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    # Our own files are sockets: this is for what the programs that brokers run print.
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_OUTPUT, MAX_OUTPUT))
    gc.collect()
    gc.freeze()  # what is there now stays shared between all forks
    with socket.socket(fileno=fd) as agent:
        # Not an exception, which could come in the midst of ending a broker.
        signal.signal(signal.SIGTERM, lambda *_: agent.shutdown(socket.SHUT_RD))
        end_with(parent, signal.SIGTERM)
        Zygote(agent, NetnsIdentity(device=device, inode=inode)).run()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


if __name__ == "__main__":
    main()
