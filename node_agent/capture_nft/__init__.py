"""nf_tables on the wire: messages, expressions and dumps of the nat table, to and from bytes. Pure."""
