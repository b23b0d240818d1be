# What go run and go test cannot do by themselves: have Postgres's binaries on
# the machine. The server then runs a private Postgres of its own.

.PHONY: serve test generate postgres

serve: postgres ## run the server: make serve ARGS='--listen :8080'
	go run . serve $(ARGS)

test: postgres ## run the tests: make test TESTFLAGS=-race
	go test $(TESTFLAGS) ./...

generate: ## generate the code again from the contracts
	go generate ./...

postgres: ## have Postgres's binaries, without a cluster of the system's
	@internal/postgres/install.sh
