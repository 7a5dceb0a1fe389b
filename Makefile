# The one way in, for people and for CI. Each target makes the environment that it needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST_WORKERS ?= 2
# Where tests with real processes are, and those with real sanlock daemons and VMs (tests/conftest.py
# sees to it that there are no others): looking through all the others for them takes its time.
WITH_PROCESSES = $(addprefix tests/,benchmarks campaign chaos cli lab project rehearse runtime)
WITH_REAL_ONES = $(addprefix tests/,chaos lab rehearse runtime)
# Tests with real processes wait more than they work.
LABS ?= 5
REAL ?= 2
# The same examples with every run; `make deep` looks for new ones.
export HYPOTHESIS_PROFILE ?= ci
# Tests start hundreds of processes: each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE
# Of `make chaos`, `make chaos-real`, `make chaos-libvirt` and `make search`.
SEED ?= 1
TIME ?= 5m
# Of `make bench-real`: failovers and migrations in a row.
COUNT ?= 50
# Of `make bench-against`: an older commit, how often each figure is measured, and which (else all).
REV ?=
ROUNDS ?= 5
ONLY ?=
# Of `make docs`: `no` leaves out the playground, which is fetched from registries once.
PLAYGROUND ?= yes
# Of `make interop`: checkouts of oVirt/vdsm and oVirt/ovirt-hosted-engine-ha.
VDSM ?=
HA ?=
# A kernel for the guest. Where none can be had it says why, tests are skipped, and commands say so.
FETCH_KERNEL = -@$(BIN)/python -m he_fsm.lab.guest.kernel > /dev/null
# libvirt's module is built against its headers; without them, tests of libvirt are skipped.
LIBVIRT = if pkg-config --exists libvirt 2>/dev/null; then $(PIP) install -e '.[libvirt]'; fi
# Where `make compiled` puts the package that mypyc has compiled, with the tests beside it.
COMPILED = build/compiled
# What takes very long on the plain build is left to `make native` where that can be had.
UNLESS_NATIVE = $(shell if command -v gcc > /dev/null; then echo 'and not compiled'; fi)
# The other Pythons that the tests run on where they are there: the oldest and the newest.
OTHER_PYTHONS = $(shell sh tools/other-pythons)

.PHONY: help demo demo-real demo-libvirt debian13 talk test test-compiled native check-three compiled lint types unit processes real rehearsals others bench bench-compiled bench-against bench-real chaos chaos-real chaos-libvirt interop soak search true-clock deep diagram packages stories docs clean

help: ## Say what there is
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.demo ## Show a living cluster: real daemons, real faults, in a live table
	$(BIN)/he-fsm rehearse examples/demo.yaml --speed 6 --live --compare

demo-real: $(VENV)/.real ## The same on real sanlock daemons and QEMU VMs (says what to install)
	$(FETCH_KERNEL)
	$(BIN)/he-fsm rehearse examples/real.yaml --backend sanlock --speed 10 --live --compare

demo-libvirt: $(VENV)/.libvirt ## The same with a libvirt daemon for each host, which runs the VM (root; says what to install)
	$(FETCH_KERNEL)
	$(BIN)/he-fsm rehearse examples/real.yaml --backend libvirt --speed 5 --live --compare

talk: $(VENV)/.demo ## Simulate the talk's faults, in a second
	$(BIN)/he-fsm simulate examples/talk.yaml

# What computes goes beside the tests that wait for much of their time. Two processes are enough for
# it, and each further one would have to find all tests once more.
test: lint ## Everything that has to pass
	@PYTEST_WORKERS=0 tools/side-by-side 'types unit' 'native others' -- processes real

lint: $(VENV)/.test ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-three: $(VENV)/.test ## Every order of events of three hosts with two faults of all kinds (minutes, 2 cores)
	$(BIN)/he-fsm check --hosts 3 --faults 2 --kind all --output build

types: $(VENV)/.test ## Types
	$(BIN)/mypy

unit: $(VENV)/.test ## The tests, on this Python
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) -q -m 'not processes and not long $(UNLESS_NATIVE)'

