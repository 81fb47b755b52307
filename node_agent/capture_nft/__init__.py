"""nf_tables on the wire: rules, messages and dumps of the nat table, to and from bytes. Pure.

A `Rule` is a value with three faces: text as `iptables-save` prints it (`reading`, `listing`),
expressions as iptables-nft writes them (`encoding`, `decoding`), and its fields. `messages` says
what to do to a table and `transactions` puts it into one batch that the kernel does whole or not
at all; `snapshots` reads what the kernel dumps, `dump_cache` recognises a dump without reading it.

iptables lists, finds and deletes our rules as its own because they are its own bytes. So owner
matches and redirects go out as the xt extensions that iptables knows, not as the kernel's newer
expressions, which iptables 1.8 refuses to list.
"""
