"""Captures what iptables-nft sends for rules, with strace, into the golden file of the unit tests.

Run by hand as root, with iptables 1.8.9 and strace installed:
    PYTHONPATH=tests python tests/kernel/capture_nft/capturing.py
"""

import json
import re
import subprocess
import sys

from unit.capture_nft.golden import FILE, Golden, rules_to_capture

_NESTED = re.compile(r'nla_type=NLA_F_NESTED\|0x[45]\}, "([^"]*)"')


def _bytes(printed: str) -> bytes:
    return bytes.fromhex(printed.replace("\\x", ""))


def _capture(version: int, rule: str) -> Golden:
    tool = "iptables-nft-restore" if version == 4 else "ip6tables-nft-restore"
    strace = ["strace", "-f", "-e", "trace=sendmsg", "-xx", "-s", "1000000", "-v"]
    done = subprocess.run(
        ["unshare", "--net", *strace, tool, "--noflush"],
        input=f"*nat\n:X - [0:0]\n:OTHER - [0:0]\n:POSTROUTING - [0:0]\n{rule}\nCOMMIT\n",
        capture_output=True,
        text=True,
        check=True,
    )
    batch = next(line for line in done.stderr.splitlines() if "NFT_MSG_NEWRULE" in line)
    expressions, compat = _NESTED.findall(batch[batch.index("NFT_MSG_NEWRULE") :])[:2]
    return Golden(version, rule, _bytes(expressions), _bytes(compat))


if __name__ == "__main__":
    captured = [_capture(version, rule) for version, rule in rules_to_capture()]
    FILE.write_text("[\n" + ",\n".join(json.dumps(each.stored()) for each in captured) + "\n]\n")
    sys.stdout.write(f"{len(captured)} rules captured\n")
