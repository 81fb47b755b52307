"""DNS queries of a pod reach the proxy, over UDP and TCP, and the proxy's own do not."""

from capture_agent.reconciling import Reconciler
from capture_api.node_captures import PodState
from capture_api.programs import Dns, Program
from kernel.pods import Pod
from unit.capture_agent.captures import capture, record

QUERIES = Program(chain_prefix="CAPTURE", dns=Dns(redirect_port=15053))

ASK = """
import os, socket
server = ("10.96.0.10", 53)
proxy = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
proxy.bind(("127.0.0.1", 15053))
stream = socket.create_server(("127.0.0.1", 15053))
os.seteuid(1337)
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
os.seteuid(0)
own.sendto(b"the proxy's own", server)
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
other.sendto(b"no query", ("10.96.0.10", 54))
query = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
query.sendto(b"query", server)
said, client = proxy.recvfrom(100)
proxy.sendto(b"answer", client)
print(said.decode(), *query.recvfrom(100))
with socket.create_connection(server) as connection, stream.accept()[0] as accepted:
    print(accepted.getsockname()[1], connection.getpeername())
"""


async def test_queries_reach_the_proxy_and_seem_to_be_answered_by_the_server(
    pod: Pod, reconciler: Reconciler
) -> None:
    """Of three datagrams the query alone arrives, and its answer has the server's address."""
    pod.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
    pod.run("ip", "link", "set", "v0", "up")
    pod.run("ip", "link", "set", "v1", "up")
    pod.run("ip", "route", "add", "default", "dev", "v0")
    after = await reconciler.capture(record(), capture(QUERIES), pod.sandbox())
    assert after.finding.state is PodState.PROGRAMMED
    assert pod.run("python3", "-c", ASK).splitlines() == [
        "query b'answer' ('10.96.0.10', 53)",
        "15053 ('10.96.0.10', 53)",
    ]
