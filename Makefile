# Pumphouse: everything a developer runs. `make` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# One target folder outside the checkout: it outlives clones, and two cores take
# many minutes to fill it.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/pumphouse/target
# Where the XGBoost library and the Python clients of the tests go.
export PUMPHOUSE_TOOLS ?= $(HOME)/.cache/pumphouse/tools
# A rustup that was installed a moment ago is not yet on the PATH of this shell.
export PATH := $(HOME)/.cargo/bin:$(PATH)

BINARY := $(CARGO_TARGET_DIR)/debug/pumphouse

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) \
		| awk -F ':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'

# --- Use it ---

.PHONY: demo
demo: xgboost build ## Set up what is missing, build, and show the whole path with simulated pumps
	@$(BINARY) demo

.PHONY: build
build: toolchain ## Build the binary (development profile, the one that the tests use)
	cargo build --locked --bin pumphouse

.PHONY: install
install: toolchain xgboost ## Build for release and install into ~/.cargo/bin
	cargo install --locked --path .

.PHONY: xgboost
xgboost: ## Get the XGBoost library that training and prediction load
	@scripts/xgboost.sh >/dev/null

# --- Test it ---

.PHONY: test
test: toolchain setup-test ## Set up what the tests need, then run all of them
	cargo test --locked --workspace --doc
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --locked --workspace; \
	else \
		set -x; cargo test --locked --workspace --lib --bins --tests; \
	fi

.PHONY: setup-test
setup-test: ## Install what the tests need: Mosquitto, Ceph RGW, Python clients, XGBoost
	@scripts/setup-test.sh

# --- Measure it ---

.PHONY: bench
bench: toolchain setup-test ## Measure ingest beside Mosquitto and a Python peer in a release build; prints docs/benchmarks/ingest.md
	@cargo bench --quiet --locked --bench ingest

.PHONY: bench-catalog
bench-catalog: toolchain setup-test ## Measure commits, branches and merges beside PyIceberg in a release build; prints a page
	@cargo bench --quiet --locked --bench catalog

.PHONY: bench-maintain
bench-maintain: toolchain ## Measure 20,000 small commits with maintenance beside them in a release build; prints a page
	@cargo bench --quiet --locked --bench maintain

.PHONY: bench-ml
bench-ml: toolchain setup-test ## Measure training and prediction beside Python's libraries in a release build; prints a page
	@cargo bench --quiet --locked --bench ml

.PHONY: fuzz
fuzz: toolchain ## Fuzz each decoder and the log's replay for five minutes; needs a nightly toolchain and cargo-fuzz
	@cd fuzz && for target in $$(cargo +nightly fuzz list); do \
		cargo +nightly fuzz run $$target -- -max_total_time=300 || exit 1; \
	done

# --- Check it ---

.PHONY: lint
lint: toolchain ## Check format and lints; a warning fails
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

.PHONY: lines
lines: ## Check that no Rust file is longer than 500 lines
	@scripts/lines.sh

.PHONY: versions
versions: toolchain ## Check that there is one Arrow, Parquet, DataFusion, object_store and Iceberg
	@scripts/versions.sh

.PHONY: deny
deny: ## Check licences, advisories and sources of the dependencies, where cargo-deny is installed
	@if cargo deny --version >/dev/null 2>&1; then \
		set -x; cargo deny --locked check; \
	else \
		echo 'cargo-deny is not installed: `cargo install --locked cargo-deny` gets it'; \
	fi

.PHONY: check
check: lint lines versions deny ## All checks that run no test

# --- What the targets above need ---

.PHONY: toolchain
toolchain:
	@scripts/toolchain.sh
