package main

import (
	"slices"

	"gatehouse/bench/alternative"
)

// contenders are the servers that are compared.
func contenders() []string { return slices.Clone([]string{gatehouse, bare, stock, generated}) }

// The servers' names, as they stand in the results.
const (
	gatehouse = "gatehouse"
	bare      = "bare"
	stock     = "stock"
	generated = "ogen"
)

// copying is the contender that is psql's \copy.
const copying = "copy"

// aboveIdle is the unit of a peak of memory: what it was more than the server held after its first answer.
const aboveIdle = "MiB above idle"

const (
	// adminSecret and nodeSecret are what the servers are started with and the clients send.
	adminSecret = alternative.AdminSecret
	nodeSecret  = "bench-node-secret"

	mebibyte = 1 << 20
)
