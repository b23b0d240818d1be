# What go run and go test cannot do by themselves: have the programs that they
# start on the machine. The server and the tests run a private Postgres each,
# the tests a Redis, too.

.PHONY: serve test generate programs-to-serve programs-to-test

serve: programs-to-serve ## run the server: make serve ARGS='--listen :8080'
	go run . serve $(ARGS)

test: programs-to-test ## run the tests: make test TESTFLAGS=-race
	go test $(TESTFLAGS) ./...

generate: ## generate the code again from the contracts
	go generate ./...

programs-to-serve:
	@internal/install.sh postgres

programs-to-test:
	@internal/install.sh postgres redis-server curl
