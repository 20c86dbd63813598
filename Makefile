# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Everything a person or a machine runs here.  Each target sets up what it lacks.

SHELL := /bin/sh
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -q -rs -p no:cacheprovider
# Many tests wait for managers and for what is slow to answer: another one goes on meanwhile.
AT_ONCE := -n 3 --dist loadfile
SETUP := tests/setup
PEERS := .cache/peers
UML_KERNEL := $(CURDIR)/.cache/uml/linux

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# What Python compiles is kept, but out of the tree: a manager starts in half of the time.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/compiled

.DEFAULT_GOAL := help
.PHONY: help setup demo lab-up lab-down test unit unit-debian unit-debian-whole unit-oldest unit-oldest-whole kernel kernel-long \
    interop test-interop sanity sanity-short lint molecule tutorial bench long recorded coverage integration crash leaks days days-short \
    nightly clean peers interfaces uml-kernel

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
	    printf '  make %-17s %s\n' "$$name" "$$text"; done

setup: ## Debian packages that are lacking, and the virtual environment .venv
	@sh $(SETUP)/packages.sh requirements/debian.txt
	@sh $(SETUP)/guest-registers.sh .cache/uml/guest_registers.so
	@python=$$(sh $(SETUP)/python.sh system 3.11 3.13) && sh $(SETUP)/venv.sh .venv requirements/dev.txt "$$python"

demo: setup ## three gateways, real ESP, and the proof of it (KEEP=1 keeps them running)
	@$(PYTHON) -m tests.lab.demo $(if $(filter 1,$(KEEP)),--keep)

lab-up: setup ## the lab of three gateways, without tunnels
	@$(PYTHON) -m tests.lab up

lab-down: ## end the lab, leaving nothing behind
	@python3 -m tests.lab down

test: setup ## everything that must pass before a change lands
	@$(PYTHON) -m tests.setup.stages kernel interop unit sanity-short molecule unit-debian unit-oldest lint

unit: setup ## unit tests, and two engines against each other without sockets
	@$(PYTEST) $(AT_ONCE) tests/unit

# Long simulations go where other tests have been.
HISTORIES := $(addprefix --ignore tests/unit/engine/,recorded ike/test_divided.py ike/test_fleet.py \
    ike/test_one_of_each.py manager/test_killed_managers.py)
DEBIAN := .cache/venv-debian/bin/python -m pytest -q -rs -p no:cacheprovider $(AT_ONCE)
unit-debian: setup ## what Debian's own Python and libraries could break, on them as on a gateway
	@sh $(SETUP)/venv-debian.sh .cache/venv-debian requirements/unit-debian.txt
	@$(DEBIAN) -m "not hypothesis and not nightly" $(addprefix tests/unit/engine/,wire crypto ping kernel definition \
	    $(addprefix ike/test_,handshake.py rekey.py resume.py certificates_in_ike.py many_peers.py signatures.py ppk.py \
	    intermediate.py fragmentation.py) $(addprefix manager/test_manager_,runtime.py store.py control.py scale.py))

unit-debian-whole: setup ## all of the engine's unit tests there
	@sh $(SETUP)/venv-debian.sh .cache/venv-debian requirements/unit-debian.txt
	@$(DEBIAN) tests/unit/engine

OLDEST := sh $(SETUP)/unit-oldest.sh
unit-oldest: setup ## what an old library or Python could break, on Python 3.9 and the oldest libraries
	@$(OLDEST) -m "not hypothesis and not nightly" $(addprefix tests/unit/engine/,ground wire crypto ping kernel \
	    ike/test_handshake.py ike/test_rekey.py)

unit-oldest-whole: setup ## all of the engine's unit tests there
	@$(OLDEST) tests/unit/engine

NEED_NFTABLES := $(addprefix tests/kernel/,test_shunts.py test_repairs_rules.py)
kernel: setup ## the kernel floor on a kernel with ESP
	@$(PYTHON) -m tests.lab.guest --timeout 2400 $(PYTEST) --durations 12 tests/kernel $(addprefix --ignore ,$(NEED_NFTABLES))
	@$(PYTEST) $(NEED_NFTABLES) tests/kernel/test_eroute_tables.py  # here: no ESP, but nftables

kernel-long: setup ## what "make kernel" leaves out, because another test says nearly the same or it takes long
	@$(PYTHON) -m tests.lab.guest --timeout 2400 $(PYTEST) -m nightly tests/kernel

interop: setup peers ## against strongSwan and Libreswan, both ways, with a ping over ESP
	@$(PYTHON) -m tests.lab.guest --timeout 2400 --layer $(PEERS) $(PYTEST) --durations 12 tests/interop

