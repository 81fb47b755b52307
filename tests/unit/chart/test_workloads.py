"""What runs: the operator and the node agents, and what they may do to their node."""

from typing import Any

import pytest

from capture_agent.options import parse_options
from unit.chart.rendering import NAMESPACE, RELEASE, Object, Rendered, container_of, pod_of, render
from unit.chart.value_sets import VALUE_SETS

OPERATOR = ("Deployment", "-operator")
AGENT = ("DaemonSet", "-node-agent")

workloads = pytest.mark.parametrize("workload", [OPERATOR, AGENT], ids=["operator", "node-agent"])
Workload = tuple[str, str]


def environment(container: dict[str, Any]) -> dict[str, str]:
    """Return which field of the pod each variable comes from."""
    return {
        entry["name"]: entry["valueFrom"]["fieldRef"]["fieldPath"] for entry in container["env"]
    }


@workloads
def test_a_pod_is_found_by_its_selector(chart: Rendered, workload: Workload) -> None:
    """And the two components don't select each other's."""
    found = chart.one(*workload)
    selector = found["spec"]["selector"]["matchLabels"]
    assert selector == {
        "app.kubernetes.io/name": "traffic-capture",
        "app.kubernetes.io/instance": RELEASE,
        "app.kubernetes.io/component": workload[1].removeprefix("-"),
    }
    assert selector.items() <= pod_of(found)["metadata"]["labels"].items()


def test_everything_has_the_standard_labels(chart: Rendered) -> None:
    """A release can be listed by label."""
    for found in chart.objects:
        labels = found["metadata"]["labels"]
        assert {
            "app.kubernetes.io/name": "traffic-capture",
            "app.kubernetes.io/instance": RELEASE,
            "app.kubernetes.io/version": "0.1.0",
            "app.kubernetes.io/managed-by": "Helm",
            "helm.sh/chart": "traffic-capture-0.1.0",
        }.items() <= labels.items(), found["metadata"]["name"]


@pytest.mark.parametrize(
    ("workload", "probes"),
    [
        (OPERATOR, {"livenessProbe": "/healthz", "readinessProbe": "/healthz"}),
        (AGENT, {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}),
    ],
    ids=["operator", "node-agent"],
)
def test_probes_ask_the_health_port(
    chart: Rendered, workload: Workload, probes: dict[str, str]
) -> None:
    """The port is the one that the program is told to serve."""
    container = container_of(chart.one(*workload))
    [port] = container["ports"]
    assert port["name"] == "health"
    assert f"--health-port={port['containerPort']}" in container["args"]
    for probe, path in probes.items():
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}


def test_there_is_one_operator_at_a_time(chart: Rendered) -> None:
    """The old one ends before the new one starts."""
    spec = chart.one(*OPERATOR)["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_a_node_that_is_away_holds_a_deleted_capture_only_so_long(chart: Rendered) -> None:
    """Five minutes, or what the user says."""
    longer = render({"operator": {"releaseUnreachableAfterSeconds": 3600}})
    for release, seconds in ((chart, 300), (longer, 3600)):
        arguments = container_of(release.one(*OPERATOR))["args"]
        assert f"--release-unreachable-after={seconds}" in arguments


def test_there_is_one_agent_on_a_node_at_a_time(chart: Rendered) -> None:
    """Two would write the same rules."""
    update = chart.one(*AGENT)["spec"]["updateStrategy"]
    assert update["type"] == "RollingUpdate"
    assert update["rollingUpdate"]["maxSurge"] == 0


def test_the_operator_is_as_restricted_as_a_pod_can_be(chart: Rendered) -> None:
    """It meets the Pod Security level `restricted`."""
    found = chart.one(*OPERATOR)
    assert pod_of(found)["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container_of(found)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostPID", "hostNetwork", "hostIPC"} & pod_of(found)["spec"].keys()


def test_the_agent_has_four_capabilities_and_is_not_privileged(chart: Rendered) -> None:
    """Whatever is added here, somebody has to give a reason for."""
    found = chart.one(*AGENT)
    assert container_of(found)["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {
            "drop": ["ALL"],
            "add": ["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"],
        },
        "appArmorProfile": {"type": "Unconfined"},
    }
    assert pod_of(found)["spec"]["securityContext"] == {
        "seccompProfile": {"type": "RuntimeDefault"}
    }


