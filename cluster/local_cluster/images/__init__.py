"""The container images of the project, built without a registry and loaded into the node.

A base comes from debootstrap, the way the machine's own distribution makes one; buildah builds the
project's Containerfiles on it. Each image also has a tag that names everything that went into it,
so what exists already is neither built nor loaded again.
"""
