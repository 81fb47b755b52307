"""`make demo`: what traffic-capture does, on a live pod, with the real commands.

Expects the chart to be installed (`make install`). Everything happens in the namespace `demo`,
which is made anew at the start and removed at the end.
"""

import sys

from local_cluster import access
from local_cluster.errors import LocalClusterError
from stage import HERE, DemoError, Stage

SYSTEM = "traffic-capture-system"
ENVOY_LOG = ("logs", "web", "-c", "envoy")


def main() -> None:
    """Play the demo from the beginning to the end."""
    try:
        cluster = access.cluster()
        stage = Stage(cluster.kubectl, cluster.kubeconfig, "demo")
        play(stage)
    except (DemoError, LocalClusterError) as error:
        sys.exit(f"\nThe demo stopped: {error}")


def play(stage: Stage) -> None:
    """Tell the story: before, capture, drift, a change, and after."""
    set_up(stage)
    web, client = address(stage, "web"), address(stage, "client")
    started = life(stage)

    stage.tell("A running pod: an application, and an Envoy beside it that nobody talks to")
    stage.show("get", "pod", "web")
    stage.tell("A request from another pod goes straight to the application:")
    fetch(stage, "client", f"http://{web}:8080/")

    stage.tell("Now redirect the pod's traffic through Envoy")
    print((HERE / "trafficcapture.yaml").read_text(), end="")
    stage.show("apply", "-f", "trafficcapture.yaml")
    stage.show("wait", "tcap/web", "--for=condition=Ready", "--timeout=60s")
    stage.show("get", "tcap")

    stage.tell("The same request is answered through Envoy, and so is one that the pod makes:")
    fetch(stage, "client", f"http://{web}:8080/")
    fetch(stage, "web", f"http://{client}:8080/")
    stage.wait_until("Envoy logs both", lambda: stage.ask(*ENVOY_LOG).count("answered") == 2)  # noqa: PLR2004
    stage.show(*ENVOY_LOG)
    if life(stage) != started:
        raise DemoError("the pod was restarted, and should not have been")
    stage.tell("It is the same pod, without a restart:")
    stage.show("get", "pod", "web")

    stage.tell("What the pod's network namespace holds, seen from the node's agent:")
    nat(stage, "-S")

    stage.tell("Somebody flushes the nat table inside the pod")
    nat(stage, "-F")
    stage.wait_until("the drift is repaired", lambda: repaired(stage) >= 1)
    stage.tell("It was noticed, repaired and reported:")
    stage.show("get", "tcap")
    stage.show("get", "tcap", "web", "-o", "jsonpath-as-json={.status.drift}")
    stage.wait_until("the repair is an Event", lambda: "Repaired" in events(stage))
    stage.show("events", "--for=trafficcapture/web")
    fetch(stage, "client", f"http://{web}:8080/")

    stage.tell("A change takes effect on the live pod: port 9090 is to bypass the proxy")
    fetch(stage, "client", f"http://{web}:9090/")
    exclude = '{"spec":{"inbound":{"exclude":[{"ports":["9090"]}]}}}'
    stage.show("patch", "tcap", "web", "--type=merge", "-p", exclude)
    stage.wait_until("the change is programmed", lambda: is_observed(stage))
    fetch(stage, "client", f"http://{web}:9090/")
    fetch(stage, "client", f"http://{web}:8080/")

    stage.tell("Delete the capture: nothing of ours stays in the pod")
    stage.show("delete", "tcap", "web", "--timeout=60s")
    if "CAPTURE" in nat(stage, "-S"):
        raise DemoError("rules of ours are left in the pod")
    fetch(stage, "client", f"http://{web}:8080/")

    stage.attempt("delete", "namespace", "demo", "--wait=false")
    stage.tell("That was it. To look around yourself: README.md, «A five-minute tour»")


def set_up(stage: Stage) -> None:
    """Make the namespace and its pods, fresh, and wait until they run."""
    stage.tell("Preparing two pods in the namespace demo ...")
    stage.attempt("delete", "namespace", "demo", "--ignore-not-found", "--timeout=60s")
    stage.ask("create", "namespace", "demo")
    stage.ask("create", "configmap", "demo", "--from-file=pods")
    stage.wait_until(
        "the namespace has its service account",
        lambda: stage.attempt("get", "serviceaccount/default"),
    )
    stage.ask("apply", "-f", "pods.yaml")
    stage.ask("wait", "pod/web", "pod/client", "--for=condition=Ready", "--timeout=60s")


def fetch(stage: Stage, pod: str, url: str) -> None:
    """Make an HTTP request from a pod's application container, printed."""
    container = "app" if pod == "web" else pod
    stage.show("exec", pod, "-c", container, "--", "python3", "/demo/fetch.py", url)


def nat(stage: Stage, command: str) -> str:
    """Run `iptables -t nat` in the pod's network namespace, from the agent of its node."""
    uid = stage.ask("get", "pod", "web", "-o", "jsonpath={.metadata.uid}")
    node = stage.ask("get", "pod", "web", "-o", "jsonpath={.spec.nodeName}")
    agent = stage.ask(
        "get", "pod", "--namespace", SYSTEM, "--field-selector", f"spec.nodeName={node}",
        "--selector", "app.kubernetes.io/component=node-agent", "-o", "name",
    ).strip()  # fmt: skip
    in_agent = ("exec", "--namespace", SYSTEM, agent, "--")
    # The kubelet names the cgroup of a pod's processes after its UID, with _ for - under systemd.
    pattern = f"pod{uid}|pod{uid.replace('-', '_')}"
    search = f"grep -lE '{pattern}' /proc/[0-9]*/cgroup 2>/dev/null | head -n 1 | cut -d/ -f3"
    pid = stage.ask(*in_agent, "sh", "-c", search).strip()
    return stage.show(*in_agent, "nsenter", "-t", pid, "-n", "iptables", "-t", "nat", command)


def address(stage: Stage, pod: str) -> str:
    """Look up a pod's IP address."""
    return stage.ask("get", "pod", pod, "-o", "jsonpath={.status.podIP}")


def life(stage: Stage) -> str:
    """Tell this life of the pod from another: its UID, and the start of each container."""
    started = "{.metadata.uid}{.status.containerStatuses[*].state.running.startedAt}"
    return stage.ask("get", "pod", "web", "-o", f"jsonpath={started}")


def repaired(stage: Stage) -> int:
    """Tell how often the capture's rules were repaired."""
    return int(stage.ask("get", "tcap", "web", "-o", "jsonpath={.status.drift.repaired}") or 0)


def events(stage: Stage) -> str:
    """List the reasons of the capture's Events."""
    involved = "involvedObject.kind=TrafficCapture,involvedObject.name=web"
    reasons = "jsonpath={.items[*].reason}"
    return stage.ask("get", "events", "--field-selector", involved, "-o", reasons)


def is_observed(stage: Stage) -> bool:
    """Tell whether the newest spec is programmed in every pod."""
    pattern = "{.metadata.generation} {.status.observedGeneration} {.status.pods.programmed}"
    generation, observed, programmed = stage.ask(
        "get", "tcap", "web", "-o", f"jsonpath={pattern}"
    ).split()
    return generation == observed and programmed == "1"


main()
