# Every target sets up what it needs; on a fresh Debian or Ubuntu nothing has to be there but make.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.authsrv
PIP := $(BIN)/python -m pip install --quiet
REQUIREMENTS := requirements-build.txt requirements-dev.txt

APT_BASE := python3-venv python3-dev gcc pkg-config libkrb5-dev krb5-kdc krb5-admin-server krb5-user curl faketime \
  nginx-light
# Ubuntu's chromium is a snap behind a package of another name.
CHROMIUM := $(shell . /etc/os-release 2>/dev/null; [ "$$ID" = ubuntu ] && echo chromium-browser || echo chromium)
# The package apache2 would start a server; this one has the program and its modules only.
APT_APACHE := apache2-bin libapache2-mod-auth-gssapi
APT_TEST := $(APT_BASE) $(CHROMIUM) $(APT_APACHE) krb5-pkinit gss-ntlmssp nginx-light
APT_BENCH := $(APT_BASE) $(APT_APACHE)
# binutils makes a library for Windows; winbind has the program that Wine asks about NTLM.
APT_WINDOWS := $(APT_BASE) binutils wine64 winbind
# Heimdal's libraries live beside MIT's; its programs would replace them, and are taken out of their package.
APT_CLIENTS := $(APT_TEST) firefox-esr default-jdk-headless golang-go golang-github-jcmturner-gokrb5.v8-dev \
  mono-mcs libgssapi3-heimdal libkafs0-heimdal libkadm5clnt7-heimdal python3-gi gir1.2-soup-3.0 git openssl \
  nginx-light haproxy apache2-bin squid caddy

APT_PAGES := $(APT_BASE) $(CHROMIUM)

APT_DEBIAN := debootstrap git
RELEASE ?= trixie

# Installs what is missing, and only then asks for root.
define apt
	@missing=""; for package in $(1); do \
	  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	  echo "installing$$missing"; \
	  as_root=""; [ "$$(id -u)" = 0 ] || as_root=sudo; \
	  $$as_root apt-get -qq update && \
	  $$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $$missing >/dev/null; \
	fi
endef

COMPILE = build/uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
  --generate-hashes --no-annotate --custom-compile-command "make requirements"

.PHONY: help demo test test-debian test-windows test-clients test-pages test-readme check docs bench requirements clean system-demo system-test system-debian system-windows system-clients system-pages system-bench

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: system-demo $(STAMP) ## log in for real: a throw-away realm, the example server, curl, four refusals; the auth service behind nginx
	@$(BIN)/python examples/demo.py
	@$(BIN)/python examples/demo_service.py

test: system-test $(STAMP) ## the whole test suite, against a real realm and real clients
	@rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -n 2 --dist loadgroup --cov --cov-report= tests
	$(BIN)/python -m coverage report
	$(BIN)/python -m coverage report --fail-under=100 --skip-covered --include='authsrv/codecs/*,authsrv/handshake/machine.py,authsrv/core/outcome.py,authsrv/http/*,authsrv/sessions/*'

test-debian: system-debian ## demo and test in another release of Debian: RELEASE=trixie, which is the default, or sid
	@as_root=""; [ "$$(id -u)" = 0 ] || as_root=sudo; \
	$$as_root env MIRROR="$(MIRROR)" tests/debian/run.sh $(RELEASE) demo test

test-windows: system-windows $(STAMP) ## the unit tests and the SSPI tests, with Windows' CPython under Wine
	@$(BIN)/python tests/windows/wine.py

test-clients: system-clients $(STAMP) ## browsers, other languages' clients, and proxies, the service behind each; README's tables
	$(BIN)/python -m pytest tests/peers/try_clients.py tests/peers/try_proxies.py \
	  tests/peers/try_service.py tests/peers/try_service_attacks.py tests/peers/try_service_faults.py

test-pages: system-pages $(STAMP) ## the service's pages in Chromium, looked at by axe; pictures in build/pages
	$(BIN)/python -m pytest tests/pages/try_pages.py

test-readme: system-test $(STAMP) ## what the README prints, typed into an empty environment
	$(BIN)/python -m pytest tests/readme/try_readme.py

check: $(STAMP) ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP) ## the reference of all modules, from the docstrings, in build/docs
	@rm -rf build/docs
	@$(BIN)/python -W ignore -m pdoc --docformat google --output-directory build/docs \
	  $$(git ls-files 'authsrv/*.py' | sed -e '/__main__/d' -e 's#/__init__.py$$##' -e 's#.py$$##' -e 's#/#.#g')
	@echo "written: build/docs/index.html"

bench: system-bench $(STAMP) ## measure against Apache, a C loop and the obvious code; writes build/bench.json
	@$(BIN)/python tests/bench/run.py

requirements: system-demo ## newer versions of what development needs: writes requirements-*.txt
	$(PYTHON) -m venv build/uv && build/uv/bin/python -m pip install --quiet --upgrade uv
	$(COMPILE) --group build --output-file requirements-build.txt
	$(COMPILE) --extra dev --output-file requirements-dev.txt pyproject.toml

clean: ## remove what the other targets made here
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

system-demo:
	$(call apt,$(APT_BASE))

system-test:
	$(call apt,$(APT_TEST))

system-debian:
	$(call apt,$(APT_DEBIAN))

system-windows:
	$(call apt,$(APT_WINDOWS))

system-clients:
	$(call apt,$(APT_CLIENTS))

# Debian's npm brings hundreds of packages; where another one is, it will do.
system-pages:
	$(call apt,$(APT_PAGES) $(shell command -v npm >/dev/null || echo nodejs npm))

system-bench:
	$(call apt,$(APT_BENCH))

# All that comes from outside has its hash in these files. Without isolation, pip builds with what is
# installed already, and fetches nothing else.
$(STAMP): pyproject.toml $(REQUIREMENTS) | system-demo
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --requirement requirements-build.txt
	$(PIP) --require-hashes --no-build-isolation --requirement requirements-dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@
