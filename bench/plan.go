package main

import (
	"slices"
	"time"
)

// plan says what is measured, and at which sizes.
type plan struct {
	rounds int
	only   string // the part to measure; "" is all of them
	// programs is a directory into which buildServers has built the servers; "" lets the run build them.
	programs string
	// window is how long a server is measured with small requests in a round.
	window      time.Duration
	connections []int
	// pools are the pool sizes to try for bare.
	pools []int
	users int // in the database of small requests
	// pgbenchOnce limits pgbench with several connections to the first round, because connecting takes it seconds.
	pgbenchOnce bool
	// growth holds numbers of users, ascending.
	growth []int
	// definitions and policies hold numbers of documents in an import, ascending.
	definitions, policies []int
	organisations         int // in the list of organisations
	fleet                 fleetPlan
}

// fleetPlan says what is measured of fleets of gateways.
type fleetPlan struct {
	// apis and gateways hold numbers of APIs and of simulated gateways, ascending. All pairs are measured.
	apis, gateways []int
	// clients are numbers of clients that request the list of APIs at the same time.
	clients []int
	// window is how long gateways are idle, and how long small requests are sent while gateways fetch.
	window time.Duration
	// limit is how long a change may take until all gateways have it, and startLimit how long their start.
	limit, startLimit            time.Duration
	pingInterval, reloadInterval time.Duration
	// download allows to download nginx if it is not installed.
	download bool
}

// maxFleetSize bounds the numbers of APIs and of gateways.
const maxFleetSize = 100_000

// The sizes that the targets of fleets are for, if they are among the sizes of a run.
const (
	targetAPIs         = 2_000
	targetGateways     = 1_000
	targetIdleGateways = 10_000
)

// gatewayTimes returns a plan of fleets with the times of real gateways.
func (f fleetPlan) gatewayTimes() fleetPlan {
	f.pingInterval, f.reloadInterval, f.download = 2*time.Second, time.Second, true
	f.limit, f.startLimit = 2*time.Minute, 10*time.Minute
	return f
}

// maxMaterialised is the maximum number of documents for servers that hold a whole request in memory. stock needs 2 GB
// for 10,000 definitions (130 MB); ten times as much is more than most machines have.
const maxMaterialised = 10_000

// fullPlan returns the plan without -quick.
func fullPlan() plan {
	return plan{
		rounds: 5, window: time.Second, connections: []int{1, 8, 64}, pools: []int{2, 4, 8, 16, 32},
		users: 100_000, growth: []int{1_000, 1_000_000, 10_000_000},
		definitions: []int{100, 1_000, 10_000, 100_000}, policies: []int{100, 1_000, 10_000, 100_000},
		organisations: 100_000,
		fleet: fleetPlan{
			apis: []int{targetAPIs}, gateways: []int{targetGateways, targetIdleGateways}, clients: []int{1, 10, 50},
			window: 20 * time.Second,
		}.gatewayTimes(),
	}
}

// quickPlan returns the plan of -quick. It has the same measurements as fullPlan, so its results have the same names,
// except for the sizes in some of them.
func quickPlan() plan {
	return plan{
		rounds: 3, window: 50 * time.Millisecond, connections: []int{1, 8, 64}, pools: []int{4, 8, 16},
		users: 10_000, pgbenchOnce: true, growth: []int{1_000, 10_000, 100_000},
		definitions: []int{100, 1_000}, policies: []int{1_000},
		organisations: 10_000,
		fleet: fleetPlan{
			apis: []int{500}, gateways: []int{100}, clients: []int{1, 10, 50},
			window: 3 * time.Second,
		}.gatewayTimes(),
	}
}

// withLimits returns p with this number of rounds, and with at most these numbers of definitions and users. 0 keeps the
// value of p.
func (p plan) withLimits(rounds, definitions, users int) plan {
	if rounds > 0 {
		p.rounds = rounds
	}
	p.definitions, p.policies = upTo(p.definitions, definitions), upTo(p.policies, definitions)
	p.growth = upTo(p.growth, users)
	return p
}

// upTo returns the sizes up to limit. If limit is between two sizes, it is the last.
func upTo(sizes []int, limit int) []int {
	last := sizes[len(sizes)-1]
	if limit <= 0 || limit >= last {
		return sizes
	}
	kept := slices.DeleteFunc(slices.Clone(sizes), func(n int) bool { return n >= limit })
	return append(kept, limit)
}
