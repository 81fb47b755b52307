"""What `helm test` creates."""

from capture_api.resolution import decode_spec, resolve
from unit.chart.rendering import NAMESPACE, Rendered


def test_it_has_a_namespace_of_its_own(chart: Rendered) -> None:
    """Nothing is captured in the release's, and no user's namespace is touched."""
    [namespace] = chart.of_kind("Namespace")
    name = namespace["metadata"]["name"]
    assert name not in {NAMESPACE, "default"}
    for kind in ("TrafficCapture", "Pod"):
        assert chart.one(kind)["metadata"]["namespace"] == name


def test_its_parts_come_in_order_and_go_when_it_has_passed(chart: Rendered) -> None:
    """After a failure they are there to look at, until the next attempt."""
    parts = [chart.one(kind) for kind in ("Namespace", "TrafficCapture", "Pod")]
    annotations = [part["metadata"]["annotations"] for part in parts]
    assert [found["helm.sh/hook"] for found in annotations] == ["test"] * 3
    weights = [int(found.get("helm.sh/hook-weight", "0")) for found in annotations]
    assert weights == sorted(weights)
    policies = {found["helm.sh/hook-delete-policy"] for found in annotations}
    assert policies == {"before-hook-creation,hook-succeeded"}


def test_the_client_is_captured_and_the_proxy_is_not(chart: Rendered) -> None:
    """By user, as in every pod with a proxy."""
    capture, pod = chart.one("TrafficCapture"), chart.one("Pod")
    selected = decode_spec(capture["spec"]).pod_selector.match_labels
    assert selected
    assert dict(selected).items() <= pod["metadata"]["labels"].items()
    proxies = resolve(decode_spec(capture["spec"])).proxy.uids
    [proxy], [client] = pod["spec"]["initContainers"], pod["spec"]["containers"]
    assert proxy["securityContext"]["runAsUser"] in proxies
    assert client["securityContext"]["runAsUser"] not in proxies
    assert proxy["restartPolicy"] == "Always"
