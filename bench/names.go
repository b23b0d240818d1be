package main

import (
	"slices"

	"gatehouse/bench/alternative"
)

// contenders returns the servers that are compared.
func contenders() []string { return slices.Clone([]string{gatehouse, bare, stock, ogen}) }

// Names of servers in the results.
const (
	gatehouse = "gatehouse"
	bare      = "bare"
	stock     = "stock"
	ogen      = "ogen"
)

// prober is the program that measures small requests while others load a server.
const prober = "prober"

// psqlCopy is the name of \copy of psql in the results.
const psqlCopy = "copy"

// aboveIdle is the unit of peak memory: the peak less the memory of the server after its first response.
const aboveIdle = "MiB above idle"

const (
	// adminSecret and nodeSecret are the secrets of the servers, which clients send.
	adminSecret = alternative.AdminSecret
	nodeSecret  = "bench-node-secret"

	mebibyte = 1 << 20
)
