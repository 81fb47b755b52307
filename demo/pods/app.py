"""The demo's application: answers HTTP on each port given, over IPv4 and IPv6."""

import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Answer(BaseHTTPRequestHandler):
    """Answers every GET; the `server` header shows whether a proxy passed the answer on."""

    protocol_version = "HTTP/1.1"

    def version_string(self) -> str:
        """Name ourselves in the `server` header."""
        return "app"

    def do_GET(self) -> None:
        """Say hello."""
        port = self.connection.getsockname()[1]
        body = f"hello from {sys.argv[1]}, port {port}\n".encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - http.server's
        """Keep quiet: Envoy's access log is what matters here."""


class DualStackServer(ThreadingHTTPServer):
    """Listens on every address of both families."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        """Take IPv4 connections too, whatever the system's default is."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def main() -> None:
    """Serve on every port given, until killed."""
    for port in sys.argv[2:]:
        server = DualStackServer(("::", int(port)), Answer)
        threading.Thread(target=server.serve_forever).start()


main()
