# The front door. `make run` and `make test` work on a fresh Debian with Rust: what they need and do not find they
# install (as root, or with sudo); when nothing is missing they install nothing and need no network.

.PHONY: help run test soak bench check fmt lint fuzz

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

run: ## build the edge and start it with conf/quickstart.toml
	@$(call need,cc:gcc cc:libc6-dev cmake:cmake)
	cargo run --release --package wxedge -- run --config conf/quickstart.toml

test: target/venv/ready target/node/ready ## run every test
	@$(call need,cc:gcc cc:libc6-dev cmake:cmake nginx:nginx-light node:nodejs faketime:faketime chromium:chromium \
		prometheus:prometheus prometheus-alertmanager:prometheus-alertmanager systemd-analyze:systemd)
	cargo test --workspace --doc
	$(NEXTEST)

soak: ## prove for MINUTES=30, as root, that crashes and power cuts lose nothing
	@$(call need,cc:gcc cc:libc6-dev cmake:cmake mkfs.xfs:xfsprogs mkfs.ext4:e2fsprogs)
	WXEDGE_SOAK_MINUTES=$(or $(MINUTES),30) \
		cargo test --release --package wxedge --test soak -- --nocapture --test-threads=1

bench: ## measure wxedge beside nginx, Pingora, FastAPI and koa, its spool and its sidecar (ARGS="--help" says more)
	@$(call need,cc:gcc cc:libc6-dev cmake:cmake nginx:nginx-light node:nodejs npm:npm)
	@$(call need-venv)
	cargo build --release --package wxedge --package wxedge-sidecar --package wxedge-tests
	python3 tests/bench/bench.py $(ARGS)

check: lint test ## all that CI checks

fmt: ## format the code
	cargo fmt --all

lint: ## formatting, lints, documentation, licences
	@$(call need,cc:gcc cc:libc6-dev cmake:cmake)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --package wxedge --test soak --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	@cargo deny --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-deny
	cargo deny --log-level error check bans licenses sources
	bash -n .ci/run
	@$(call need-venv)
	python3 -m py_compile tests/bench/*.py tests/protocol/*.py tests/sdk/*.py

fuzz: ## run every fuzz target for MINUTES=5; `make test` runs them for a second
	BOLERO_RANDOM_ITERATIONS=1000000000000 BOLERO_RANDOM_TEST_TIME_MS=$$(($(or $(MINUTES),5) * 60000)) \
		cargo test --release --package wxedge-tests --test fuzz -- --nocapture

# cargo-nextest ends a test that hangs and runs each in a process of its own; without it `cargo test` does.
NEXTEST = $(shell cargo nextest --version >/dev/null 2>&1 \
	&& echo cargo nextest run --workspace || echo cargo test --workspace --lib --bins --tests --examples)

# Python's side of the differential tests, and its SDK.
target/venv/ready: tests/requirements.txt
	@$(call need-venv)
	python3 -m venv target/venv
	target/venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	@touch $@

# Node's SDK.
target/node/ready: tests/sdk/package.json tests/sdk/package-lock.json
	@$(call need,node:nodejs npm:npm)
	mkdir -p target/node
	cp tests/sdk/package.json tests/sdk/package-lock.json target/node
	npm ci --silent --no-audit --no-fund --prefix target/node
	@touch $@

# $(call need,program:package ...) installs the Debian packages whose program is missing.
need = PATH="$$PATH:/usr/sbin:/sbin"; missing=; \
	for pair in $(1); do command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair\#\#*:}"; done; \
	$(install-missing)

# Debian has Python without the part that makes a virtual environment.
need-venv = missing=; python3 -c 'import ensurepip' 2>/dev/null || missing="python3 python3-venv"; $(install-missing)

# Debian starts the services of what it installs unless policy-rc.d forbids it: tests need programs, not services.
install-missing = [ -z "$$missing" ] || { \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	$$sudo env DEBIAN_FRONTEND=noninteractive sh -ec 'policy=/usr/sbin/policy-rc.d; \
		[ -e $$policy ] || { trap "rm -f $$policy" EXIT; printf "\043!/bin/sh\nexit 101\n" >$$policy; chmod 755 $$policy; }; \
		apt-get update -qq; apt-get install -qq -y --no-install-recommends "$$@" >/dev/null' - $$missing; }
