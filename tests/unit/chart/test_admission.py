"""What the chart asks the API server to refuse; `tests/cluster` puts it to a real one."""

import json

import pytest

from unit.chart.rendering import NAMESPACE, HelmError, Object, Rendered, container_of, render

POLICY = "ValidatingAdmissionPolicy"


def validations(policy: Object) -> str:
    """Return the conditions of a policy."""
    return " ".join(entry["expression"] for entry in policy["spec"]["validations"])


def test_the_policy_is_about_the_account_that_the_agents_have(chart: Rendered) -> None:
    """A policy for another name would hold nobody to anything."""
    [condition] = chart.one(POLICY, "-node-agent")["spec"]["matchConditions"]
    account = chart.one("DaemonSet")["spec"]["template"]["spec"]["serviceAccountName"]
    assert f'"system:serviceaccount:{NAMESPACE}:{account}"' in condition["expression"]


def test_the_agents_policy_can_be_left_out() -> None:
    """For whoever has their own, or lacks the rights to install one."""
    names = [
        found["metadata"]["name"]
        for found in render({"admissionPolicy": {"enabled": False}}).of_kind(POLICY)
    ]
    assert names == ["traffic-capture-excluded"]


def test_every_policy_is_bound_and_denies(chart: Rendered) -> None:
    """A policy without a binding does nothing."""
    bindings = chart.of_kind(f"{POLICY}Binding")
    bound = {found["spec"]["policyName"]: found["spec"]["validationActions"] for found in bindings}
    names = {found["metadata"]["name"] for found in chart.of_kind(POLICY)}
    assert bound == {name: ["Deny", "Audit"] for name in names}


@pytest.mark.parametrize(
    ("given", "excluded"),
    [
        (["kube-system"], ["kube-system", NAMESPACE]),
        ([], [NAMESPACE]),
        ([NAMESPACE], [NAMESPACE]),
    ],
    ids=str,
)
def test_the_releases_own_namespace_is_always_excluded(
    given: list[str], excluded: list[str]
) -> None:
    """An agent behind a capture could no longer reach the API server."""
    rendered = render({"excludedNamespaces": given})
    assert f"request.namespace in {json.dumps(excluded, separators=(',', ':'))}" in validations(
        rendered.one(POLICY, "-excluded")
    )
    arguments = container_of(rendered.one("Deployment"))["args"]
    assert f"--excluded-namespaces={','.join(excluded)}" in arguments


def test_an_excluded_namespace_is_a_name() -> None:
    """Nothing else gets into the expression."""
    with pytest.raises(HelmError, match="excludedNamespaces"):
        render({"excludedNamespaces": ['a"]) || true || ("']})
