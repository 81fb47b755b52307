"""What each program may ask of the API server, and nothing beyond it."""

from unit.chart.rendering import NAMESPACE, Object, Rendered

OURS = "trafficcapture.io"
FOLLOW = {"list", "watch"}
READ = {"get", *FOLLOW}

OPERATOR = {
    (OURS, "trafficcaptures"): FOLLOW | {"patch"},
    (OURS, "trafficcaptures/status"): {"patch"},
    (OURS, "captureprograms"): FOLLOW | {"create", "patch"},
    (OURS, "nodecaptures"): FOLLOW | {"create", "patch"},
    ("", "nodes"): FOLLOW,
    ("", "pods"): FOLLOW,
    ("", "events"): {"create", "patch"},
}
AGENT = {
    (OURS, "nodecaptures"): READ,
    (OURS, "nodecaptures/status"): {"update"},
    (OURS, "captureprograms"): FOLLOW,
}
UNINSTALL = {
    (OURS, "trafficcaptures"): {"list", "delete", "patch"},
    (OURS, "nodecaptures"): {"list", "delete"},
}
VIEW = {(OURS, "trafficcaptures"): READ, (OURS, "captureprograms"): READ}

Grants = dict[tuple[str, str], set[str]]


def grants(role: Object) -> Grants:
    """Return the verbs of a role by API group and resource."""
    granted: Grants = {}
    for rule in role["rules"]:
        assert rule.keys() == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                granted.setdefault((group, resource), set()).update(rule["verbs"])
    return granted


def test_the_operator_gets_what_it_uses(chart: Rendered) -> None:
    """No wildcard, no secret, no write to a pod."""
    assert grants(chart.one("ClusterRole", "-operator")) == OPERATOR


def test_the_agent_reads_dispatch_and_writes_evidence(chart: Rendered) -> None:
    """It is on every node, so it gets least."""
    assert grants(chart.one("ClusterRole", "-node-agent")) == AGENT


def test_who_uninstalls_may_delete_what_is_ours(chart: Rendered) -> None:
    """And exists only while a release is being deleted."""
    role = chart.one("ClusterRole", "-uninstall")
    assert grants(role) == UNINSTALL
    assert role["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete,post-delete"


def test_viewers_of_a_namespace_see_its_captures(chart: Rendered) -> None:
    """Reading is aggregated to `view`, for namespaced kinds."""
    role = chart.one("ClusterRole", "-view")
    assert grants(role) == VIEW
    assert role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"


def test_nobody_gets_to_write_captures(chart: Rendered) -> None:
    """Whoever writes one can intercept a namespace's traffic: the cluster's admin decides."""
    labels = {key for role in chart.of_kind("ClusterRole") for key in role["metadata"]["labels"]}
    assert not {key for key in labels if key.endswith(("-to-edit", "-to-admin"))}


def test_each_role_is_bound_to_its_own_account_alone(chart: Rendered) -> None:
    """One binding for each of the programs, and none for anybody else."""
    bound = {
        binding["roleRef"]["name"]: [
            (subject["kind"], subject["namespace"], subject["name"])
            for subject in binding["subjects"]
        ]
        for binding in chart.of_kind("ClusterRoleBinding")
    }
    assert bound == {
        f"traffic-capture-{component}": [
            ("ServiceAccount", NAMESPACE, f"traffic-capture-{component}")
        ]
        for component in ("operator", "node-agent", "uninstall")
    }
    assert not chart.of_kind("Role")
    assert not chart.of_kind("RoleBinding")
