# `make` alone lists what there is. Needs Python 3.11 or newer with venv, git and make.
PYTHON ?= python3
BIN := .venv/bin

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

sandbox: .venv/.ok ## try the bot in the browser, without a Discord account
	@$(BIN)/python -m bot sandbox

init: .venv/.run ## ask for the token, create the encryption key, write .env, print the invite link
	@$(BIN)/python -m bot init

check: .venv/.run ## check your setup; changes nothing
	@$(BIN)/python -m bot check

run: .venv/.run ## run the bot with the settings in .env
	@$(BIN)/python -m bot

new-key: .venv/.run ## print a fresh key for KEY_ENCRYPTION_KEYS
	@$(BIN)/python -m bot new-key

# They begin with a history of so many reloads.
torture soak crowd: export KEPT_RELOADS ?= 300000
torture: .venv/.ok ## kill a real process at random moments, a hundred times (several minutes)
	@TORTURE_KILLS=100 $(BIN)/python -m pytest -q -s -o faulthandler_timeout=0 tests/endurance/test_torture.py

soak: .venv/.ok ## half an hour of mixed load with faults: does anything grow? (SOAK_MINUTES=...)
	@SOAK_MINUTES=$${SOAK_MINUTES:-30} $(BIN)/python -m pytest -q -s -o faulthandler_timeout=0 tests/endurance/test_soak.py

bench: .venv/.ok ## measure load, cost compared with other bots, the store, and time; write docs/benchmarks.md (half an hour; BENCH=--quick: 3 min)
	@$(BIN)/python -m tests.benchmarks $(BENCH)

bench-peers: .venv/.ok ## the same job for bots on five other libraries; write docs/peers.md (45 minutes, asks the package indexes)
	@$(BIN)/python -m tests.benchmarks.peers

crowd: .venv/.ok ## 40 and 1,000 simultaneous reloads, a stop halfway, and a minute without the database (five minutes)
	@CROWD=40 $(BIN)/python -m pytest -q -s -o faulthandler_timeout=0 tests/endurance/test_crowd.py
	@$(BIN)/python -m tests.benchmarks --only suggestions
	@CROWD=1000 $(BIN)/python -m pytest -q -s -o faulthandler_timeout=0 tests/endurance/test_crowd.py
	@AWAY=60 $(BIN)/python -m pytest -q -o faulthandler_timeout=0 tests/acceptance/test_replicas.py -k database_away

pictures: .venv/.ok ## retake the README's pictures in the sandbox (needs Chromium; two minutes)
	@$(BIN)/python -m tests.tools.pictures

tables: .venv/.ok ## write the documents' tables of commands, settings, modules and numbers, from the code
	@$(BIN)/python -m tests.tools.tables

translations: .venv/.ok ## bring the languages' files up to date with what the code says
	@$(BIN)/python -m tests.tools.translations

rooms: .venv/.ok ## count the modules, their layers and the imports between them
	@$(BIN)/python -m tests.tools.rooms

# Not in the lock: 25 packages that nobody needs to run or test the bot. The three ids are one flaw of
# sqlitedict, its pickle, which is never used here: docs/SECURITY.md.
audit: .venv/.ok ## check the locked packages for known vulnerabilities (asks the Python package index)
	@$(BIN)/python -m venv .venv/audit && .venv/audit/bin/pip install -q --disable-pip-version-check pip-audit==2.10.1
	@.venv/audit/bin/pip-audit --strict --require-hashes --disable-pip -r requirements-dev.txt \
		--ignore-vuln CVE-2024-35515 --ignore-vuln GHSA-g4r7-86gm-pgqc --ignore-vuln PYSEC-2026-1939

