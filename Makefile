# One target per job. `make help` lists them.

BIN := build/bin
export GOFLAGS := -buildvcs=false -mod=readonly
export PATH := $(CURDIR)/$(BIN):$(PATH)
TSX := node --import tsx
VERSION_PACKAGE := k8s.io/component-base/version

.DEFAULT_GOAL := help
.PHONY: help install build proto test lint format typecheck peers etcd kine kube-apiserver loadgen compat differential property \
	compat-kubernetes e2e crash bench bench-startup profile ci clean

help: ## List the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-18s %s\n", $$1, $$2 }'

node_modules: package-lock.json
	npm ci
	@touch node_modules

install: node_modules ## Install the dependencies as package-lock.json says

proto: node_modules ## Generate src/proto/generated from proto/
	npm run proto

build: node_modules ## Compile src to dist
	npm run build

test: node_modules ## Run the unit, contract and compatibility tests
	npm test

lint: node_modules ## Check style, floating promises and import directions
	npm run lint

format: node_modules ## Rewrite the sources in the house's style
	npx biome check --write .

typecheck: node_modules ## Check the types of sources, tests and benchmarks
	npm run typecheck

peers: etcd kine kube-apiserver ## Build all reference servers into build/bin

etcd: $(BIN)/etcd $(BIN)/etcdctl $(BIN)/etcdutl ## Build etcd, etcdctl and etcdutl

kine: $(BIN)/kine ## Build kine (needs a C compiler)

kube-apiserver: $(BIN)/kube-apiserver ## Build a kube-apiserver (about ten minutes on two cores, the first time)

loadgen: $(BIN)/loadgen ## Build the load generator

$(BIN)/etcd: test/peers/etcd/go.mod
	cd $(<D) && go build -o $(CURDIR)/$@ go.etcd.io/etcd/server/v3

$(BIN)/etcdctl $(BIN)/etcdutl: $(BIN)/%: test/peers/etcd/go.mod
	cd $(<D) && go build -o $(CURDIR)/$@ go.etcd.io/etcd/$*/v3

$(BIN)/kine: test/peers/kine/go.mod
	cd $(<D) && CGO_ENABLED=1 CGO_CFLAGS=-O2 go build -o $(CURDIR)/$@ github.com/k3s-io/kine

$(BIN)/kube-apiserver: test/peers/kubernetes/go.mod
	cd $(<D) && go build -p 2 -ldflags "-s -w -X $(VERSION_PACKAGE).gitVersion=v1.37.2 -X $(VERSION_PACKAGE).gitMajor=1 \
		-X $(VERSION_PACKAGE).gitMinor=37" -o $(CURDIR)/$@ k8s.io/kubernetes/cmd/kube-apiserver

$(BIN)/loadgen: $(wildcard bench/loadgen/*.go) bench/loadgen/go.mod
	cd $(<D) && go build -o $(CURDIR)/$@ .

compat: etcd proto ## Run the compatibility suite against plinth and against etcd, then the long differential test
	npx tap test/compat/*.test.ts
	$(MAKE) differential

differential: etcd proto ## Compare plinth with etcd over a long random sequence of operations (DIFFERENTIAL_SEED replays one)
	DIFFERENTIAL_STEPS=$(or $(DIFFERENTIAL_STEPS),20000) npx tap --timeout=1800 test/compat/differential/plinth.test.ts

property: proto ## Compare the store with its model over many random sequences (PROPERTY_SEED and PROPERTY_PATH replay one)
	PROPERTY_RUNS=$(or $(PROPERTY_RUNS),2000) npx tap --timeout=1800 test/property/store.test.ts

compat-kubernetes: etcd proto ## Run Kubernetes' storage conformance on etcd, plinth on SQLite, plinth in memory (TARGETS="sqlite")
	$(TSX) test/compat/kubernetes/run.ts $(TARGETS)

e2e: etcd kube-apiserver proto ## Run a real kube-apiserver, driven by kubectl, on etcd and on plinth (TARGETS="sqlite")
	$(TSX) test/compat/e2e/run.ts $(TARGETS)

crash: proto ## Kill plinth 100 times under load and check that nothing is lost (CRASH_SEED replays the choices)
	CRASH_ROUNDS=$(or $(CRASH_ROUNDS),100) npx tap --timeout=3600 test/fault/crash.test.ts

bench: etcd kine loadgen build ## Compare plinth with etcd and kine; writes bench/RESULTS.md (options: BENCH="--rounds=1 --seconds=2")
	$(TSX) bench/run.ts $(BENCH)

bench-startup: loadgen build ## Start plinth on a million keys; adds to bench/RESULTS.md
	$(TSX) bench/startup.ts $(BENCH)

profile: loadgen build ## Time per request by source folder; adds to bench/RESULTS.md
	$(TSX) bench/profile.ts $(BENCH)

ci: ## Everything the continuous integration runs
	.ci/run

clean: ## Remove what was built
	rm -rf dist build .tap src/proto/generated
