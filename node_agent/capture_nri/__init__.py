"""The Node Resource Interface on the wire: what a container runtime and a plugin say. Pure."""
