# The targets install the programs that gatehouse and its tests start (internal/install.sh), which go run and go test
# cannot do.

BIN ?= bin

.PHONY: serve test generate build programs-to-serve programs-to-test

# exec, so that signals reach gatehouse itself. Ctrl-C goes to make as well, which then waits for gatehouse.
serve: programs-to-serve build ## run the server: make serve ARGS='--listen :8080'
	@exec $(BIN)/gatehouse serve $(ARGS)

# gotestsum runs go test, prints one line for each package, and repeats failed and skipped tests at the end.
test: programs-to-test ## run the tests: make test TESTFLAGS=-race
	go tool gotestsum --format pkgname -- $(TESTFLAGS) ./...

generate: ## generate the code again from the contracts
	go generate ./...

# Without a version stamp, because Git refuses to describe a working tree that belongs to another user.
build:
	@trap 'echo "Stopped."; exit 0' INT; \
	[ -x $(BIN)/gatehouse ] || echo 'Compiling gatehouse; the first time takes about a minute.'; \
	go build -buildvcs=false -o $(BIN)/gatehouse .

# A Postgres that is configured is used instead of a private one.
programs-to-serve:
	@[ -n "$$DATABASE_URL$$TYK_DB_STORAGE_MAIN_CONNECTIONSTRING" ] || internal/install.sh postgres

programs-to-test:
	@internal/install.sh postgres redis-server curl