processes: $(VENV)/.test ## The tests with real daemons and servers
	$(BIN)/python -m pytest -n $(LABS) --dist worksteal -q \
	  -m 'processes and not long and not sanlock and not qemu' $(WITH_PROCESSES)

real: $(VENV)/.test ## The tests with real sanlock daemons and QEMU VMs (some as root alone)
	$(FETCH_KERNEL)
	$(BIN)/python -m pytest -n $(LABS) --dist worksteal -q \
	  -m 'sanlock and not qemu and not long' $(WITH_REAL_ONES)
	$(BIN)/python -m pytest -n $(REAL) --dist worksteal -q -m 'qemu and not long' $(WITH_REAL_ONES)

debian13: ## The tests with real sanlock and QEMU, and one rehearsal, on Debian 13 in a folder (root, half an hour or so)
	tools/debian13

rehearsals: $(VENV)/.test ## Every scenario on real daemons, and all tests of libvirt and vdsm (an hour or so)
	$(FETCH_KERNEL)
	$(BIN)/python -m pytest -n0 -q tests/project/packages tests/project/site
	$(BIN)/python -m pytest -n $(LABS) --dist worksteal -q -m 'long and not sanlock and not qemu' \
	  --ignore tests/project/packages --ignore tests/project/site tests
	$(BIN)/python -m pytest -n $(REAL) --dist worksteal -q \
	  tests/rehearse/test_sanlock_files.py tests/rehearse/test_sanlock_backend.py \
	  tests/rehearse/test_sanlock_networks.py tests/chaos/test_strike_sanlock.py \
	  tests/rehearse/test_libvirt_files.py tests/rehearse/test_libvirt_backend.py \
	  tests/chaos/test_strike_libvirt.py tests/runtime/hypervisors/libvirt \
	  tests/rehearse/test_vdsm_files.py tests/rehearse/test_vdsm_backend.py tests/rehearse/test_without_root.py \
	  tests/runtime/hypervisors/vdsm tests/runtime/leases/vdsm tests/runtime/deploy

others: ## The tests on the oldest and the newest Python that are there
	@tools/on-other-pythons $(VENV) $(PYTEST_WORKERS) $(OTHER_PYTHONS)

compiled: $(VENV)/.test ## Compile what decides and explores with mypyc, into build/compiled (takes gcc)
	rm -rf $(COMPILED) build/lib*
	HE_FSM_COMPILE=1 $(PIP) install --no-deps --target $(COMPILED) .
	cp -R benchmarks docs examples packaging tests tools *.md LICENSE Makefile pyproject.toml setup.py $(COMPILED)

# Commands that a test starts are compiled as well. What compiles sooner is as good for a test.
test-compiled: export HE_FSM_COMPILE_LEVEL = 0
test-compiled: compiled ## The tests of `make unit` on the compiled build, but those marked interpreted
	cd $(COMPILED) && HE_FSM_COMPILED=1 PYTHONPATH="$$PWD" $(abspath $(BIN))/python -m pytest \
	  -n $(PYTEST_WORKERS) -q -m 'not processes and not long and not interpreted $(NATIVE)'

# As on the other Pythons, the same examples need not come out the same once more.
native: ## The same with fewer examples, where there is gcc
	@if command -v gcc > /dev/null; then \
	  $(MAKE) --no-print-directory test-compiled HYPOTHESIS_PROFILE=few NATIVE='and not once'; \
	else echo 'no gcc: the compiled build is not tested'; fi

bench-compiled: compiled ## The same as `make bench`, on the compiled build
	cd $(COMPILED) && PYTHONPATH="$$PWD" $(abspath $(BIN))/python benchmarks/run.py

bench: $(VENV)/.test ## Measure, and print a table; the compiled build as well where there is gcc
	@if command -v gcc > /dev/null; then $(MAKE) --no-print-directory compiled; fi
	$(BIN)/python benchmarks/run.py

