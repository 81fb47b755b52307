"""The cluster operator: resolves captures, dispatches them to nodes, reports the evidence.

Data goes one way. Watches and listings put what the API server holds into a `Store`; each change
enqueues keys (`triggers`); a reconciler per kind of write takes a key, lets a pure function decide
what should be there (`programs`, `dispatching`, `releasing`, `aggregation`), and writes the
difference with the resourceVersion it decided on. What was written comes back into the store the
way everything does.
"""