def test_the_agent_sees_the_nodes_processes_but_not_its_network(chart: Rendered) -> None:
    """HostPID is needed, the rest is not."""
    spec = pod_of(chart.one(*AGENT))["spec"]
    assert spec["hostPID"] is True
    assert not {"hostNetwork", "hostIPC"} & spec.keys()


def volumes_of(workload: Object) -> dict[str, Object]:
    """Return the volumes of a pod by name."""
    volumes = map(dict, pod_of(workload)["spec"]["volumes"])
    return {volume.pop("name"): volume for volume in volumes}


def mounts_of(workload: Object) -> dict[str, Object]:
    """Return where and how a container has them."""
    mounts = map(dict, container_of(workload)["volumeMounts"])
    return {mount.pop("name"): mount for mount in mounts}


def test_the_agent_writes_to_one_directory_of_the_node(chart: Rendered) -> None:
    """Its state; of the others it has, two are read-only, and two die with the pod."""
    agent = chart.one(*AGENT)
    assert volumes_of(agent) == {
        "state": {"hostPath": {"path": "/run/traffic-capture", "type": "DirectoryOrCreate"}},
        "run": {"emptyDir": {}},
        "nri": {"hostPath": {"path": "/var/run/nri", "type": "DirectoryOrCreate"}},
        "netns": {"hostPath": {"path": "/run/netns", "type": "DirectoryOrCreate"}},
        "tmp": {"emptyDir": {}},
    }
    assert mounts_of(agent) == {
        "state": {"mountPath": "/run/traffic-capture"},
        "run": {"mountPath": "/run"},
        "nri": {"mountPath": "/run/nri", "readOnly": True},
        "netns": {
            "mountPath": "/run/netns",
            "mountPropagation": "HostToContainer",
            "readOnly": True,
        },
        "tmp": {"mountPath": "/tmp"},  # noqa: S108 - the pod's own
    }


@pytest.mark.parametrize(
    ("socket", "directory", "argument"),
    [
        ("/var/run/nri/nri.sock", "/var/run/nri", "/run/nri/nri.sock"),
        ("/run/k3s/nri/plugins.sock", "/run/k3s/nri", "/run/nri/plugins.sock"),
    ],
)
def test_the_agent_finds_the_runtimes_socket(socket: str, directory: str, argument: str) -> None:
    """Wherever it is on the node: volume, mount and argument belong together."""
    agent = render({"nri": {"socket": socket}}).one(*AGENT)
    assert volumes_of(agent)["nri"]["hostPath"]["path"] == directory
    mounted = mounts_of(agent)["nri"]["mountPath"]
    assert argument.startswith(f"{mounted}/")
    assert f"--nri-socket={argument}" in container_of(agent)["args"]