test-interop: setup peers ## the same and what that leaves out, and docs/interop.md anew: what passed with which peer
	@FLEET_INTEROP_TABLE=/run/lab-share/interop.md $(PYTHON) -m tests.lab.guest --timeout 7200 --layer $(PEERS) \
		--keep build/interop $(PYTEST) -m "nightly or not nightly" tests/interop; status=$$?; \
		cp build/interop/interop.md docs/interop.md; exit $$status

interfaces: setup ## route-based tunnels, on a kernel that has XFRM interfaces
	@sh $(SETUP)/machine-interfaces.sh || $(MAKE) --no-print-directory uml-kernel
	@LAB_KERNEL=$(UML_KERNEL) $(PYTHON) -m tests.lab.guest $(PYTEST) tests/kernel/test_interfaces.py

tutorial: setup ## docs/getting-started.md typed word by word, with two gateways of a lab of its own
	@export LAB_DIR=$${LAB_DIR:-/run/fleet-ipsec-tutorial}; status=0; \
	{ $(PYTHON) -m tests.lab up && $(PYTHON) -m tests.lab tutorial; } || status=1; \
	$(PYTHON) -m tests.lab down; exit $$status

molecule: setup ## the demo's gateways by Molecule: idempotence and check mode included
	@sh $(SETUP)/molecule.sh

sanity: setup ## ansible-test sanity on the oldest and the newest ansible-core
	@$(PYTHON) $(SETUP)/sanity.py

sanity-short: setup ## the same, style on the newest alone
	@$(PYTHON) $(SETUP)/sanity.py --short

lint: setup ## ruff, mypy, ansible-lint, shellcheck, documentation, changelog, systemd units
	@sh $(SETUP)/lint.sh

bench: setup peers ## how fast, beside ip, ike-scan and strongSwan: a table, and build/bench.json
	@$(PYTHON) -m tests.bench --strongswan $(PEERS)

long: setup ## tests that take minutes, and twenty rounds of new generated examples
	@$(PYTEST) -m nightly tests/unit
	@for round in $$(seq 20); do echo "round $$round"; $(PYTEST) -m hypothesis tests/unit || exit 1; done

recorded: setup ## a thousand simulations: the engine returns what it returned before, octet for octet
	@$(PYTHON) -m tests.recorded compare

coverage: setup ## how much of the engine its unit tests reach: a list, pages in build/coverage, and a floor
	@sh $(SETUP)/coverage.sh tests/unit/engine $(HISTORIES)

integration: setup ## ansible-test integration in a lab host: modules as a play runs them (TARGETS="…" for some of them)
	@$(PYTHON) -m tests.setup.integration $(TARGETS)

crash: setup ## managers killed at 600 random moments while packets pass: nothing may be lost
	@$(PYTHON) -m tests.lab.guest --timeout 14400 $(PYTHON) -m tests.crash --kills 600

days: setup peers uml-kernel ## three days of a tunnel to each real peer in minutes each (ROWS="…" for some of them)
	@$(PYTHON) -m tests.days $(ROWS)

days-short: setup peers uml-kernel ## the same for six hours, with strongSwan and Libreswan
	@$(PYTHON) -m tests.days --short $(ROWS)

leaks: setup ## fifty random changes of definitions at either end under a flood: nothing lost, nothing in clear
	@FLEET_CHANGES=50 FLEET_SEED=$${FLEET_SEED:-$$(date +%s)} $(PYTHON) -m tests.lab.guest --timeout 3600 \
		$(PYTEST) -s tests/kernel/test_changes.py

nightly: setup ## everything of "make test", then long, recorded, coverage, integration, crash, leaks, days-short and, on its own, bench
	@status=0; \
	$(PYTHON) -m tests.setup.stages recorded coverage integration crash leaks days-short test-interop unit kernel kernel-long \
	    interfaces molecule tutorial unit-debian-whole unit-oldest-whole sanity lint long \
	    || status=1; \
	$(MAKE) --no-print-directory bench || status=1; exit $$status

uml-kernel: setup ## build a guest kernel with what Debian's lacks (minutes, once)
	@sh $(SETUP)/uml-kernel.sh $(UML_KERNEL)

peers: setup
	@sh $(SETUP)/unpack.sh $(PEERS) requirements/debian-interop.txt
	@sh $(SETUP)/newer-peers.sh .cache/newer-peers requirements/debian-newer-peers.txt

clean: lab-down ## remove what was set up here (Debian packages stay)
	@python3 $(SETUP)/sanity.py --clean
	@rm -rf .venv .cache build .pytest_cache .hypothesis .ruff_cache
