# Everything a user or CI runs. Each target sets up what it needs and is quick the second time.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON := /usr/bin/python3# bcc is a distribution package, built for the distribution's interpreter
VENV := .venv
BIN := $(VENV)/bin
# Targets of make are in it, which have no spaces. The path of this directory may have some.
ifneq ($(words $(VENV)),1)
$(error VENV is a path without spaces: "$(VENV)" is none)
endif

ARCH := $(shell dpkg --print-architecture 2>/dev/null)
PACKAGES := python3-venv python3-bpfcc linux-headers-$(ARCH) redis-server
# The routing daemon, by which several relays have one address.
DEMO_PACKAGES := bird2
# The systems that Icelane is compared with, and compilers for the relays written for that.
BENCH_PACKAGES := nginx libnginx-mod-stream coturn nftables golang-go gcc libc6-dev
# Those that calls go through in `make bench-alternatives`.
ALTERNATIVES_PACKAGES := janus coturn nftables
# Real clients that calls are placed with. Node's own packages come with npm, the distribution's do not.
CLIENT_PACKAGES := chromium chromium-driver firefox-esr golang-go golang-github-pion-webrtc.v3-dev \
    python3-gst-1.0 gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice gstreamer1.0-plugins-base \
    gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
    $(if $(shell command -v node),,nodejs) $(if $(shell command -v npm),,npm)
# The compiler that tests/fuzz/run.py names; libFuzzer and the sanitizers come with the second one.
FUZZ_PACKAGES := clang-14 libclang-rt-14-dev
TEST_PACKAGES := $(CLIENT_PACKAGES) $(FUZZ_PACKAGES) $(DEMO_PACKAGES) espeak-ng faketime tcpdump rsync qemu-utils \
    janus prometheus $(BENCH_PACKAGES)
# What the tests need that meet the kernel and its drivers, and these tests.
KERNEL_TEST_PACKAGES := gcc libc6-dev nftables tcpdump
KERNEL_TESTS := tests/bpf tests/relay/dataplane $(addprefix tests/netns/test_,xdp_forwarding.py above.py bond.py)
# What makes and runs a virtual machine.
VM_PACKAGES := debootstrap e2fsprogs openssh-client qemu-system-x86 qemu-utils

# What builds an image, and plays the manifests of Kubernetes with it.
CONTAINER_PACKAGES := podman runc catatonit debootstrap

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

# Whether the virtual environment is where it was made, as its programs name their interpreter in full,
# and whether the project is where pip wrote down that it is (PEP 610). Neither is so in a directory
# that was copied or moved with all it has: the code that runs would be that of the other one.
define is_in_place
made=$$(sed -n '1,2s|^[^/]*\(/.*/bin\)/python.*|\1|p' $(BIN)/icelane 2>/dev/null); \
    [ -z "$$made" ] || [ "$$made" -ef $(BIN) ]
