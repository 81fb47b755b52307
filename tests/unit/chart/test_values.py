"""What the chart takes, and how it says what it does not take."""

from typing import Any

import pytest

from unit.chart.rendering import CHART, HelmError, Object, helm, render, settings
from unit.chart.value_sets import VALUE_SETS


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_the_chart_passes_helms_own_checks(values: Object) -> None:
    """`helm lint --strict` has nothing to say, whatever is set."""
    assert "0 chart(s) failed" in helm("lint", str(CHART), "--strict", *settings(values))


def test_an_image_has_to_be_named() -> None:
    """No registry publishes one yet, and the message says what to do."""
    with pytest.raises(HelmError, match=r"image\.repository is empty.*--set image\.repository="):
        render({"image": {}})


def test_the_image_is_of_the_charts_version_by_default() -> None:
    """Chart and programs are released together."""
    containers = render().one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert containers[0]["image"] == "localhost/traffic-capture:0.1.0"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"operatr": {}}, "operatr"),
        ({"image": {"repository": "r", "digest": "x"}}, "digest"),
        ({"operator": {"replicas": 2}}, "replicas"),
        ({"agent": {"privileged": True}}, "privileged"),
        ({"agent": {"resources": {"request": {}}}}, "request"),
        ({"crds": {"keep": "yes"}}, "keep"),
        ({"excludedNamespaces": ["Kube_System"]}, "excludedNamespaces"),
        ({"admissionPolicy": {"enable": False}}, "enable"),
        ({"uninstall": {"timeoutSeconds": -1}}, "timeoutSeconds"),
        ({"networkPolicy": {"apiServerPorts": []}}, "apiServerPorts"),
        ({"networkPolicy": {"apiServerCIDRs": ["api.example.com"]}}, "apiServerCIDRs"),
        ({"operator": {"podDisruptionBudget": {"minUnavailable": 1}}}, "minUnavailable"),
        ({"agent": {"pollIntervalSeconds": 0}}, "pollIntervalSeconds"),
        ({"logLevel": "verbose"}, "logLevel"),
        ({"nri": {"enable": False}}, "enable"),
        ({"nri": {"socket": "nri.sock"}}, "socket"),
        ({"nri": {"socket": "/run/nri.sock"}}, "socket"),
        ({"nri": {"socket": "/run/nri/../containerd/containerd.sock"}}, "socket"),
        ({"agent": {"stateDir": "var/lib/x"}}, "stateDir"),
        ({"agent": {"stateDir": "/"}}, "stateDir"),
        ({"agent": {"stateDir": "/var"}}, "stateDir"),
        ({"agent": {"stateDir": "/var/lib/../../etc"}}, "stateDir"),
        ({"agent": {"appArmorProfile": {"type": "unconfined"}}}, "appArmorProfile"),
        ({"agent": {"tolerations": [{"effect": "Never"}]}}, "tolerations"),
    ],
    ids=str,
)
def test_a_value_that_means_nothing_is_refused(values: dict[str, Any], named: str) -> None:
    """A slip is an error that names the key, not a setting that is silently ignored."""
    with pytest.raises(HelmError, match=named):
        render(values)


def test_the_chart_can_be_a_dependency() -> None:
    """Helm hands `global` to every chart below another."""
    assert render({"global": {"region": "x"}}).objects


def test_names_of_another_release_do_not_collide() -> None:
    """The release's name is in every name."""
    for found in render({"crds": {"enabled": False}}, release="blue").objects:
        assert found["metadata"]["name"].startswith("blue-traffic-capture-")


def test_a_long_release_name_still_gives_valid_names() -> None:
    """Labels and names end at 63 characters."""
    for found in render({"crds": {"enabled": False}}, release="r" * 53).objects:
        assert len(found["metadata"]["name"]) <= 63
