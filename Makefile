# make help tells what there is to make.
PYTHON ?= python3
HUB ?= jupyterhub==6.*
PORT ?= 8000

SHELL := bash
# Each other Python or JupyterHub has an environment of its own.
VENV := .venv$(shell echo '-$(PYTHON)-$(HUB)' | sed 's/^-python3-jupyterhub==6\.\*$$//; s/[^A-Za-z0-9]\+/-/g; s/-$$//')
BIN := $(VENV)/bin

# Says what a step does, and at its end how long it took.
step = @echo "==> $(1)"; trap 'echo "==> $(1): took $$SECONDS s"' EXIT;

.PHONY: help demo test lint types plugin tests slow fuzz suite bench bench-agents drill soak cluster-test matrix audit supply-chain docs image image-lock is-release chart publish-image publish-chart publish-notes release-check release-notes clean clean-all
.NOTPARALLEL:

help:
	@echo 'make demo [PORT=8001]  a JupyterHub with JupyterLab behind Traefik on this machine; Ctrl-C stops it'
	@echo 'make test              all checks of a commit: lint, types, plugin, tests, suite (each also a target of its own)'
	@echo 'make slow              the tests that make test leaves out: benchmarks, upgrades, more stores, and the like'
	@echo 'make bench             compares the backends, and the proxies beside them, in 20 minutes'
	@echo '                       (make bench BENCH=--quick: in 3; BENCH=--docs: into the documentation; BENCH=--help: more)'
	@echo 'make bench-agents      what the way by agents costs, with ten of them, in 3 minutes'
	@echo 'make drill             kills each part under load, and says what users notice, in 10 minutes a backend'
	@echo '                       (make drill DRILL="--backend etcd --minutes 1"; DRILL=--help: more)'
	@echo 'make soak              kills parts at random for 20 minutes, or days, and ends when anything grows or is lost'
	@echo '                       (make soak SOAK="--minutes 60 --backend etcd --seed 7"; SOAK=--help: more)'
	@echo 'make cluster-test      the same for the chart on a node of Kubernetes of its own, in a quarter of an hour; needs root'
	@echo '                       (make cluster-test CLUSTER="--fault hub-killed"; CLUSTER=--help: more)'
	@echo 'make matrix            the tests against other versions of servers, JupyterHub and Python; hours the first time,'
	@echo '                       may be interrupted (make matrix MATRIX="etcd traefik-oldest"; MATRIX=--help: more)'
	@echo 'make fuzz              more hostile requests, routes and messages, new ones each time, in 5 minutes'
	@echo '                       (make fuzz FUZZ=60; SEED=1234 repeats those that a failure named)'
	@echo 'make audit             asks the public databases whether anything installed, or in the image, has known holes'
	@echo 'make supply-chain      writes into the documentation which packages a hub imports'
	@echo 'make docs              the documentation, into docs/_build/html'
	@echo 'make image             the image of the agent, with podman, buildah or docker, whichever is here'
	@echo '                       (make image IMAGE=registry.example.org/jhub-kvproxy:mine)'
	@echo 'make image-lock        takes the newest packages into the image'
	@echo 'make chart IMAGE=...   the chart of the release that is checked out, into dist/chart/, with its image in a registry'
	@echo 'make release-check     builds wheel and sdist of this commit into dist/, and looks whether they can be released'
	@echo 'make release-notes     what the release that is checked out changes, from the changelog'
	@echo 'make clean             removes what the others made here, but for benchmarks/results/; it leaves packages that they'
	@echo '                       installed, images of podman or docker, and what is built once for all checkouts'
	@echo '                       ($${XDG_CACHE_HOME:-~/.cache}/jhub-kvproxy/: up to 10 GB, hours on two cores)'
	@echo 'make clean-all         removes results and what is built once, too'
	@echo
	@echo "PYTHON=python3.12 and HUB='jupyterhub==5.*' choose others than $(PYTHON) and $(HUB);"
	@echo 'each such choice has a virtual environment of its own, .venv-...'

demo: $(VENV)/.has-demo
	@$(BIN)/python demo/run.py $(PORT)

test:
	@$(MAKE) --keep-going --no-print-directory lint types plugin tests suite

lint: $(VENV)/.has-test
	$(call step,ruff) $(BIN)/ruff check && $(BIN)/ruff format --check
	$(call step,imports) $(BIN)/lint-imports --no-cache --no-logo
	$(call step,bandit) $(BIN)/bandit --quiet -c pyproject.toml -r jhub_kvproxy backends demo

types: $(VENV)/.has-test
	$(call step,mypy) $(BIN)/mypy

# Traefik's plugin is in Go. Users need no Go, and neither do those who change other parts.
plugin:
	$(call step,plugin) cd jhub_kvproxy/traefik/plugin; \
	    if command -v go >/dev/null; then \
	        unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt would change $$unformatted"; exit 1; }; \
	        go vet ./... && go test ./... && go test -race ./...; \
	    elif [ -n "$$CI" ]; then echo "There is no Go, which tests the plugin."; exit 1; \
	    else echo "There is no Go, so the plugin's own tests are skipped."; fi

# Tests also wait, so there are more processes than the two cores of CI. In the order of testpaths: large files first,
# and at the end small ones, which keep all processes busy.
tests: $(VENV)/.has-test
	$(call step,pytest) $(BIN)/python -m pytest -m "not slow" -n 4 --dist loadfile --no-loadscope-reorder

