GOLANGCI_VERSION := v2.15.0
GOLANGCI := .bin/golangci-lint-$(GOLANGCI_VERSION)
FUZZTIME ?= 10s
SEED ?= $(shell date +%s)
N ?= 20
PKG ?= ./... $(HARNESS)

# Programs that test the whole system. They lie in testdata, so that ./... does not name them.
HARNESS := ./testdata/chaos ./testdata/netswitch ./testdata/flaky

# A recipe fails where any part of a pipe does.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: help build test race lint fuzz bench chaos flaky mutants docs

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST)

build: ## build the binary as ./statecraft
	go build -trimpath -o statecraft ./cmd/statecraft

# Tests wait more than they compute: packages share a processor.
test: ## run every test
	go test -p 4 -count=1 -timeout 20m ./... $(HARNESS)

race: ## run the packages with goroutines under the race detector
	go test -count=1 -timeout 25m -race ./runtime/... ./watchers/... ./machine/...

lint: $(GOLANGCI) ## run the linters
	$(GOLANGCI) run ./...

# go test fails at times where a fuzz target's time is up in the middle of an input, with this message and no input: that alone is tried again.
fuzz: ## run every fuzz target for FUZZTIME (10s)
	said=$$(mktemp); trap 'rm -f "$$said"' EXIT; \
	go test -run '^$$' -list '^Fuzz' -json ./... \
		| sed -n 's|.*"Package":"\([^"]*\)","Output":"\(Fuzz[A-Za-z0-9_]*\)\\n"}$$|\1 \2|p' \
		| while read -r package target; do \
			for try in 1 2 3; do \
				if go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" </dev/null 2>&1 | tee "$$said"; then break; fi; \
				test $$try -lt 3 && grep -q '^    context deadline exceeded$$' "$$said" || exit 1; \
			done; \
		done

bench: ## run every benchmark, then measure the whole system (about twenty minutes)
	go test -run '^$$' -bench . -benchmem ./...
	go run ./testdata/bench

chaos: ## let a cell of three work for 20 minutes while its hosts are killed, paused, filled, cut off and rolled, from SEED (the time)
	go run ./testdata/chaos -seed $(SEED) -for 20m

flaky: ## run the tests of PKG (all) N times (20) with every core kept busy beside them, and say which failed how often
	go run ./testdata/flaky -n $(N) $(PKG)

mutants: ## put every defect into every manifest, and say which neither check nor the tests notice (make test tries one in ten)
	go test ./manifests -run TestDefectsAreNoticed -mutants -v -count=1 -timeout 60m

docs: ## write the generated references
	go run ./cmd/statecraft docs --output docs

$(GOLANGCI):
	GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv .bin/golangci-lint $@
