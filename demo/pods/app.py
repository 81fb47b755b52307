"""The demo's application: tells, over HTTP on each port given, who asked and what came with it."""

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
        _, port = self.connection.getsockname()
        body = f"hello from {sys.argv[1]}, port {port}\n".encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - http.server's
        """Keep quiet: Envoy's access log is what matters here."""


def main() -> None:
    """Serve on every port given, until killed."""
    for port in sys.argv[2:]:
        server = ThreadingHTTPServer(("", int(port)), Answer)
        threading.Thread(target=server.serve_forever).start()


main()