bench-against: | $(BIN)/python ## Compare with an older commit, figure by figure in turn (REV=COMMIT ONLY=step-3)
	$(BIN)/python benchmarks/against.py --rounds $(ROUNDS) $(if $(REV),--rev '$(REV)') $(ONLY:%=--only %)

bench-real: $(VENV)/.libvirt ## Measure failovers and moves of real VMs, and print a table (COUNT=50)
	$(FETCH_KERNEL)
	$(BIN)/python benchmarks/real.py --count $(COUNT)

true-clock: $(VENV)/.test ## The rehearsals of `make real` at the clock's own speed (half an hour or so)
	$(FETCH_KERNEL)
	HE_FSM_REAL_SPEED=1 $(BIN)/python -m pytest -n $(REAL) --dist worksteal -q \
	  tests/rehearse/test_sanlock_backend.py tests/rehearse/test_sanlock_networks.py

chaos: $(VENV)/.test ## Kill random processes of a real cluster (SEED=1 TIME=5m)
	$(BIN)/python tools/chaos --seed $(SEED) --time $(TIME)

chaos-real: $(VENV)/.real ## Break real sanlock daemons, QEMU VMs and hosts at random (SEED=1 TIME=5m)
	$(FETCH_KERNEL)
	$(BIN)/python tools/chaos --real --seed $(SEED) --time $(TIME)

chaos-libvirt: $(VENV)/.libvirt ## The same with a libvirt daemon for each host (root; SEED=1 TIME=5m)
	$(FETCH_KERNEL)
	$(BIN)/python tools/chaos --backend libvirt --seed $(SEED) --time $(TIME)

interop: $(VENV)/.test ## Test vdsm's wire with oVirt's own code at the other end (VDSM=DIR, and HA=DIR for a mixed cluster)
	VENV=$(VENV) tools/interop '$(VDSM)' '$(HA)'

soak: $(VENV)/.test ## See whether ten thousand loops on slow storage are in time, and nothing grows
	$(BIN)/python tools/soak

deep: $(VENV)/.test ## The properties with very many examples (an hour or so)
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest -n $(PYTEST_WORKERS) -q tests/properties tests/simulate/test_random_faults.py \
	  tests/simulate/test_never_two_engines.py

search: COUNT = 20000
search: $(VENV)/.test ## Look for a random scenario that breaks a promise of the simulator (SEED=1 COUNT=20000)
	$(BIN)/python tools/search --seed $(SEED) --count $(COUNT)

diagram: $(VENV)/.demo ## Draw docs/state-diagram.dot and the docs' tables anew from the table
	$(BIN)/python tools/generate-docs

docs: $(VENV)/.docs ## Build the documentation as a site into build/site (PLAYGROUND=no: without network)
	$(BIN)/python tools/build-docs $(if $(filter no,$(PLAYGROUND)),--without-playground)

packages: $(VENV)/.test ## Build wheel, sdist, .deb and .rpm into dist/ (debhelper, rpm)
	$(BIN)/python tools/packages

stories: $(VENV)/.test ## Write the stories' events anew; look at the diff
	HE_FSM_REWRITE=1 $(BIN)/python -m pytest -q tests/simulate/test_scenarios.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' || \
	  { echo "he_fsm needs Python 3.9 or later: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[daemon]'
	@touch $@

$(VENV)/.real: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[daemon,qemu]'
	@touch $@ $(VENV)/.demo

$(VENV)/.libvirt: $(VENV)/.real
	@$(LIBVIRT)
	@touch $@

# The reference of the commands imports each of them.
$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[docs,daemon,deploy,campaign,test]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[test,lint,report,pictures,diagram,daemon,qemu,deploy,systemd,campaign,parquet,dask,docs]'
	@$(LIBVIRT)
	-@$(PIP) install -e '.[engine]' || echo "tests of the engine's API are skipped" >&2
	@touch $@ $(VENV)/.demo $(VENV)/.real $(VENV)/.libvirt $(VENV)/.docs

clean: ## Remove what these targets made
	rm -rf $(VENV) $(VENV)-other-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
