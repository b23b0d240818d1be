package cli

import (
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// gcPercent is the default of GOGC. The live heap is only a few megabytes: at Go's default of 100, collecting garbage
// takes a tenth of the time of a small request.
const gcPercent = 150

const (
	// memoryShare is the share of a container's memory that GOMEMLIMIT becomes, unless that is set. The rest is for what
	// the limit does not count, such as the private Postgres.
	memoryShare = 0.8
	// minMemory is the least that GOMEMLIMIT becomes, in bytes: with less, the server would only collect garbage.
	minMemory = 64 << 20
	// softMemory is GOMEMLIMIT, in bytes, where the container has no limit and there are no connections. Beyond it,
	// garbage is collected more often than gcPercent says: 64 large bodies at once have 130 MiB that live, and would leave
	// twice as much garbage.
	softMemory = 160 << 20
	// connectionMemory is added to softMemory for each open connection, in bytes. It is what one takes while small
	// requests are answered: 10,000 connections would else leave no room, and garbage would be collected all the time.
	connectionMemory = 56 << 10
	// connectionStep is the number of connections after which the limit follows: a new limit stops all goroutines for some
	// microseconds.
	connectionStep = 256
)

// limitMemory sets GOGC and GOMEMLIMIT, unless the environment does. It returns a function that has GOMEMLIMIT follow
// the number of open connections, whose calls must not be concurrent.
func limitMemory() (follow func(connections int)) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// Ignore the error: where the limit of the container cannot be read, there is none to observe.
	_, _ = memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithMin(minMemory))
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return func(int) {}
	}
	debug.SetMemoryLimit(softMemory)
	steps := 0
	return func(connections int) {
		if connections/connectionStep != steps {
			steps = connections / connectionStep
			debug.SetMemoryLimit(softMemory + int64(steps)*connectionStep*connectionMemory)
		}
	}
}
