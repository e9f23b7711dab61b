# Everything a user or CI runs. Each target sets up what it needs and is quick the second time.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON := /usr/bin/python3# bcc is a distribution package, built for the distribution's interpreter
VENV := .venv
BIN := $(VENV)/bin

ARCH := $(shell dpkg --print-architecture 2>/dev/null)
PACKAGES := python3-venv python3-bpfcc linux-headers-$(ARCH) redis-server
# The systems that Icelane is compared with, and compilers for the relays written for that.
BENCH_PACKAGES := nginx libnginx-mod-stream coturn nftables golang-go gcc libc6-dev
# Those that calls go through in `make bench-alternatives`.
ALTERNATIVES_PACKAGES := janus coturn nftables
TEST_PACKAGES := chromium chromium-driver firefox-esr tcpdump rsync qemu-utils janus $(BENCH_PACKAGES)
# What makes and runs a virtual machine.
VM_PACKAGES := debootstrap e2fsprogs openssh-client qemu-system-x86 qemu-utils

# Where benchmarks leave results and report; `make bench BENCH=docs` renews those of the project.
BENCH := .bench

# $(call apt,PACKAGES): install those that are missing; says what to do when it may not.
define apt
	@missing=$$(for p in $(1); do \
	    dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	    if [ "$$(id -u)" != 0 ]; then \
	        echo "These packages are missing; run as root: apt-get install" $$missing >&2; exit 1; fi; \
	    exec 9>/run/lock/icelane-apt.lock && flock 9; \
	    echo "Installing" $$missing; log=/run/lock/icelane-apt.log; \
	    { apt-get update -q && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install \
	        -qy --no-install-recommends -o DPkg::Lock::Timeout=300 $$missing; } >$$log 2>&1 \
	        || { tail -n 20 $$log >&2; rm -f $$log; exit 1; }; \
	    rm -f $$log; fi
endef

# $(call install,WHAT,FILES): install the project with its packages into the virtual environment,
# and mark that by $@ and the other FILES. One make at a time; what one that was killed has left
# half-way is made anew.
define install
	@{ exec 9>$(VENV).lock; } 2>/dev/null || { echo "This directory cannot be written; name" \
	    "another for what is installed: make $(firstword $(MAKECMDGOALS)) VENV=/var/tmp/icelane" >&2; \
	    exit 1; }; \
	flock -n 9 || { echo "Waiting for another make, which installs Python packages"; flock 9; }; \
	[ $@ -nt pyproject.toml ] && [ $@ -nt .ci/requirements.lock ] && exit 0; \
	if [ -e $(VENV)/.unfinished ]; then \
	    rm -rf $(VENV)/{bin,lib,lib64,include,share,pyvenv.cfg,.runtime,.dev,.bench}; fi; \
	mkdir -p $(VENV) && touch $(VENV)/.unfinished && \
	if [ ! -x $(BIN)/python ]; then echo "Making the virtual environment" && \
	    $(PYTHON) -m venv --system-site-packages $(VENV); fi && \
	echo "Installing Python packages" && mkdir -p $(VENV)/tmp && \
	TMPDIR=$$(realpath $(VENV)/tmp) $(BIN)/python -m pip install -q --disable-pip-version-check --root-user-action=ignore \
	    -c .ci/requirements.lock -e '$(1)' && rm $(VENV)/.unfinished && touch $@ $(2)
endef

.PHONY: help setup setup-test setup-bench demo lab-up lab-down lab-shell test lint types unit \
    bench bench-quick bench-cost bench-alternatives format lock clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

setup: packages $(VENV)/.runtime object ## install what running needs (apt packages, .venv)

# The compiled XDP program: whoever loads it then needs no compiler. Only root can make it, and a
# machine without BPF does without: `icelane relay run` says what is missing when it wants XDP.
.PHONY: object
object: $(VENV)/.runtime
	@if [ "$$(id -u)" = 0 ]; then $(BIN)/icelane relay build --if-missing || true; fi

setup-test: packages test-packages $(VENV)/.dev object ## install what testing needs, too

setup-bench: packages bench-packages $(VENV)/.bench object ## install what the benchmarks need, too

.PHONY: packages test-packages bench-packages alternatives-packages
packages:
	$(call apt,$(PACKAGES))

test-packages:
	$(call apt,$(TEST_PACKAGES))

bench-packages:
	$(call apt,$(BENCH_PACKAGES))

alternatives-packages:
	$(call apt,$(ALTERNATIVES_PACKAGES))

INSTALLED_FROM := pyproject.toml .ci/requirements.lock
$(VENV)/.runtime: $(INSTALLED_FROM) | packages
	$(call install,.)

$(VENV)/.dev: $(INSTALLED_FROM) | packages
	$(call install,.[dev],$(VENV)/.runtime $(VENV)/.bench)

$(VENV)/.bench: $(INSTALLED_FROM) | packages
	$(call install,.[bench],$(VENV)/.runtime)

# Before set-up, which takes half a minute.
.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo "This needs root, for network namespaces: run it as root," \
	    "such as with \`sudo make $(firstword $(MAKECMDGOALS))\`." >&2; exit 1; }

