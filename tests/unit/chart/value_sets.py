"""Values as people set them, each set by what it is for."""

from typing import Final

from unit.chart.rendering import Object

VALUE_SETS: Final[dict[str, Object]] = {
    "defaults": {},
    "a private registry": {
        "image": {"repository": "r.example:5000/tc", "tag": "v9", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
    },
    "everything optional on": {
        "networkPolicy": {"enabled": True, "apiServerCIDRs": ["10.0.0.1/32", "fd00::1/128"]},
        "operator": {
            "podDisruptionBudget": {
                "maxUnavailable": 1,
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
            "podAnnotations": {"example.com/a": "true"},
            "tolerations": [{"key": "t", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"nodeAffinity": {}},
        },
        "agent": {
            "seLinuxOptions": {"type": "spc_t"},
            "appArmorProfile": {"type": "Localhost", "localhostProfile": "traffic-capture"},
            "pollIntervalSeconds": 0.5,
            "stateDir": "/data/capture",
        },
        "excludedNamespaces": ["kube-system", "kube-public", "istio-system"],
        "nri": {"socket": "/run/k3s/nri/nri.sock"},
    },
    "everything optional off": {
        "crds": {"enabled": False},
        "admissionPolicy": {"enabled": False},
        "uninstall": {"removeCaptures": False},
        "excludedNamespaces": [],
        "nri": {"enabled": False},
        "operator": {"priorityClassName": "", "nodeSelector": {"kubernetes.io/os": None}},
        "agent": {
            "priorityClassName": "",
            "tolerations": [],
            "nodeSelector": {"kubernetes.io/os": None},
        },
    },
    "no resources": {
        part: {"resources": {"requests": None, "limits": None}}
        for part in ("operator", "agent", "uninstall")
    },
    "CRDs that go with the release": {"crds": {"keep": False}},
    "a percentage in the budget": {"operator": {"podDisruptionBudget": {"minAvailable": "0%"}}},
}
