# `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

TOOL := go tool -modfile=hack/tools/go.mod
GOLANGCI := go tool -modfile=$(CURDIR)/hack/tools/golangci-lint/go.mod golangci-lint
CLUSTER := go run ./hack/cluster
MODULES := . agent-runtime hack/docs hack/release test/awsclients test/browser
OPERATOR_IMG ?= agentsession/operator:dev
AGENTS_IMG ?= agentsession/agents:dev
ECHO_IMG ?= agentsession/echo-agent:dev
GATEWAY_IMG ?= agentsession/gateway:dev
STOCK_IMG ?= agentsession/stock-agents:dev
# All is compiled as the images and a release are, so that no package is compiled twice; for
# the race detector, as go test -race does by itself. Tests vet nothing: lint does.
export CGO_ENABLED := 0
FLAGS := -trimpath -vet=off
export GOFLAGS := $(FLAGS) $(filter-out $(FLAGS),$(shell go env GOFLAGS))
RACE := CGO_ENABLED=1 GOFLAGS="$(filter-out -trimpath,$(GOFLAGS))"

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ See it
.PHONY: demo-local
demo-local: ## Play a session's life on this machine, without a cluster, called by AWS's SDK for Go.
	@go build -o bin/ ./cmd/agentsession ./examples/agents
	@cd test/awsclients && go build -o ../../bin/ ./invoke
	@go run ./hack/demolocal bin

.PHONY: demo
demo: cluster-up image-load ## Make a cluster, run the operator in it, play three sessions' lives, and call an agent.
	@go run ./hack/demo $(DEMO_ARGS)

.PHONY: demo-down
demo-down: cluster-down ## Take the demo's cluster away.

