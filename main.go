// Command gatehouse serves the Tyk Dashboard Admin API, and the Dashboard API, from Postgres.
//
// The repository, in the order in which a request passes through it (docs/architecture.md has the whole picture):
//
//	main.go       runs the command line, and ends it with Ctrl-C
//	openapi/      the contracts (OpenAPI), from which code and checks are generated
//	gen/          types, routes and embedded contracts, generated from openapi/ by `go generate`; never edited
//	client/       the client for Go programs, generated from openapi/, too; needs nothing of the server
//	server/       HTTP: authentication, one short handler an operation
//	apiserver/    serves the operations of a contract, any: admission, bodies, validation, replies, lists
//	httpbody/     reads request bodies within their limits
//	store/        Postgres: one file a table, SQL beside the function that runs it
//	migrations/   the schema, as numbered SQL files
//	contract/     compiles the contracts at start: operations, outcomes, validation
//	console/      the pages in which people sign in and manage what they may, as files
//	conformance/  checks servers against a contract: by scenarios, in a proxy; and mocks it
//	pgmigrate/    applies numbered SQL files to a database, each once
//	pgtest/       gives each test a database of its own, in a private Postgres
//	postgres/     runs and upgrades the private Postgres
//	internal/     packages that only gatehouse can import:
//	  apidef        checks what a Tyk Gateway has to decode
//	  authlimit     limits the wrong credentials that a client may try
//	  backup        reads and writes the files of backups
//	  browsertest   has tests use pages in a browser
//	  cli           the commands: connects the parts below, runs and stops them
//	  connlimit     limits connections, in all and for each client
//	  contractdiff  compares two versions of a contract
//	  coalesce      calls that concurrent callers share
//	  config        settings, their flags and environment variables
//	  desired       compares the state that files want with that of a server, and changes the server
//	  dev           watches the repository, and builds and runs the server after each change: `make dev`
//	  docspage      the page that shows the contracts
//	  doctor        checks what a server needs: database, gateways, secrets, disks, limits
//	  fairqueue     a semaphore whose waiters take turns by organisation
//	  gateway       client of a Tyk Gateway's control API and of its Redis
//	  gatewaystandin  a stand-in for a Tyk Gateway, for tests and examples/
//	  gatewaysync   notices to gateways and organisation keys, between requests
//	  gatewaytest   a gateway and a Redis for tests
//	  gziplist      a JSON list that is kept compressed
//	  importer      reads the documents of an import
//	  jsondoc       edits JSON documents as bytes
//	  jsonlist      finds the documents in a long JSON list
//	  jsonschema    checks JSON documents against compiled schemas
//	  located       reads documents of JSON and YAML texts, with the lines and columns of their values
//	  logging       the log
//	  loglimit      limits the log lines that clients without a valid credential cause
//	  oas           converts Tyk OAS documents to classic API definitions
//	  password      hashes passwords
//	  postgrespair  a primary of Postgres with a standby, for tests
//	  remote        reads and writes the state of a server of the Admin API
//	  remoteaddr    finds the address of a client, behind trusted proxies too
//	  replicate     copies what one server has to another
//	  skeleton      the files of the module that `gatehouse contract new` makes
//	  spool         holds the documents of an import until all of them have arrived
//	  testport      finds ports for the programs that tests start
//	  testprogram   finds the programs that tests start
//	  tlsfiles      certificates in files, which are read again when they change
//	  tracing       sends traces to an OpenTelemetry collector, if one is configured
//	  webfile       serves embedded files
//	deploy/       HAProxy, packages, a compose file, a Helm chart, a dashboard for Grafana, alert rules for Prometheus
//	e2e/          tests of the program and of the commands in README.md
//	bench/        benchmarks, and the servers that gatehouse is compared with
//	examples/     a Tyk Gateway on gatehouse; a client in TypeScript; an API of its own on the packages of gatehouse
//	docs/         how the original behaves, how gatehouse is built, how fast it is, what it survives
//
// Imports form no cycles: .golangci.yml (depguard) lists those that are allowed, docs/architecture.md draws them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"gatehouse/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := cli.Run(ctx, os.Args[1:], cli.Streams{Out: os.Stdout, Log: os.Stderr})
	stop()
	os.Exit(status)
}
