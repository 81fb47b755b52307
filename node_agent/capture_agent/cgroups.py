"""Which pod a process belongs to, read from its cgroup paths. Pure.

The kubelet names a pod's cgroup after the pod's UID, in one of two spellings:

* cgroupfs driver: ``/kubepods/burstable/pod<uid>/<container>``
* systemd driver: ``/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/
  cri-containerd-<id>.scope`` (CRI-O: ``crio-<id>.scope``), with ``_`` for the ``-`` of the UID, and
  ``...-pod<uid>.slice:cri-containerd:<id>`` where the runtime's driver is not the kubelet's.

Inside a cgroup namespace the same paths begin with ``/../``. A process may create cgroups below its
own, with any name: only the outermost pod in a path was named by the kubelet. On cgroup v1 every
controller has a path of its own; they have to agree.
"""

import re

_UID = "[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}"
_STATIC_UID = "[0-9a-f]{32}"  # a static pod is named by the hash of its manifest
_POD = re.compile(rf"(?:^|[/-])pod({_UID}|{_STATIC_UID})(?:\.slice)?(?=[/:]|$)", re.ASCII)


def pod_uid(cgroup: str) -> str | None:
    """Read the text of ``/proc/PID/cgroup``.

    Returns:
        The UID of the pod that the process was started in, with dashes; None for a process of no
        pod, and for one whose controllers name different pods.
    """
    # Nothing but a newline ends a line: a cgroup's name may hold whatever else looks like one.
    uids = {uid for line in cgroup.split("\n") if (uid := _outermost_pod(line)) is not None}
    return uids.pop() if len(uids) == 1 else None


def _outermost_pod(line: str) -> str | None:
    _, _, path = line.split(":", 2) if line.count(":") >= 2 else ("", "", "")  # noqa: PLR2004
    match = _POD.search(path)
    return match.group(1).replace("_", "-") if match else None