##@ Develop
.PHONY: generate
generate: ## Generate deep copies, CRD, RBAC, what is in dist, and what the chart has of them.
	$(TOOL) controller-gen object paths=./api/...
	$(TOOL) controller-gen crd:generateEmbeddedObjectMeta=true paths=./api/... output:crd:dir=config/crd/bases
	go run ./hack/crd config/crd/bases/*.yaml
	$(TOOL) controller-gen rbac:roleName=operator paths=./controllers/... output:rbac:dir=config/rbac
	$(TOOL) kustomize build config/default > dist/install.yaml
	$(TOOL) kustomize build config/node > dist/install-node.yaml
	$(TOOL) kustomize build config/gateway > dist/install-gateway.yaml
	go run ./hack/monitoring config/monitoring
	$(TOOL) kustomize build config/monitoring > dist/install-monitoring.yaml
	cp config/crd/bases/*.yaml charts/agentsession/files/crds/
	cp config/rbac/role.yaml charts/agentsession/files/rbac/operator.yaml
	cp config/policy/pods_by_proxy.yaml charts/agentsession/files/policy/
	cp config/monitoring/rules.yaml config/monitoring/dashboard.json charts/agentsession/files/monitoring/

.PHONY: fmt
fmt: ## Format the code.
	$(TOOL) gofumpt -w $$(git ls-files -co --exclude-standard '*.go' | grep -v zz_generated)

.PHONY: lint
lint: ## Run the linters, and see that all compiles for macOS.
	$(GOLANGCI) run ./...
	GOOS=darwin GOARCH=arm64 go vet ./...
	cd agent-runtime && $(GOLANGCI) run ./... && GOOS=darwin GOARCH=arm64 go vet ./...
	cd hack/docs && $(GOLANGCI) run ./...
	cd hack/release && $(GOLANGCI) run ./...
	cd test/awsclients && go vet ./...
	cd test/browser && go vet ./...

.PHONY: verify
verify: generate ## Fail if generated files or go.mod are not current.
	for module in $(MODULES); do (cd $$module && go mod tidy); done
	git diff --exit-code -- api charts config dist $(foreach module,$(MODULES),$(module)/go.mod $(module)/go.sum)

.PHONY: build
build: ## Build the operator and the gateway for this machine.
	go build -o bin/ ./cmd/...

.PHONY: run
run: ## Run the operator here, on the cluster of the current kubeconfig (make install first).
	go run ./cmd/operator --metrics-bind-address=0

##@ Test
SUITES := controllers test/gateway # they wait more than they work: several processes play their specs, each with an API server
APART := $(SUITES) test/e2e test/containers test/monitoring
.PHONY: test
test: ## Everything that needs no node: unit, property and envtest, with the race detector.
	@assets=$$($(CLUSTER) assets) && $(MAKE) --no-print-directory test-compile && \
	  KUBEBUILDER_ASSETS=$$assets $(MAKE) --no-print-directory -j -k test-packages $(SUITES:%=test-suite-%)

.PHONY: test-compile
test-compile: # before any spec waits: beside a cold compiler all wait long
	@go list -deps -export -f '{{""}}' ./...
	@$(RACE) go list -deps -export -f '{{""}}' -test -race ./...

.PHONY: test-packages
test-packages:
	cd agent-runtime && $(RACE) go test -race ./...
	$(RACE) go test -race -p=$$((2 * $$(getconf _NPROCESSORS_ONLN))) -timeout=40m $$(go list ./... | grep -v $(APART:%=-e agentsession/%$$))

.PHONY: $(SUITES:%=test-suite-%)
$(SUITES:%=test-suite-%): test-suite-%: # what it says comes in one piece: packages and the other suite run meanwhile
	@out=$$($(RACE) $(TOOL) ginkgo --race --procs=3 --timeout=40m --keep-going --succinct --no-color ./$* 2>&1) && failed= || failed=yes; \
	  printf '%s\n' "$$out"; [[ -z $$failed ]]

.PHONY: docs-test
docs-test: ## Test the site of the documentation, and make its pictures of the terminal; DOCS_ARGS=-docs makes those of the docs anew.
	@cd hack/docs && go test -count=1 -timeout=15m . -args $(DOCS_ARGS)

.PHONY: monitoring
monitoring: ## Test the alert rules, and alerts and panels with a real Prometheus and operator. Needs Debian's package prometheus.
	@promtool check rules config/monitoring/rules.yaml
	@promtool test rules config/monitoring/rules_test.yaml
	@assets=$$($(CLUSTER) assets) && KUBEBUILDER_ASSETS=$$assets go test -v -count=1 -timeout=15m ./test/monitoring

.PHONY: chart
chart: ## Check the Helm chart: lint, golden files, beside dist/, and installed by helm on a real API server (make test does too).
	@assets=$$($(CLUSTER) assets) && KUBEBUILDER_ASSETS=$$assets go test -count=1 -timeout=30m ./test/chart

.PHONY: fuzz
fuzz: ## Fuzz what reads hostile input, and the rules, 30 s each; and histories that make test does not try.
	go test -run='^$$' -fuzz=FuzzParsePing -fuzztime=30s ./test/agent-runtime/contract
	go test -run='^$$' -fuzz=FuzzParseTasks -fuzztime=30s ./test/agent-runtime/contract
	cd agent-runtime && go test -run='^$$' -fuzz=FuzzInvocation -fuzztime=30s .
	go test -run='^$$' -fuzz=FuzzAnswer -fuzztime=30s ./internal/prober
	go test -run='^$$' -fuzz=FuzzRoute -fuzztime=30s ./internal/gateway
	go test -run='^$$' -fuzz=FuzzDecide -fuzztime=30s ./internal/lifecycle
	go test -count=1 -run='^TestHistories$$' -timeout=30m ./internal/lifecycle -rapid.seed=0 -rapid.checks=500000

.PHONY: containers
containers: ## What `agentsession local --image` does, with Docker or Podman.
	go test -v -count=1 -timeout=20m ./test/containers

.PHONY: e2e
e2e: cluster-up image-load image-stock image-echo ## The end-to-end suite, on the cluster of hack/cluster. E2E_ARGS="-ginkgo.focus=..." runs a part.
	@python=$$(go run ./test/conformance python) && KUBECONFIG=$$($(CLUSTER) kubeconfig) AGENTSESSION_PYTHON=$$python \
	  go test -v -count=1 -timeout=40m ./test/e2e -ginkgo.v -ginkgo.no-color $(E2E_ARGS)

NODES_FOCUS := ^e2e (On several nodes|Agents.* network|The operator.s pod|Agents that are asked from their own node|The stories)
.PHONY: e2e-nodes
e2e-nodes: cluster-up image-load ## What of it is about several nodes, and the stories: on kind.
	@KUBECONFIG=$$($(CLUSTER) kubeconfig) AGENTSESSION_E2E=complete go test -v -count=1 -timeout=40m ./test/e2e \
	  -ginkgo.v -ginkgo.no-color -ginkgo.fail-on-empty -ginkgo.focus="$(NODES_FOCUS)"

.PHONY: mutants
mutants: ## Break the code in one place at a time, and see that a test notices. Long; MUTANTS_ARGS=-only=decide.go tries a part.
	@assets=$$($(CLUSTER) assets) && KUBEBUILDER_ASSETS=$$assets go run ./hack/mutants $(MUTANTS_ARGS)

.PHONY: conformance
conformance: ## The container contract beside AWS's SDK for Python, and AWS's clients against the gateway.
	@go run ./test/conformance
	@assets=$$($(CLUSTER) assets) && python=$$(go run ./test/conformance python) && cd test/awsclients && \
	  KUBEBUILDER_ASSETS=$$assets AGENTSESSION_PYTHON=$$python go test -count=1 -v -parallel=6 -timeout=40m ./... | grep -v -e "^ *=== "

.PHONY: browser
browser: ## The page in chromium. Pictures of it go to $$AGENTSESSION_SCREENSHOTS; BROWSER_ARGS=-docs makes those of the docs anew.
	@cd test/browser && go test -count=1 -timeout=40m . -args $(BROWSER_ARGS)

.PHONY: bench-writes
bench-writes: ## Count the API writes of a whole life, in envtest. One JSON line last.
	@assets=$$($(CLUSTER) assets) && KUBEBUILDER_ASSETS=$$assets go run ./hack/bench/writes

.PHONY: bench-agent
bench-agent: ## Measure an agent of agent-runtime: pings under load, invocations, memory. One JSON line last.
	@go run ./hack/bench/agent

N ?= 10000
.PHONY: bench-ping
bench-ping: ## Measure the heartbeat for N agents, beside a plain prober and the kernel's limit. One JSON line last.
	@go run ./hack/bench/ping -n $(N) $(PING_ARGS)

.PHONY: bench-report
bench-report: ## Run all benchmarks, and make docs/benchmarks.md of what they measured.
	@go run ./hack/bench/report $(REPORT_ARGS)

NODES ?= 0
.PHONY: bench-operator
bench-operator: N := $(if $(filter file,$(origin N)),5000,$(N))
bench-operator: ## Measure the whole operator with N sessions (on NODES nodes, in node mode), on a real API server, beside a bare client. One JSON line last.
	@assets=$$($(CLUSTER) assets) && KUBEBUILDER_ASSETS=$$assets go run ./hack/bench/operator -n $(N) -nodes $(NODES)

.PHONY: bench-gateway
bench-gateway: ## Measure the gateway beside a bare reverse proxy and the agents alone. One JSON line last.
	@assets=$$($(CLUSTER) assets) && KUBEBUILDER_ASSETS=$$assets go run ./hack/bench/gateway

.PHONY: bench-local
bench-local: ## Measure agentsession local: binary, time until it is ready, memory and who holds it. One JSON line last.
	@go run ./hack/bench/local

##@ Release
.PHONY: docs
docs: ## Make the documentation as a site, in bin/docs.
	@cd hack/docs && go run . ../../bin/docs

.PHONY: release
release: ## Make all of a release in bin/release: of the commit's tag, or VERSION=v0.1.0 for a trial.
	@cd hack/release && go run . $(VERSION)

.PHONY: release-check
release-check: ## Make a release for one platform twice, in two directories: equal bytes, and what is in it.
	@cd hack/release && go test -count=1 -timeout=30m .

##@ Cluster
.PHONY: cluster-up
cluster-up: ## Make a cluster: kind if it is there, else one node on this machine. USE_CLUSTER=current uses yours.
	@$(CLUSTER) up

.PHONY: cluster-down
cluster-down: ## Take the cluster away.
	@$(CLUSTER) down

.PHONY: image
image: ## Build the images of the operator, the gateway and the example agents, for the cluster (cluster-up).
	@$(CLUSTER) image $(OPERATOR_IMG) ./cmd/operator $(GATEWAY_IMG) ./cmd/gateway $(AGENTS_IMG) ./examples/agents

.PHONY: image-load
image-load: image ## Build the images and make them usable on the cluster.
	@$(CLUSTER) load $(OPERATOR_IMG) $(GATEWAY_IMG) $(AGENTS_IMG)

.PHONY: image-echo
image-echo: ## Build the image of the agent of the checks with AWS's clients, and make it usable on the cluster.
	@$(CLUSTER) image $(ECHO_IMG) ./test/echo/echo-agent
	@$(CLUSTER) load $(ECHO_IMG)

.PHONY: image-stock
image-stock: ## Build the image of the e2e's stock agents and their clients, and make it usable on the cluster.
	@$(CLUSTER) image-stock $(STOCK_IMG) test/e2e/stock
	@$(CLUSTER) load $(STOCK_IMG)

.PHONY: image-check
image-check: ## Build the images in every way, with both of Docker's builders, and see that they are the same. Needs Docker.
	@hack/imagecheck

.PHONY: install
install: ## Install the CRD into the cluster of the current kubeconfig.
	kubectl apply -f config/crd/bases

.PHONY: deploy
deploy: ## Install CRD, rights and operator into the cluster of the current kubeconfig.
	kubectl apply -f dist/install.yaml

.PHONY: undeploy
undeploy: ## Remove all that deploy made, and a gateway. Sessions and their pods go with the CRD.
	kubectl delete --ignore-not-found -f dist/install-gateway.yaml -f dist/install.yaml