demo: root setup ## real calls through the XDP relay, with its agent killed during them
	@$(BIN)/python -m tests.lab demo $(ARGS)

lab-up: root setup ## three hosts on this machine, joined by veth, with the services running in them
	@$(BIN)/python -m tests.lab up $(ARGS)

lab-down: root setup ## take them down
	@$(BIN)/python -m tests.lab down $(ARGS)

HOST := client
lab-shell: root setup ## a shell in a host of the lab: HOST=client, relay or transceiver
	@PATH="$(CURDIR)/$(BIN):$$PATH" debian_chroot=$(HOST) \
	    $(BIN)/python -m tests.lab exec $(ARGS) $(HOST) $${SHELL:-bash}

test: setup-test lint types unit ## lint, types and all tests

lint: setup-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup-test
	@$(BIN)/mypy

unit: setup-test
	@$(BIN)/pytest $(ARGS)

.PHONY: vm-packages vm-image vm-box vm-test vm-shell
vm-packages:
	$(call apt,$(VM_PACKAGES))

vm-image: root setup vm-packages ## build the base image of a virtual machine, with Debian's own kernel
	@$(BIN)/python -m vagrant image

vm-box: root setup vm-packages ## a Vagrant box for libvirt, of that image
	@$(BIN)/python -m vagrant box

vm-test: root setup vm-packages ## the demo, the tests and a call in it; software emulation without KVM
	@$(BIN)/python -m vagrant test $(ARGS)

vm-shell: root setup vm-packages ## a shell in it
	@$(BIN)/python -m vagrant shell $(ARGS)

bench: setup-bench ## Icelane beside other systems, with a report, in 17 minutes
	@$(call compare,)

bench-quick: setup-bench ## the same in 3 minutes, with rough figures
	@$(call compare,--quick)

bench-cost: root setup ## what a packet costs in the XDP program, beside the aims, in 10 minutes
	@$(BIN)/python -m tests.bench cost $(ARGS)

bench-alternatives: packages alternatives-packages $(VENV)/.bench object ## TURN, a port per session, an SFU, one service beside Icelane, in 16 minutes
	@mkdir -p $(BENCH) && $(BIN)/python -m tests.bench alternatives --output $(BENCH)/alternatives.json $(ARGS)

# $(call compare,OPTIONS): measure, write the report, and say what moved since the project's run.
define compare
	mkdir -p $(BENCH) && cp docs/benchmarks.json $(BENCH)/baseline.json && rm -f $(BENCH)/benchmarks.json; \
	$(BIN)/python -m tests.bench run $(1) --output $(BENCH)/benchmarks.json $(ARGS); ran=$$?; \
	$(BIN)/python -m tests.bench report $(BENCH)/benchmarks.json --output $(BENCH)/benchmarks.md \
	    $(addprefix --alternatives ,$(wildcard $(BENCH)/alternatives.json)) \
	    && $(BIN)/python -m tests.bench check $(BENCH)/benchmarks.json --baseline $(BENCH)/baseline.json; \
	told=$$?; rm -f $(BENCH)/baseline.json; exit $$((ran || told))
endef

format: setup-test ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## renew .ci/requirements.lock from pyproject.toml
	@tmp=$$(mktemp -d) && $(PYTHON) -m venv $$tmp && $$tmp/bin/pip install -q hatchling editables . '.[dev]' \
	    && { echo "# Every Python dependency at the version that CI passed with; renew with \`make lock\`."; \
	         $$tmp/bin/pip freeze --exclude icelane; } > .ci/requirements.lock; rm -rf $$tmp

clean: ## remove what was made here
	rm -rf $(VENV) $(VENV).lock .bench .vm .mypy_cache .pytest_cache .ruff_cache .hypothesis
