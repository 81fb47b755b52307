"""Fetch a URL and print the answer's status, the server that gave it, and its body."""

import sys
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

opener = build_opener(ProxyHandler({}))
try:
    answer = opener.open(sys.argv[1], timeout=5)
except HTTPError as error:
    answer = error
with answer:
    print(f"HTTP {answer.status}   server: {answer.headers['server']}")
    print(answer.read().decode(), end="")
