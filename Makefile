# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists what there is. `make test` is everything that CI runs.

GO      ?= go
CACHE   ?= $(or $(RDSPROXY_TEST_CACHE),$(if $(filter 0,$(shell id -u)),/var/cache/rdsproxy-test,$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rdsproxy-test))
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)

GOLANGCI_VERSION := v2.15.0
GOLANGCI         := $(CACHE)/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint

# Modules of their own, so that what only tests need stays out of go.mod.
MODULES := test/drivers test/deploy

FUZZTIME ?= 2s
SEEDS    ?= 200
SEED     ?=
TESTFLAGS ?=

.DEFAULT_GOAL := help

##@ Use

.PHONY: build
build: ## Build bin/rdsproxy, a static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/rdsproxy ./cmd/rdsproxy

.PHONY: run
run: ## Start a throw-away PostgreSQL and MariaDB, and rdsproxy in front of them; Ctrl-C stops all
	@$(GO) build -o bin/rdsproxy ./cmd/rdsproxy
	@$(GO) build -o bin/run ./test/run
	@exec bin/run -daemon bin/rdsproxy

##@ Check

.PHONY: test
test: prepare lint unit fuzz sim integration ## Everything CI runs; installs what it needs

.PHONY: prepare
prepare: ## Install what the tests need: a C compiler for the race detector, PostgreSQL servers
	@test/prepare.sh
	$(GO) run ./test/prepare

.PHONY: lint
lint: $(GOLANGCI) ## go vet and golangci-lint with .golangci.yml
	$(GO) vet ./...
	@for m in $(MODULES); do (cd $$m && $(GO) vet ./...) || exit 1; done
	$(GOLANGCI) run --timeout 10m --allow-parallel-runners ./...

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION), once"
	@GOBIN=$(@D) GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

.PHONY: unit
unit: ## Unit tests, with the race detector
	$(GO) test -race -timeout 15m $(TESTFLAGS) $$($(GO) list ./... | grep -v -e /test/integration -e /test/compat -e /test/sim)

.PHONY: integration
integration: ## Tests of the daemon in front of real servers, with real drivers
	@# -count=1: go's cache of results does not see that the daemon changed.
	$(GO) test -race -count=1 -timeout 20m $(TESTFLAGS) ./test/integration/...
	$(GO) test -count=1 -timeout 25m $(TESTFLAGS) ./test/compat/...
	@for m in $(MODULES); do echo "cd $$m && $(GO) test ./..." && (cd $$m && $(GO) test -count=1 -timeout 20m $(TESTFLAGS) ./...) || exit 1; done

.PHONY: fuzz
fuzz: ## Each fuzz target for FUZZTIME (2s); longer: make fuzz FUZZTIME=5m
	@test/fuzz.sh $(FUZZTIME)

.PHONY: sim
sim: ## Simulation over SEEDS seeds; one seed again: make sim SEED=n
	RDSPROXY_SIM_SEEDS=$(SEEDS) RDSPROXY_SIM_SEED=$(SEED) $(GO) test -race -timeout 60m -count=1 $(TESTFLAGS) ./test/sim/...

.PHONY: bench
bench: ## Compare with peers in paired rounds, and in failovers; writes bench/latest.json and bench/failover.json
	$(GO) run ./test/bench
	$(GO) run ./test/bench -suite failover

##@ Write

.PHONY: fmt
fmt: $(GOLANGCI) ## Format the code
	$(GOLANGCI) fmt ./...

.PHONY: generate
generate: ## Bring generated files up to date
	$(GO) generate ./...

.PHONY: clean
clean: ## Remove what was built here; the cache folder stays
	rm -rf bin

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