def test_without_nri_the_agent_gets_nothing_of_the_runtime() -> None:
    """Whoever may talk to that socket may change any container of the node."""
    agent = render({"nri": {"enabled": False}}).one(*AGENT)
    assert not {"nri", "netns"} & {*volumes_of(agent), *mounts_of(agent)}
    assert not [it for it in container_of(agent)["args"] if it.startswith("--nri-socket")]


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_the_agent_takes_the_arguments_that_it_is_given(
    values: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chart and program are released together."""
    arguments = container_of(render(values).one(*AGENT))["args"]
    monkeypatch.setattr("sys.argv", ["traffic-capture-agent", "--node-name=node1", *arguments])
    assert parse_options().node_name == "node1"


def test_the_state_directory_moves_as_a_whole() -> None:
    """Volume, mount and argument stay one path."""
    found = render({"agent": {"stateDir": "/data/capture"}}).one(*AGENT)
    [state] = [it for it in pod_of(found)["spec"]["volumes"] if it["name"] == "state"]
    [mount] = [it for it in container_of(found)["volumeMounts"] if it["name"] == "state"]
    assert state["hostPath"]["path"] == mount["mountPath"] == "/data/capture"
    assert "--state-dir=/data/capture" in container_of(found)["args"]


def test_the_agent_knows_its_node_and_its_pod(chart: Rendered) -> None:
    """It writes the NodeCapture of that node only."""
    assert environment(container_of(chart.one(*AGENT))) == {
        "NODE_NAME": "spec.nodeName",
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
    }


def test_the_agent_runs_on_every_linux_node_and_is_evicted_last(chart: Rendered) -> None:
    """A node without one has pods that nobody captures."""
    spec = pod_of(chart.one(*AGENT))["spec"]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert spec["priorityClassName"] == "system-node-critical"


@pytest.mark.parametrize(
    ("workload", "requests", "memory"),
    [
        (OPERATOR, {"cpu": "50m", "memory": "128Mi"}, "512Mi"),
        (AGENT, {"cpu": "20m", "memory": "64Mi"}, "256Mi"),
    ],
    ids=["operator", "node-agent"],
)
def test_resources_are_bounded(
    chart: Rendered, workload: Workload, requests: dict[str, str], memory: str
) -> None:
    """Memory is limited; CPU is not, since throttling would delay repairs."""
    resources = container_of(chart.one(*workload))["resources"]
    assert resources == {"requests": requests, "limits": {"memory": memory}}


@workloads
def test_only_the_pod_mounts_the_token(chart: Rendered, workload: Workload) -> None:
    """Another pod with the same service account gets none by accident."""
    kind, name = workload
    assert chart.one("ServiceAccount", name)["automountServiceAccountToken"] is False
    spec = pod_of(chart.one(kind, name))["spec"]
    assert spec["automountServiceAccountToken"] is True
    assert spec["serviceAccountName"] == chart.one("ServiceAccount", name)["metadata"]["name"]


@pytest.mark.parametrize(
    ("workload", "values", "program"),
    [
        (OPERATOR, "operator", "traffic-capture-operator"),
        (AGENT, "agent", "traffic-capture-agent"),
    ],
    ids=["operator", "node-agent"],
)
def test_values_reach_the_pod(workload: Workload, values: str, program: str) -> None:
    """Each value of the component ends up where Kubernetes reads it."""
    affinity: Object = {"podAntiAffinity": {}}
    given: Object = {
        "extraArgs": ["--extra"],
        "podAnnotations": {"example.com/a": "b"},
        "nodeSelector": {"pool": "x"},
        "tolerations": [{"key": "t", "operator": "Exists"}],
        "affinity": affinity,
    }
    found = render(
        {
            "image": {"repository": "r.example/tc", "tag": "v9", "pullPolicy": "Always"},
            "imagePullSecrets": [{"name": "registry"}],
            "logLevel": "debug",
            values: given,
        }
    ).one(*workload)
    container, spec = container_of(found), pod_of(found)["spec"]
    assert container["command"] == [program]
    assert container["args"][0] == "--log-level=debug"
    assert container["args"][-1] == "--extra"
    assert (container["image"], container["imagePullPolicy"]) == ("r.example/tc:v9", "Always")
    assert pod_of(found)["metadata"]["annotations"]["example.com/a"] == "b"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["tolerations"] == given["tolerations"]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "x"}
    assert spec["affinity"] == affinity


def test_selinux_options_are_given_when_asked_for() -> None:
    """Nothing is said by default."""
    found = render({"agent": {"seLinuxOptions": {"type": "spc_t"}}}).one(*AGENT)
    assert container_of(found)["securityContext"]["seLinuxOptions"] == {"type": "spc_t"}


def test_everything_namespaced_is_in_the_releases_namespace(chart: Rendered) -> None:
    """Nothing is left to kubectl's current namespace."""
    for kind in ("Deployment", "DaemonSet", "ServiceAccount"):
        for found in chart.of_kind(kind):
            assert found["metadata"]["namespace"] == NAMESPACE
