# Both targets do all their set-up on a fresh machine: Debian or Ubuntu as root, or anything that has Docker.
.PHONY: quickstart test check fuzz bench bench-serving bench-optimize lock clean

quickstart:
	@scripts/quickstart

test:
	@scripts/test

# Formatting, lint, types and the tests that need no engine, for the time between two edits.
check:
	@scripts/setup
	@scripts/check
	@.venv/bin/pytest -q -m "not engine"

# Other requests at each run; `make test` sends the same 1,859 every time.
fuzz:
	@scripts/setup
	@.venv/bin/pytest -q tests/fuzz --fuzz-requests 10000

bench:
	@scripts/setup
	@scripts/ensure-engine
	@scripts/ensure-base
	@.venv/bin/python -m benchmarks.build
	@.venv/bin/python -m benchmarks.integrity
	@.venv/bin/python -m benchmarks.company

# The server, bare and in its image, against the limit of this machine and against its peers. PEERS= leaves them out.
bench-serving:
	@scripts/setup
	@.venv/bin/python examples/export_minilm.py
	@scripts/ensure-engine
	@scripts/ensure-base
	@.venv/bin/build-image --models benchmarks/serving.yaml
	@.venv/bin/python -m benchmarks.serving --image build-image/benchmark-serving $(if $(filter undefined,$(origin PEERS)),,--peers $(PEERS))

# Each optimisation of a graph by itself, on all-MiniLM-L6-v2 and on a reranker of XLM-RoBERTa's base size; and how long
# images with and without take to start.
bench-optimize:
	@scripts/setup
	@.venv/bin/python examples/export_minilm.py
	@scripts/ensure-engine
	@scripts/ensure-base
	@.venv/bin/build-image --models benchmarks/starting.yaml
	@.venv/bin/python -m benchmarks.starting
	@.venv/bin/python -m benchmarks.optimize

lock:
	@scripts/setup
	@.venv/bin/python -m pip install --quiet uv
	@scripts/lock

clean:
	rm -rf .venv .clients build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache examples/models
