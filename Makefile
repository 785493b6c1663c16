# The commands of this project. Each installs what it needs where it may, or says what is missing.

PREFIX ?= /usr/local
SIM_SCHEDULES ?= 1000000
FUZZ_SECONDS ?= 60
export CARGO_TARGET_DIR ?= $(CURDIR)/target
# Not below CARGO_TARGET_DIR, which sudo does not pass on to `make install`.
BUILD ?= $(CURDIR)/build

.PHONY: all help demo test bindings check nightly sim explore chaos fuzz sanitize bench docs packages release-check install clean

all: ## Build the library (the default)
	@scripts/need build
	@cmake -S . -B "$(BUILD)" -DCMAKE_BUILD_TYPE=Release -DCONSUL_LOCK_CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)"
	@cmake --build "$(BUILD)"

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

demo: ## See it work: two processes, one lock, a kill -9
	@scripts/demo

test: ## All tests, against a real Consul (some 19 min from nothing on 2 cores)
	@scripts/test

bindings: ## The tests of the bindings alone: LANGUAGES="go node" for some
	@scripts/bindings test $(LANGUAGES)

check: ## Formats, lints, documentation, licences
	@scripts/check

nightly: ## What takes longer: a million schedules, a soak, crashes, valgrind, Miri, sanitizers, fuzz targets
	@scripts/nightly

sim: ## The simulation: SIM_SCHEDULES=1000000, or SIM_SEED=n to replay one in words
	@SIM_SCHEDULES=$(SIM_SCHEDULES) cargo test --quiet --release --locked --lib random_schedules -- --nocapture

chaos: ## A cluster that is really broken, as root: CHAOS_SECONDS=120, CHAOS_SEED=n for the same faults
	@scripts/chaos

fuzz: ## The parsers against inputs without end: FUZZ_SECONDS=60 for each target, TARGETS="key address" for some
	@scripts/fuzz $(FUZZ_SECONDS) $(TARGETS)

sanitize: ## The C tests and the random caller with ThreadSanitizer and with AddressSanitizer
	@scripts/sanitize thread
	@scripts/sanitize address

explore: ## All schedules of small worlds: EXPLORE_WORLD=two, EXPLORE_FAULTS=2, EXPLORE_NIGHTLY=1
	@cargo test --quiet --release --locked --lib every_schedule -- --nocapture

bench: ## Measure: cycle, contention, peers; tables, plots and target/bench/results.json
	@scripts/bench

docs: ## The documentation as a site: target/site/html/index.html
	@scripts/docs

packages: ## What is shipped for x86_64, built and checked: TARGETS="aarch64-linux-gnu" for others
	@scripts/packages $(TARGETS)

release-check: ## What must be so before a release: SINCE=REF compares the ABI, OUT=FOLDER has the packages
	@scripts/release-check $(if $(SINCE),--since $(SINCE)) $(OUT)

install: ## Install what `make` has built into PREFIX=/usr/local; needs no Rust
	@packaging/install "$(BUILD)" "$(PREFIX)" "$(DESTDIR)"

clean: ## Remove what was built
	rm -rf "$(BUILD)"
	cargo clean
