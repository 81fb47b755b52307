"""Kubeconfigs that carry their certificates with them, so that they can be copied anywhere."""

import base64
import json
from pathlib import Path


def kubeconfig(server: str, folder: Path, name: str) -> str:
    """Render a kubeconfig for `<name>.crt` in the authority's folder. JSON is YAML."""
    cluster = {"server": server, "certificate-authority-data": _encoded(folder / "ca.crt")}
    user = {
        "client-certificate-data": _encoded(folder / f"{name}.crt"),
        "client-key-data": _encoded(folder / f"{name}.key"),
    }
    context = {"cluster": "local", "user": name}
    configuration = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "local", "context": context}],
        "current-context": "local",
    }
    return json.dumps(configuration, indent=2) + "\n"


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
