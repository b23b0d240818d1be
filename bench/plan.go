package main

import (
	"slices"
	"time"
)

// plan is how much of what is measured.
type plan struct {
	rounds int
	only   string // the one part that is measured; "" is all of them
	// window is how long one server answers small requests before it is another's turn.
	window      time.Duration
	connections []int
	// pools are the sizes of which bare's best is found.
	pools []int
	users int // that small requests are made of
	// statementsOnce has pgbench run on many connections in the first round only: to connect takes it seconds.
	statementsOnce bool
	// growth is numbers of users, ascending.
	growth []int
	// definitions and policies are how many documents one import has, ascending.
	definitions, policies []int
	organisations         int // that are listed
}

// maxMaterialised is how many documents are given to servers that hold all of a request in memory: 10,000 definitions
// (130 MB) take stock some 2 GB, ten times as many more than most machines have.
const maxMaterialised = 10_000

func fullPlan() plan {
	return plan{
		rounds: 5, window: time.Second, connections: []int{1, 8, 64}, pools: []int{2, 4, 8, 16, 32},
		users: 100_000, growth: []int{1_000, 1_000_000, 10_000_000},
		definitions: []int{100, 1_000, 10_000, 100_000}, policies: []int{100, 1_000, 10_000, 100_000},
		organisations: 100_000,
	}
}

// quickPlan has the same measurements as fullPlan, and so gives the same names, but for the sizes in some of them.
func quickPlan() plan {
	return plan{
		rounds: 3, window: 50 * time.Millisecond, connections: []int{1, 8, 64}, pools: []int{4, 8, 16},
		users: 10_000, statementsOnce: true, growth: []int{1_000, 10_000, 100_000},
		definitions: []int{100, 1_000}, policies: []int{1_000},
		organisations: 10_000,
	}
}

// limited is p with these rounds and no more than so many definitions and users; 0 leaves p as it is.
func (p plan) limited(rounds, definitions, users int) plan {
	if rounds > 0 {
		p.rounds = rounds
	}
	p.definitions, p.policies = upTo(p.definitions, definitions), upTo(p.policies, definitions)
	p.growth = upTo(p.growth, users)
	return p
}

// upTo is the sizes that are no larger than limit, and limit itself where it is between them.
func upTo(sizes []int, limit int) []int {
	last := sizes[len(sizes)-1]
	if limit <= 0 || limit >= last {
		return sizes
	}
	kept := slices.DeleteFunc(slices.Clone(sizes), func(n int) bool { return n >= limit })
	return append(kept, limit)
}
