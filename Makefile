# The targets install the programs that gatehouse and its tests start (internal/install.sh), which go run and go test
# cannot do.

BIN ?= bin
MANDIR ?= $(BIN)/man

.PHONY: serve dev test test-contract generate lint-contract check-console pictures build man programs-to-serve programs-to-test

# exec, so that signals reach gatehouse itself. Ctrl-C goes to make as well, which then waits for gatehouse.
serve: programs-to-serve build ## run the server: make serve ARGS='--listen :8080'
	@exec $(BIN)/gatehouse serve $(ARGS)

dev: programs-to-serve ## run the server, and rebuild it after each change: make dev ARGS='--listen :8080'
	@trap 'echo "Stopped."; exit 0' INT; \
	[ -x $(BIN)/dev ] || echo 'Compiling the program that watches the repository; the first time takes a minute.'; \
	go build -buildvcs=false -o $(BIN)/dev ./internal/dev && exec $(BIN)/dev $(ARGS)

# gotestsum runs go test, prints one line for each package, and repeats failed and skipped tests at the end. The tests of
# a package take up to eight minutes with the race detector on two cores.
test: programs-to-test ## run the tests: make test TESTFLAGS=-race
	go tool gotestsum --format pkgname -- -timeout 40m $(TESTFLAGS) ./...

# The tests that name what a change of a contract has not reached: mappings, scenarios, rows of tables.
test-contract: programs-to-test ## run only the tests that a change of a contract needs first
	go test $(TESTFLAGS) ./openapi/... ./server ./store ./e2e \
		-run '^Test(Contract|Mapping|Conversion|PropertiesOf|ParametersAre|OrganisationDefaults|EveryTable|EveryOutcome|ReadmeOperations|Authorisation$$|Own|Breaks|AdminIs|DashboardKeeps)'

generate: ## generate the code again from the contracts
	go generate ./...

lint-contract: openapi/node_modules/.package-lock.json ## check the contracts with all rules, also Spectral's
	@go run ./openapi/lint/cmd openapi/admin.yaml openapi/dashboard.yaml openapi/node.yaml

# Spectral, which needs Node.js. npm writes this file when it has installed everything else.
openapi/node_modules/.package-lock.json: openapi/package-lock.json
	@command -v npm >/dev/null || \
		{ echo 'Spectral needs Node.js 20 with npm, which is not installed: see https://nodejs.org' >&2; exit 1; }
	@npm ci --prefix openapi --no-audit --no-fund

check-console: console/node_modules/.package-lock.json ## check the types of the console against the contracts
	@npm run --prefix console check

pictures: console/node_modules/.package-lock.json ## write docs/pictures: the pages of the console with example data
	PICTURES=$(CURDIR)/docs/pictures go test -count=1 -run '^TestPictures$$' ./console

# TypeScript, and axe-core for the tests in a browser.
console/node_modules/.package-lock.json: console/package-lock.json
	@command -v npm >/dev/null || \
		{ echo 'The checks of the console need Node.js 20 with npm, which is not installed: see https://nodejs.org' >&2; exit 1; }
	@npm ci --prefix console --ignore-scripts --no-audit --no-fund

man: ## write manual pages: make man MANDIR=/usr/local/share/man
	go run ./internal/cli/reference -man $(MANDIR)/man1

# The version stamp (gatehouse version) is left out where Git does not describe the working tree, because it is not
# there, or because it refuses to if the tree belongs to another user. Without what only debuggers read: 41 MB instead
# of 57. Stack traces and profiles do not need it.
build:
	@trap 'echo "Stopped."; exit 0' INT; \
	[ -x $(BIN)/gatehouse ] || echo 'Compiling gatehouse; the first time takes about a minute.'; \
	git status --porcelain >/dev/null 2>&1 && stamp=true || stamp=false; \
	go build -buildvcs=$$stamp -ldflags='-s -w' -o $(BIN)/gatehouse .

# A Postgres that is configured is used instead of a private one.
programs-to-serve:
	@trap 'echo "Stopped."; exit 0' INT; \
	[ -n "$$DATABASE_URL$$TYK_DB_STORAGE_MAIN_CONNECTIONSTRING" ] || internal/install.sh postgres

# chromium takes 220 MB: elsewhere than in CI, the test that needs one uses what there is.
programs-to-test:
	@internal/install.sh postgres redis-server pgbouncer haproxy curl jq $$([ "$$CI" != true ] || echo chromium)
	@$(MAKE) --no-print-directory openapi/node_modules/.package-lock.json || \
		{ [ "$$CI" != true ] && echo 'The tests that need Spectral will be skipped.' >&2; }
	@$(MAKE) --no-print-directory console/node_modules/.package-lock.json || \
		{ [ "$$CI" != true ] && echo 'The tests that need axe-core will be skipped.' >&2; }
