# The few commands a person needs; `make` alone lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help cluster cluster-down

PYTHON ?= python3
LOCAL_CLUSTER := PYTHONPATH=cluster $(PYTHON) -m local_cluster

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  %-14s %s\n", $$1, $$2}'

cluster: ## start a Kubernetes cluster on this machine, building what is missing
	@$(LOCAL_CLUSTER) up

cluster-down: ## stop it and remove every trace of it but the per-user cache
	@$(LOCAL_CLUSTER) down
