"""A real Kubernetes cluster on one Linux machine, without Docker and without an image registry.

Kubernetes, containerd and Helm are built once from their Go modules and cached per user. The node
lives in network, mount and PID namespaces of its own, with a `/run` and a `/var` of its own: rules,
sockets, mounts and processes stay inside, and ending the node's PID 1 ends all of them. What is
left on the host while it runs is one bridge, one veth and one cgroup directory.

The control plane's parts (`control_plane`) and a node's parts (`node_parts`) are apart, and a node
is a value (`node.Node`), since a cluster may have more nodes than one.
"""
