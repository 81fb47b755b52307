"""The nat domain: from a program to rules, from rules to drift and a plan, all pure.

`compiling` turns a Program into the rules that enforce it; `tables` reads what the kernel holds;
`drift` says how the two differ; `planning` says what to write so that they do not; `walk` follows
a packet through a table. Rules are text, in exactly the form that `iptables-save -t nat` prints, so
that desired and observed compare as strings.
"""
