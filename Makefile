# make demo    from nothing to a trained model that writes
# make test    all tests
# make help    the rest

CARGO ?= $(shell command -v cargo 2>/dev/null || echo $(HOME)/.cargo/bin/cargo)
PYTHON ?= python3
WEFT := target/release/weft
DEMO := target/demo

.PHONY: help setup build demo test bench fmt lint clean

help:
	@echo "make demo   build, then train the example and let it write"
	@echo "make test   all tests"
	@echo "make build  target/release/weft"
	@echo "make bench  Weft beside the systems in benches/requirements.txt that PYTHON has; ARGS=--help says what can be chosen"
	@echo "make fmt    the one layout; make lint  formatting and clippy"
	@echo "make clean  remove what was built"

setup:
	@sh scripts/setup.sh

build: setup
	$(CARGO) build --release --locked -p weft

demo: build
	@mkdir -p $(DEMO)
	$(WEFT) build examples/shakespeare.weft -o $(DEMO)/shakespeare
	$(DEMO)/shakespeare train --out $(DEMO)/run
	$(DEMO)/shakespeare evaluate --weights $(DEMO)/run/weights.safetensors
	$(DEMO)/shakespeare generate --weights $(DEMO)/run/weights.safetensors --tokens 300
	@echo
	@echo "checkpoint: $(DEMO)/run/checkpoint.safetensors"
	@echo "loss curve: $(DEMO)/run/loss.svg"
	@echo "go on:      $(DEMO)/shakespeare generate --weights $(DEMO)/run/weights.safetensors --prompt 'ROMEO.'"

test: setup
	$(CARGO) test --workspace --locked

bench: build
	$(PYTHON) -m benches $(ARGS)

fmt:
	$(CARGO) fmt --all

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

clean:
	$(CARGO) clean
