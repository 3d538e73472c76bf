# One target per job. `make help` lists them.

BIN := build/bin
export GOFLAGS := -buildvcs=false -mod=readonly
export PATH := $(CURDIR)/$(BIN):$(PATH)
TSX := node --import tsx
PYTHON := test/compat/clients/python
JAVA := test/compat/clients/java
RUST := test/compat/clients/rust
# Those whose tools are there.
CLIENTS := clients-python $(if $(shell command -v mvn),clients-java) $(if $(shell command -v cargo),clients-rust)
VERSION_PACKAGE := k8s.io/component-base/version

.DEFAULT_GOAL := help
.PHONY: help install build proto test lint format typecheck peers etcd kine kube-apiserver h2spec interop loadgen clients \
	clients-python clients-java clients-rust compat differential property fuzz compat-kubernetes e2e crash linearizability \
	compatibility bench bench-backends bench-replicas bench-memory bench-startup soak profile ci clean

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

peers: etcd kine kube-apiserver h2spec interop ## Build all reference servers and clients into build/bin

etcd: $(BIN)/etcd $(BIN)/etcdctl $(BIN)/etcdutl ## Build etcd, etcdctl and etcdutl

kine: $(BIN)/kine ## Build kine (needs a C compiler)

kube-apiserver: $(BIN)/kube-apiserver ## Build a kube-apiserver (about ten minutes on two cores, the first time)

h2spec: $(BIN)/h2spec ## Build h2spec, the conformance suite of HTTP/2

interop: $(BIN)/grpc-interop-client ## Build grpc-go's client of the gRPC interoperability tests

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

$(BIN)/h2spec: test/peers/h2spec/go.mod
	cd $(<D) && go build -o $(CURDIR)/$@ github.com/summerwind/h2spec/cmd/h2spec

$(BIN)/grpc-interop-client: test/peers/interop/go.mod
	cd $(<D) && go build -o $(CURDIR)/$@ google.golang.org/grpc/interop/client

$(BIN)/loadgen: $(wildcard bench/loadgen/*.go) bench/loadgen/go.mod
	cd $(<D) && go build -o $(CURDIR)/$@ .

clients: $(CLIENTS) ## Build the programs that test with the client libraries of other languages

# Cargo looks itself at what has changed.
clients-rust: export CARGO_TARGET_DIR := $(CURDIR)/build/rust
clients-rust:
	protoc=$$(cargo run --quiet --locked --manifest-path $(RUST)/protoc/Cargo.toml) && \
		PROTOC="$$protoc" cargo build --quiet --locked --manifest-path $(RUST)/Cargo.toml

clients-python: build/python/installed

build/python/installed: $(PYTHON)/build-requirements.txt $(PYTHON)/requirements.txt
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --no-deps --requirement $(PYTHON)/build-requirements.txt
	$(@D)/bin/pip install --quiet --no-deps --no-build-isolation --requirement $(PYTHON)/requirements.txt
	touch $@

clients-java: build/java/installed

build/java/installed: $(JAVA)/pom.xml $(wildcard $(JAVA)/src/*.java)
	rm -rf $(@D)
	mvn --quiet --batch-mode --file $< compiler:compile dependency:copy-dependencies
	touch $@

compat: etcd proto ## Run the compatibility suite against plinth and against etcd, then the long differential test
	npx tap test/compat/*.test.ts
	$(MAKE) differential

differential: etcd proto ## Compare plinth with etcd over a long random sequence of operations (DIFFERENTIAL_SEED replays one)
	DIFFERENTIAL_STEPS=$(or $(DIFFERENTIAL_STEPS),20000) npx tap --timeout=1800 test/compat/differential/plinth.test.ts

property: proto ## Compare the store with its model over many random sequences (PROPERTY_SEED and PROPERTY_PATH replay one)
	PROPERTY_RUNS=$(or $(PROPERTY_RUNS),2000) npx tap --timeout=1800 test/property/store.test.ts

fuzz: proto ## Send changed frames to our HTTP/2: FUZZ_FRAMES of them, 10 million by default (FUZZ_SEED replays a run)
	FUZZ_FRAMES=$(or $(FUZZ_FRAMES),10000000) $(TSX) test/fuzz/http2.ts

compat-kubernetes: etcd proto ## Run Kubernetes' storage conformance on etcd, plinth on SQLite, plinth in memory (TARGETS="sqlite")
	$(TSX) test/compat/kubernetes/run.ts $(TARGETS)

e2e: etcd kube-apiserver proto ## Run a real kube-apiserver, driven by kubectl, on etcd and on plinth (TARGETS="sqlite")
	$(TSX) test/compat/e2e/run.ts $(TARGETS)

crash: proto ## Kill plinth 100 times under load and check that nothing is lost (CRASH_SEED replays the choices)
	CRASH_ROUNDS=$(or $(CRASH_ROUNDS),100) npx tap --timeout=3600 test/fault/crash.test.ts

linearizability: proto ## Check three replicas on one database under faults (TARGETS="postgres spanner", LINEARIZABILITY_SECONDS, LINEARIZABILITY_SEED)
	$(TSX) test/linearizability/run.ts $(TARGETS) --seconds=$(or $(LINEARIZABILITY_SECONDS),60) --seed=$(LINEARIZABILITY_SEED)

compatibility: ## Write docs/compatibility.md from the logs of the last .ci/run
	node scripts/compatibility.mjs

bench: etcd kine loadgen build ## Compare plinth with etcd and kine; writes bench/RESULTS.md (options: BENCH="--rounds=1 --seconds=2")
	$(TSX) bench/run.ts $(BENCH)

bench-backends: kine loadgen build ## Measure replicas on Spanner's emulator and PostgreSQL, and kine there; writes bench/BACKENDS.md
	$(TSX) bench/backends.ts $(BENCH)

bench-replicas: loadgen build ## Three replicas that write at once beside one; adds to bench/BACKENDS.md
	$(TSX) bench/replicas.ts $(BENCH)

soak: build loadgen ## Run 300 connections and 5,000 watches with a mixed load for ten minutes (SOAK_SECONDS); writes bench/SOAK.md
	$(TSX) bench/soak.ts --seconds=$(or $(SOAK_SECONDS),600)

bench-memory: etcd loadgen build ## Resident memory of etcd and plinth with the same data; adds to bench/RESULTS.md
	$(TSX) bench/memory.ts

bench-startup: loadgen build ## Start plinth on a million keys; adds to bench/RESULTS.md
	$(TSX) bench/startup.ts $(BENCH)

profile: loadgen build ## What the time of a request goes to; adds to bench/RESULTS.md
	$(TSX) bench/profile.ts $(BENCH)

ci: ## Everything the continuous integration runs
	.ci/run

clean: ## Remove what was built
	rm -rf dist build .tap src/proto/generated