endef
define is_of_this
url=$$(sed -n 's|.*"url": *"file://\([^"]*\)".*|\1|p' \
    $(VENV)/lib/python3*/site-packages/icelane-*.dist-info/direct_url.json 2>/dev/null | tail -n 1); \
    [ -z "$$url" ] || [ "$$(printf %b "$${url//%/\\x}")" -ef . ]
endef
# Then it is newer than what it is made of, and made all the same.
ELSEWHERE := $(shell { $(is_in_place); } && { $(is_of_this); } || echo elsewhere)
.PHONY: elsewhere

# $(call install,WHAT,FILES): install the project with its packages into the virtual environment,
# and mark that by $@ and the other FILES. One make at a time; what one that was killed has left
# half-way is made anew.
define install
	@{ exec 9>$(VENV).lock; } 2>/dev/null || { echo "This directory cannot be written; name" \
	    "another for what is installed: make $(firstword $(MAKECMDGOALS)) VENV=/var/tmp/icelane" >&2; \
	    exit 1; }; \
	flock -n 9 || { echo "Waiting for another make, which installs Python packages"; flock 9; }; \
	if ! { $(is_in_place); }; then \
	    echo "Making the virtual environment anew, which was made in another directory"; \
	    touch $(VENV)/.unfinished; rm -rf $(VENV)/{clients,audit,.clients,.examples}; \
	elif ! { $(is_of_this); }; then \
	    echo "Installing this directory in place of another"; \
	    rm -f $(VENV)/{.runtime,.dev,.bench,.clients,.examples}; \
	elif [ $@ -nt pyproject.toml ] && [ $@ -nt .ci/requirements.lock ]; then exit 0; fi; \
	if [ -e $(VENV)/.unfinished ]; then \
	    rm -rf $(VENV)/{bin,lib,lib64,include,share,pyvenv.cfg,.runtime,.dev,.bench}; fi; \
	mkdir -p $(VENV) && touch $(VENV)/.unfinished && \
	if [ ! -x $(BIN)/python ]; then echo "Making the virtual environment" && \
	    $(PYTHON) -m venv --system-site-packages $(VENV); fi && \
	echo "Installing Python packages" && mkdir -p $(VENV)/tmp && \
	TMPDIR=$$(realpath $(VENV)/tmp) $(BIN)/python -m pip install -q --disable-pip-version-check --root-user-action=ignore \
	    -c .ci/requirements.lock -e '$(1)' && rm $(VENV)/.unfinished && touch $@ $(2)
endef

.PHONY: clients help setup setup-test setup-bench demo lab-up lab-down lab-shell test lint types unit \
    bench bench-quick bench-cost bench-failover bench-flood bench-turn bench-voice bench-scale bench-alternatives format lock clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

setup: packages $(VENV)/.runtime object bytecode ## install what running needs (apt packages, .venv)

# The compiled XDP program: whoever loads it then needs no compiler. Only root can make it, and a
# machine without BPF does without: `icelane relay run` says what is missing when it wants XDP.
.PHONY: object
object: $(VENV)/.runtime
	@if [ "$$(id -u)" = 0 ]; then $(BIN)/icelane relay build --if-missing || true; fi

# Python's bytecode, which a start would else compile again wherever PYTHONDONTWRITEBYTECODE is set or
# the user that serves may not write here. Where nobody may, it does without.
.PHONY: bytecode
bytecode: $(VENV)/.runtime
	@$(BIN)/python -m compileall -qq relay signaling transceiver tests/lab || true

setup-test: packages test-packages $(VENV)/.dev $(VENV)/.clients $(VENV)/.examples object bytecode ## install what testing needs, too

setup-bench: packages bench-packages $(VENV)/.bench object bytecode ## install what the benchmarks need, too

.PHONY: packages demo-packages test-packages bench-packages alternatives-packages
packages:
	$(call apt,$(PACKAGES))

demo-packages:
	$(call apt,$(DEMO_PACKAGES))

test-packages:
	$(call apt,$(TEST_PACKAGES))

bench-packages:
	$(call apt,$(BENCH_PACKAGES))

alternatives-packages:
	$(call apt,$(ALTERNATIVES_PACKAGES))

comma := ,
INSTALLED_FROM := pyproject.toml .ci/requirements.lock $(ELSEWHERE)
$(VENV)/.runtime: $(INSTALLED_FROM) | packages
	$(call install,.[agent])

$(VENV)/.dev: $(INSTALLED_FROM) | packages
	$(call install,.[dev],$(VENV)/.runtime $(VENV)/.bench)

$(VENV)/.bench: $(INSTALLED_FROM) | packages
	$(call install,.[agent$(comma)bench],$(VENV)/.runtime)

# What the clients need that no package has: Node's modules, beside links to their programs, and
# the program with Pion.
CLIENTS := tests/lab/clients/drivers
$(VENV)/.clients: $(wildcard $(CLIENTS)/node/* $(CLIENTS)/pion/*) $(ELSEWHERE) | test-packages $(VENV)/.dev
	@exec 9>$(VENV).lock; flock 9; echo "Installing WebRTC clients"; \
	built="$$(realpath $(VENV))/clients" && mkdir -p "$$built"/{node,go/src/icelane} && \
	ln -sfn "$(CURDIR)"/$(CLIENTS)/node/*.mjs "$$built"/node/ && \
	cp $(CLIENTS)/node/*.json "$$built"/node/ && \
	npm ci --prefix "$$built"/node --ignore-scripts --no-audit --no-fund --loglevel error >/dev/null && \
	ln -sfn "$(CURDIR)"/$(CLIENTS)/pion "$$built"/go/src/icelane/pion && \
	(cd "$$built"/go/src/icelane/pion && CGO_ENABLED=0 GO111MODULE=off GOCACHE="$$built"/go/cache \
	    GOPATH="$$built"/go:/usr/share/gocode go build -o "$$built"/pion .) && \
	touch $@

# Node's modules that the examples need, which tests of the official packages use as well, and the
# examples with Pion: a client, and a server behind a relay.
EXAMPLES := docs/examples
FRONTING := docs/fronting
$(VENV)/.examples: $(wildcard $(EXAMPLES)/node/*.json $(EXAMPLES)/pion/* $(FRONTING)/icelane.go $(FRONTING)/pion/*) $(ELSEWHERE) | $(VENV)/.clients
	@exec 9>$(VENV).lock; flock 9; echo "Installing what the examples need"; \
	built="$$(realpath $(VENV))/clients" && mkdir -p "$$built"/examples && \
	cp $(EXAMPLES)/node/*.json "$$built"/examples/ && \
	npm ci --prefix "$$built"/examples --ignore-scripts --no-audit --no-fund --loglevel error >/dev/null && \
	ln -sfn "$(CURDIR)"/$(EXAMPLES)/pion "$$built"/go/src/icelane/example && \
	ln -sfn "$(CURDIR)"/$(FRONTING) "$$built"/go/src/icelane/fronting && \
	export CGO_ENABLED=0 GO111MODULE=off GOCACHE="$$built"/go/cache GOPATH="$$built"/go:/usr/share/gocode && \
	(cd "$$built"/go/src/icelane/example && go build -o "$$built"/examples/pion .) && \
	(cd "$$built"/go/src/icelane/fronting/pion && go build -o "$$built"/examples/fronting .) && \
	touch $@

# Each needs versions of its own of what others need, and hundreds of megabytes.
PLUGINS := pipecat livekit
.PHONY: setup-plugins
setup-plugins: packages $(VENV)/.runtime ## install pipecat and LiveKit's agents, which two of the examples need
	@exec 9>$(VENV).lock; flock 9; for plugin in $(PLUGINS); do echo "Installing $$plugin"; \
	    $(PYTHON) -m venv $(VENV)/clients/$$plugin && $(VENV)/clients/$$plugin/bin/pip install -q \
	    --disable-pip-version-check -r $(EXAMPLES)/$$plugin/requirements.txt || exit 1; done

# Before set-up, which takes half a minute.
.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo "This needs root, for network namespaces: run it as root," \
	    "such as with \`sudo make $(firstword $(MAKECMDGOALS))\`." >&2; exit 1; }

demo: root setup demo-packages ## real calls through XDP relays; agent, state, or a whole host is lost during them
	@$(BIN)/python -m tests.lab demo $(ARGS)

lab-up: root setup ## three hosts on this machine, joined by veth, with the services running in them
	@$(BIN)/python -m tests.lab up $(ARGS)

lab-down: root setup ## take them down
	@$(BIN)/python -m tests.lab down $(ARGS)

.PHONY: pictures
pictures: root setup-test ## the pictures of README and docs, made of the real thing in a minute
	@$(BIN)/python -m tests.lab.pictures

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

unit: export ICELANE_FUZZ_SECONDS ?= 15 # twice: calls and offers
unit: setup-test
	@tests/run.sh $(BIN)/pytest $(ARGS)

.PHONY: kernel-test
kernel-test: root packages $(VENV)/.dev object bytecode ## the tests that meet the kernel and its drivers
	$(call apt,$(KERNEL_TEST_PACKAGES))
	@tests/run.sh $(BIN)/pytest $(KERNEL_TESTS) $(ARGS)

.PHONY: services-test container-packages container container-test
services-test: root setup-test ## a systemd of its own runs the units, and a call goes through them
	@ICELANE_BOOT=1 $(BIN)/pytest tests/deploy/test_units.py

container-packages:
	$(call apt,$(CONTAINER_PACKAGES))

IMAGE := localhost/icelane:latest
container: root setup container-packages ## build the container image, on a base that debootstrap makes; says its size
	@docs/deploy/container/build.sh $(BIN)/python .container $(IMAGE)

container-test: container ## play the manifests with podman, and place a call through them; needs kubectl
	@tests/deploy/play.sh $(BIN)/icelane $(IMAGE)

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

bench: setup-bench bench-voice ## Icelane beside other systems, with a report, in half an hour
	@$(call compare,)

bench-quick: setup-bench ## the same in 3 minutes, with rough figures
	@$(call compare,--quick)

bench-cost: root setup ## what a packet costs in the XDP program, beside the aims, in 10 minutes
	@$(BIN)/python -m tests.bench cost $(ARGS)

bench-voice: root setup-test ## what calls get: density, speech over bad networks, set-up by steps, in 10 minutes
	@mkdir -p $(BENCH) && $(BIN)/python -m tests.bench voice --output $(BENCH)/voice.json $(ARGS)

bench-turn: root setup-test ## turns of a conversation through a relay: heard, said, interrupted, answered, in 15 minutes
	@mkdir -p $(BENCH) && $(BIN)/python -m tests.bench turn --output $(BENCH)/turns.json $(ARGS)

bench-failover: root setup-test ## one of three relays dies, hangs, drains, comes back: what calls hear of it, in 35 minutes
	@mkdir -p $(BENCH) && $(BIN)/python -m tests.bench failover --output $(BENCH)/failover.json $(ARGS)

bench-flood: root setup-bench ## calls that go on and begin while strangers flood the relay, in 5 minutes
	@$(BIN)/python -m tests.bench flood $(ARGS)

clients: root setup-test ## real clients through all scenarios, over both dataplanes, in 8 minutes
	@$(BIN)/python -m tests.bench clients $(ARGS)

soak: root setup ## calls for half an hour, while agent, workers, Redis and links come and go
	@$(BIN)/python -m tests.soak $(ARGS)

bench-scale: packages $(VENV)/.bench ## a fleet for the world's calls, simulated, of what the project measured, in 2 minutes
	@mkdir -p $(BENCH) && $(BIN)/python -m tests.bench scale --output $(BENCH)/scale.json $(ARGS)

.PHONY: fuzz fuzz-packages audit
fuzz-packages:
	$(call apt,$(FUZZ_PACKAGES))

fuzz: fuzz-packages $(VENV)/.dev ## parsers in Python and in C get inputs that cover more of them, 5 minutes each
	@$(BIN)/python -m tests.fuzz $(ARGS)

# It has as many dependencies of its own as we have, so it lives apart; it asks over the Internet.
audit: $(VENV)/.runtime ## look up the locked dependencies in the database of advisories; needs the Internet
	@[ -x $(VENV)/audit/bin/pip-audit ] || { exec 9>$(VENV).lock; flock 9; $(PYTHON) -m venv $(VENV)/audit \
	    && $(VENV)/audit/bin/pip install -q --disable-pip-version-check 'pip-audit>=2.10,<3'; }
	@$(BIN)/python -m tests.audit $(VENV)/audit/bin/pip-audit $(ARGS)

bench-alternatives: packages alternatives-packages $(VENV)/.bench object ## TURN, a port per session, an SFU, one service beside Icelane, in 16 minutes
	@mkdir -p $(BENCH) && $(BIN)/python -m tests.bench alternatives --output $(BENCH)/alternatives.json $(ARGS)

# $(call compare,OPTIONS): measure, write the report, and say what moved since the project's run.
define compare
	mkdir -p $(BENCH) && cp docs/benchmarks.json $(BENCH)/baseline.json && rm -f $(BENCH)/benchmarks.json; \
	$(BIN)/python -m tests.bench run $(1) --output $(BENCH)/benchmarks.json $(ARGS); ran=$$?; \
	$(BIN)/python -m tests.bench report $(BENCH)/benchmarks.json --output $(BENCH)/benchmarks.md \
	    $(addprefix --alternatives ,$(wildcard $(BENCH)/alternatives.json)) \
	    $(addprefix --voice ,$(wildcard $(BENCH)/voice.json)) \
	    $(addprefix --turn ,$(wildcard $(BENCH)/turns.json)) \
	    && $(BIN)/python -m tests.bench check $(BENCH)/benchmarks.json --baseline $(BENCH)/baseline.json; \
	told=$$?; rm -f $(BENCH)/baseline.json; exit $$((ran || told))
endef

.PHONY: docs reference
reference: $(VENV)/.dev ## renew what in the documentation is made of the code: commands, settings, metrics, maps
	@$(BIN)/python -m tests.docs reference

SITE := .site
docs: $(VENV)/.dev ## the documentation as a static site in .site/; any warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --config-file .mkdocs.yml --strict --clean --site-dir $(SITE)
	@echo "$(SITE)/index.html"

format: setup-test ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## renew .ci/requirements.lock from pyproject.toml
	@tmp=$$(mktemp -d) && $(PYTHON) -m venv $$tmp && $$tmp/bin/pip install -q hatchling editables . '.[dev]' \
	    && { echo "# Every Python dependency at the version that CI passed with; renew with \`make lock\`."; \
	         $$tmp/bin/pip freeze --exclude icelane; } > .ci/requirements.lock; rm -rf $$tmp

clean: ## remove what was made here
	find relay signaling transceiver -name __pycache__ -prune -exec rm -rf {} +
	rm -rf $(VENV) $(VENV).lock .bench .site .vm .container .mypy_cache .pytest_cache .ruff_cache .hypothesis