findings: ## check whether what surprised us about other people's software still holds (several minutes, asks the package index)
	@changed=; for one in findings/*.sh; do echo "== $$one"; bash $$one || changed="$$changed $$one"; done; \
		[ -z "$$changed" ] || { echo "Changed:$$changed"; exit 1; }

# The package is the description as code, and of others than Discord: so nothing of it runs in `make test`.
DESCRIPTION := discord-api-spec@10.0.266135 zod@4.6.7
audit-api: .venv/.ok ## run the tests and check each request body against Discord's published description (needs npm)
	@rm -rf .venv/audit-api && mkdir -p .venv/audit-api/calls
	@npm install --silent --no-save --ignore-scripts --prefix .venv/audit-api $(DESCRIPTION)
	@DISCORD_CALLS=$(CURDIR)/.venv/audit-api/calls $(BIN)/python -m pytest -q -n 3 --dist worksteal $(TESTS) \
		|| echo 'Not all tests passed; the bodies up to there are checked all the same.'
	@node tests/tools/audit_api.mjs .venv/audit-api

# Four workers even on two cores, and the types meanwhile: the tests that take long mostly wait.
# Where Python is told to keep no bytecode, each of their processes would compile the bot again.
test test-fast tests: export PYTHONDONTWRITEBYTECODE =
test: .venv/.ok ## run every check and every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory -j 2 types tests

types: .venv/.ok
	$(BIN)/mypy

tests: .venv/.ok
	$(BIN)/python -m pytest -q -n 4 --dist worksteal

# A tenth of the examples that `make test` makes up, no large simulations, and without simcord, whose import takes a second.
test-fast: .venv/.ok ## after each change: ruff, and the unit tests (a few seconds)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -p no:simcord --hypothesis-profile quick -m 'not slow' tests/unit

dist-test: .venv/.ok ## build the package, install it, and run the tests against what was installed
	@$(BIN)/python -m tests.tools.dist $(or $(TESTS),-n 4 --dist worksteal)

# Outside the checks of each change: they need root, take minutes, and wait in real time. DEBIAN_ROOT spares debootstrap.
systemd-test: .venv/.ok ## start, break and stop the unit on a booted systemd (needs systemd-nspawn and root)
	@$(BIN)/python -m tests.tools.systemd

image-test: .venv/.ok ## build the image by buildah, start it, and use it (needs root)
	@$(BIN)/python -m tests.tools.image

lock: ## renew the hashed locks: for development, for running only, and for building either (needs uv)
	uv pip compile pyproject.toml --group dev --extra sandbox --universal --python-version 3.11 \
		--generate-hashes --upgrade -o requirements-dev.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 \
		--generate-hashes --upgrade -c requirements-dev.txt -o requirements.txt
	uv pip compile --group build --universal --python-version 3.11 \
		--generate-hashes --upgrade -c requirements-dev.txt -o requirements-build.txt

release-test: export RELEASE = true
release-test: test dist-test ## what a release must pass: both, and every sentence in all languages

clean: ## remove everything that make created
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The stamps are made last: a venv that broke half way is made again. One for contributors runs the bot, too. Of its
# requirements only sqlitedict has no wheel: it is built by what was installed with hashes before.
INSTALL := $(BIN)/pip install -q --disable-pip-version-check --require-hashes
define fresh_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo 'Needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ...'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "Needs Python's venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo 'Setting up .venv (once, about half a minute) ...' >&2
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@$(INSTALL) -r requirements-build.txt
endef

.venv/.ok: requirements-dev.txt requirements-build.txt
	$(fresh_venv)
	@$(INSTALL) --no-build-isolation -r requirements-dev.txt
	@touch .venv/.run $@

.venv/.run: requirements.txt requirements-build.txt
	@test ! -e .venv/.ok || $(MAKE) --no-print-directory .venv/.ok
	@test -e .venv/.ok || $(MAKE) --no-print-directory .venv/run-only
	@touch $@

.venv/run-only:
	$(fresh_venv)
	@$(INSTALL) --no-build-isolation -r requirements.txt

.PHONY: help translations rooms sandbox init check run new-key torture soak bench bench-peers crowd pictures tables findings audit audit-api test test-fast types tests dist-test systemd-test image-test release-test lock clean