# Benchmarks, upgrades, installing, hubs and commands on more stores: each week, before a release, and by those who
# change that.
slow: $(VENV)/.has-test
	$(call step,pytest) $(BIN)/python -m pytest -m slow -n 4 --dist loadfile

# Seconds, for all tests together.
FUZZ = 300
fuzz: $(VENV)/.has-test
	$(call step,fuzz) KVPROXY_FUZZ_SECONDS='$(FUZZ)' KVPROXY_FUZZ_SEED='$(SEED)' \
	    $(BIN)/python -m pytest tests/hostile -m fuzz -s --timeout=0

# All that a proxy can break on one store, and what is about the proxy itself on the others.
suite: $(VENV)/.has-test
	@$(MAKE) --keep-going --no-print-directory suite-toml suite-ssl suite-etcd suite-consul suite-redis

suite-toml: MODULES = test_proxy test_named_servers test_spawner test_services test_singleuser test_api \
    test_internal_ssl_connections
suite-etcd suite-consul suite-redis: MODULES = test_proxy
suite-%: $(VENV)/.has-test
	$(call step,JupyterHub suite on $*) KVPROXY_SUITE_STORE=$* \
	    $(BIN)/python -m pytest -c tests/jupyterhub_suite/pytest.ini \
	    -p tests.jupyterhub_suite.plugin -n 2 --dist loadfile \
	    --rootdir "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" --pyargs \
	    $(addprefix jupyterhub.tests.,$(MODULES))

# With JupyterHub.internal_ssl.
suite-ssl:
	@SSL_ENABLED=1 $(MAKE) --no-print-directory suite-toml MODULES=test_proxy

bench: $(VENV)/.has-bench
	@$(BIN)/python -m benchmarks $(BENCH)

bench-agents: $(VENV)/.has-bench
	@$(BIN)/python -m benchmarks.agents $(BENCH)

drill: $(VENV)/.has-bench
	@$(BIN)/python -m benchmarks.drill $(DRILL)

soak: $(VENV)/.has-bench
	@$(BIN)/python -m benchmarks.soak $(SOAK)

cluster-test: $(VENV)/.has-bench
	@tools/kubernetes newest node helm
	@$(BIN)/python -m benchmarks.cluster $(CLUSTER)

# Over the network, so not a part of the tests.
matrix: $(VENV)/.has-test
	@nice $(BIN)/python -m matrix $(MATRIX)

# What is installed, and what the image has.
audit: $(VENV)/.has-audit
	$(call step,pip-audit) set -o pipefail; \
	    $(BIN)/pip freeze --exclude-editable | \
	        $(BIN)/pip-audit --strict --no-deps --disable-pip --requirement /dev/stdin && \
	    $(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement charts/image/requirements.lock

supply-chain: $(VENV)/.has-test
	@$(BIN)/python -m tools.supply_chain

docs: $(VENV)/.has-docs
	$(call step,sphinx) $(BIN)/sphinx-build -W docs docs/_build/html

IMAGE =
image:
	@tools/image $(IMAGE)

# Of the tag v1.2.3 or v1.2.3rc1 that is checked out. Whatever else a tag is named does not reach a shell.
RELEASE = $(patsubst v%,%,$(shell git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null | \
    grep -xE 'v[0-9]+\.[0-9]+\.[0-9]+((a|b|rc)[0-9]+)?'))
is-release:
	@test -n '$(RELEASE)' || { echo 'No tag such as v1.2.3 is checked out.' >&2; exit 1; }
	@test -z "$$(git status --porcelain --untracked-files=no)" || \
	    { echo 'There are changes that are not committed, so this is not v$(RELEASE).' >&2; exit 1; }
	@test -n '$(IMAGE)' || { echo 'Name the image: IMAGE=registry.example.org/jhub-kvproxy' >&2; exit 1; }

chart: is-release
	@rm -rf dist/chart && mkdir -p dist/chart && tools/chart '$(RELEASE)' '$(IMAGE)' dist/chart

release-check: $(VENV)/.has-release
	@$(BIN)/python -m tools.release_check

release-notes:
	@$(PYTHON) -m tools.changelog $(RELEASE)

# These three are the workflow's, which is logged in.
publish-image: is-release
	@PUSH=yes tools/image '$(IMAGE):$(RELEASE)'

publish-chart: chart
	@helm push dist/chart/jhub-kvproxy-*.tgz 'oci://$(dir $(IMAGE))charts'

publish-notes: chart
	@notes=$$($(PYTHON) -m tools.changelog '$(RELEASE)') && \
	    gh release create 'v$(RELEASE)' --verify-tag --notes "$$notes" \
	    $(if $(shell echo '$(RELEASE)' | grep '[abc]'),--prerelease) \
	    dist/packages/* dist/chart/* dist/jhub-kvproxy.cdx.json

image-lock: $(VENV)/.has-test
	@$(BIN)/python tools/lock_image.py

clean:
	rm -rf .venv* .servers build dist docs/_build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/jhub-kvproxy
clean-all: clean
	rm -rf benchmarks/results
	test ! -d '$(CACHE)' || chmod -R u+w '$(CACHE)'
	rm -rf '$(CACHE)'

# The environment with the extra that the name ends in; made again when what it is made from changes.
$(VENV)/.has-%: setup.cfg pyproject.toml tools/setup tools/kubernetes
	@tools/setup '$(PYTHON)' $(VENV) '$(HUB)' $* && touch $@
