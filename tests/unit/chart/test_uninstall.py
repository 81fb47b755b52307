"""What Helm runs around the deletion of a release."""

import pytest

from unit.chart.rendering import Rendered, container_of, pod_of, render

HOOKS = {"-pre-delete": "captures", "-post-delete": "node-captures"}
hooks = pytest.mark.parametrize(("hook", "what"), HOOKS.items())


@hooks
def test_captures_go_before_the_agents_and_evidence_after(
    chart: Rendered, hook: str, what: str
) -> None:
    """Only a running agent can remove rules, and only a stopped operator writes no dispatch."""
    job = chart.one("Job", hook)
    assert job["metadata"]["annotations"]["helm.sh/hook"] == hook.removeprefix("-")
    assert container_of(job)["command"] == ["traffic-capture-uninstall"]
    assert container_of(job)["args"] == [what, "--timeout=120"]


@hooks
def test_a_hook_is_as_restricted_as_the_operator(chart: Rendered, hook: str, what: str) -> None:
    """Deleting objects takes no right on a node."""
    job, operator = chart.one("Job", hook), chart.one("Deployment")
    security = pod_of(operator)["spec"]["securityContext"]
    assert pod_of(job)["spec"]["securityContext"] == security, what
    assert container_of(job)["securityContext"] == container_of(operator)["securityContext"]


def test_a_hook_has_longer_than_it_waits() -> None:
    """Kubernetes must not end it while it says what it could not do."""
    job = render({"uninstall": {"timeoutSeconds": 30}}).one("Job", "-pre-delete")
    assert container_of(job)["args"][-1] == "--timeout=30"
    assert job["spec"]["activeDeadlineSeconds"] == 90


def test_helm_prints_what_a_hook_said_and_leaves_nothing_of_it(chart: Rendered) -> None:
    """The nodes that could not be reached are named where the user looks."""
    for hook in HOOKS:
        annotations = chart.one("Job", hook)["metadata"]["annotations"]
        assert annotations["helm.sh/hook-output-log-policy"] == "hook-succeeded,hook-failed"
    for found in chart.objects:
        if found["metadata"]["labels"].get("app.kubernetes.io/component") == "uninstall":
            policy = found["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
            assert policy == "before-hook-creation,hook-succeeded,hook-failed"


def test_captures_can_be_left_for_the_next_release() -> None:
    """Then nothing at all is run."""
    assert render({"uninstall": {"removeCaptures": False}}).of_kind("Job") == []
