# Everything that a developer runs. `make` alone lists it.

CARGO  ?= cargo
target := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help demo test simulation fuzz cluster-test check image generate bench bench-scale bench-peer clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Run an Application on a real wasmCloud host, from a real Kubernetes API, until Ctrl-C
	@$(CARGO) build --workspace --bins
	@$(target)/debug/demo $(target)/debug/trellis

test: ## Get the real parts, then run all tests
	@$(CARGO) build --workspace --all-targets
	@$(target)/debug/parts prepare
	@$(CARGO) test --workspace

simulation: ## Run thousands of seeds of everything at once, in virtual time (FROM=… COUNT=…)
	@$(CARGO) run --quiet --release --locked --package simulation -- $(or $(FROM),0) $(or $(COUNT),3000)

# What libFuzzer needs to see where an input went; only for what is fuzzed, not for build scripts.
seen := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks
machine = $(shell rustc -vV | sed -n 's/^host: //p')

fuzz: input = $(or $(TARGET),manifest)
fuzz: ## Look for bytes that break what is read (TARGET=manifest, event or inventory; SECONDS=…); needs a C++ compiler
	@RUSTFLAGS="$(seen)" $(CARGO) build --release --locked --package fuzz --features libfuzzer --target $(machine) --target-dir $(target)/fuzz
	@mkdir -p $(target)/fuzz/found/$(input)
	@$(target)/fuzz/$(machine)/release/fuzz-$(input) $(target)/fuzz/found/$(input) \
		hack/fuzz/seeds/$(input) -max_total_time=$(or $(SECONDS),600) -max_len=65536 -rss_limit_mb=1024 -timeout=5 \
		-artifact_prefix=$(target)/fuzz/found/

cluster-test: ## Take Trellis from helm install to helm uninstall, on a Kubernetes node of its own
	@$(CARGO) build --workspace --bins
	@$(target)/debug/cluster-test $(target)/debug/trellis

check: ## Formatting, lints, docs, generated files, one crypto provider
	@$(CARGO) fmt --all --check
	@for part in host http-provider wadm; do $(CARGO) fmt --check --manifest-path hack/$$part/Cargo.toml || exit 1; done
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	@$(CARGO) build --quiet --workspace --bin trellis --bin generate
	@$(target)/debug/generate --check $(target)/debug/trellis
	@! $(CARGO) tree --workspace --edges normal,build,dev -i aws-lc-rs 2>/dev/null | grep . \
		|| { echo "a second crypto provider came in: only ring is wanted" >&2; exit 1; }

image: ## Make the operator's container image; with REGISTRY=HOST/PATH (and TAG=…), push it there
	@$(CARGO) build --release --locked --bin trellis
	@$(CARGO) run --quiet --package parts -- image $(target)/release/trellis target/image "$(REGISTRY)" "$(TAG)"

generate: ## Write what is made from the code and the chart: CRDs, config/, the table of values
	@$(CARGO) build --quiet --workspace --bin trellis --bin generate
	@$(target)/debug/generate $(target)/debug/trellis

bench: ## Measure the planner and the fold
	@$(CARGO) bench --workspace

bench-scale: ## Measure the operator with 1,000 hosts and 10,000 Applications (SIZE="--hosts … --applications …")
	@$(CARGO) build --release --locked --package trellis --package scale --bins
	@$(target)/release/scale alone $(target)/release/trellis $(SIZE)

bench-peer: ## Measure the operator beside wadm, with the same hosts and manifests (SIZE as above)
	@$(CARGO) build --release --locked --package trellis --package scale --bins
	@$(target)/release/scale beside $(target)/release/trellis --lattices 1 $(or $(SIZE),--hosts 50 --applications 100)

clean: ## Remove what was built here; the real parts stay in their cache
	@$(CARGO) clean
