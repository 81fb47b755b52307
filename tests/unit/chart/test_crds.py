"""The CustomResourceDefinitions that the chart brings are the project's."""

from pathlib import Path

import pytest
import yaml

from unit.chart.rendering import CHART, Rendered, render

CRDS = CHART.parents[1] / "crds"
KEEP = {"helm.sh/resource-policy": "keep"}
names = pytest.mark.parametrize("source", sorted(CRDS.glob("*.yaml")), ids=lambda path: path.name)


@names
def test_the_charts_copy_is_the_projects_file(source: Path) -> None:
    """After a change: cp crds/*.yaml helm/traffic-capture/files/crds/."""
    assert (CHART / "files" / "crds" / source.name).read_bytes() == source.read_bytes()


@names
def test_a_rendered_crd_is_the_projects_with_metadata(chart: Rendered, source: Path) -> None:
    """Rendering adds labels and the policy, and changes no number in the schema."""
    crd = yaml.safe_load(source.read_text())
    [rendered] = [
        found
        for found in chart.of_kind("CustomResourceDefinition")
        if found["metadata"]["name"] == crd["metadata"]["name"]
    ]
    assert {**rendered, "metadata": crd["metadata"]} == crd


def test_there_are_no_others(chart: Rendered) -> None:
    """A kind that was removed from the project is not left in the chart."""
    assert len(chart.of_kind("CustomResourceDefinition")) == len([*CRDS.glob("*.yaml")])


def test_crds_outlive_the_release_by_default(chart: Rendered) -> None:
    """Uninstalling must not delete every TrafficCapture of the cluster."""
    for crd in chart.of_kind("CustomResourceDefinition"):
        assert crd["metadata"]["annotations"] == KEEP


def test_crds_go_with_the_release_if_asked() -> None:
    """For a cluster that should be as before."""
    for crd in render({"crds": {"keep": False}}).of_kind("CustomResourceDefinition"):
        assert "annotations" not in crd["metadata"]


def test_crds_can_be_left_to_somebody_else() -> None:
    """Whoever lacks the rights, or has another way of installing them."""
    assert render({"crds": {"enabled": False}}).of_kind("CustomResourceDefinition") == []
