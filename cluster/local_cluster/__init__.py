"""A real Kubernetes cluster on one Linux machine, without Docker and without an image registry.

Kubernetes, containerd and Helm are built once from their Go modules and cached per user. Each node
lives in network, mount and PID namespaces of its own, with a `/run` and a `/var` of its own: rules,
sockets, mounts and processes stay inside, and ending the node's PID 1 ends all of them. What is
left on the host while it runs is one bridge, and a veth and a cgroup directory per node.

The control plane's parts (`control_plane`) and a node's parts (`node_parts`) are apart, and a node
is a value (`node.Node`): the first carries the control plane, the others only their own parts.
"""
