# The few commands a person needs; `make` alone lists them.
#
# Everything runs against the local cluster, or against another one if, and only if,
# TRAFFIC_CAPTURE_KUBECONFIG names its kubeconfig; then push the image yourself and say which:
#   make demo TRAFFIC_CAPTURE_KUBECONFIG=~/.kube/staging IMAGE=registry.example/traffic-capture TAG=1

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help cluster cluster-down status image wheels install demo lint test bench clean

export TRAFFIC_CAPTURE_KUBECONFIG

# The local cluster is on this machine: a proxy can't reach it.
export no_proxy := $(if $(no_proxy),$(no_proxy),$(NO_PROXY)),192.168.77.2
export NO_PROXY := $(no_proxy)

PYTHON ?= python3
IMAGE ?= localhost/traffic-capture
TAG ?= dev
NODES ?= 1
PYTHON_VERSION ?= 3.13

local_cluster := PYTHONPATH=cluster $(PYTHON) -m local_cluster
# Found, or installed, when a recipe first needs it.
uv_run = "$$($(local_cluster) uv)" run --locked
# The tests enter network namespaces. What they find in the user's home stays the user's.
as_root = $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=HOME,XDG_CACHE_HOME,CI,TRAFFIC_CAPTURE_KUBECONFIG \
	env "PATH=$$PATH" PYTHONDONTWRITEBYTECODE=1)
run_bench = $(as_root) env PYTHONPATH=cluster:tests "PATH=$$(dirname "$$($(local_cluster) uv)"):$$PATH" \
	.venv/bin/python bench/run.py

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

cluster: ## start a Kubernetes cluster on this machine, or add nodes to it (NODES=2)
	@$(local_cluster) up $(NODES)

cluster-down: ## stop it and leave nothing of it but the per-user cache
	@$(local_cluster) down

status: ## say which parts of the local cluster run
	@$(local_cluster) status

image: ## build the images and load them into every node of the local cluster
	@$(local_cluster) image

wheels: ## write dist/image, to build the image with docker or podman (PYTHON_VERSION=3.13)
	@$(local_cluster) wheels $(PYTHON_VERSION)

install: cluster image ## install or upgrade the Helm chart, and wait until it runs
	@$(local_cluster) install $(IMAGE) $(TAG)

demo: install ## show what traffic-capture does, on a live pod
	@PYTHONPATH=cluster $(uv_run) python demo/demo.py

lint: ## check style, types and import contracts
	$(uv_run) ruff check
	$(uv_run) ruff format --check
	$(uv_run) mypy
	$(uv_run) lint-imports

test: lint install ## check everything: lint, unit, kernel and real-cluster tests
	$(as_root) .venv/bin/python -m pytest

bench: ## measure, print, and write bench/results.json
	@$(uv_run) true
	@$(run_bench) --without-cluster
	@$(MAKE) --no-print-directory install
	@$(run_bench) --only hundred-pods --only pod-start

clean: cluster-down ## stop the cluster and remove what was built in this folder
	rm -rf .cluster dist
	@echo "What is cached for all checkouts stays. To remove that too, as root:"
	@echo "  rm -rf $${XDG_CACHE_HOME:-$$HOME/.cache}/traffic-capture"
