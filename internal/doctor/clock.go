package doctor

import (
	"fmt"
	"time"

	"gatehouse/store"
)

const (
	// maxSkew is the difference between two clocks that is noticeable in logs and expiry times, and maxDatabaseSkew that
	// at which servers forget each other's gateways: store/heartbeats.go leaves ten seconds to clocks that differ.
	maxSkew         = 2 * time.Second
	maxDatabaseSkew = 10 * time.Second
)

const adviceClock = "have both machines synchronise their clocks (chrony, systemd-timesyncd)"

// clockFinding compares the clock of the database with that of this machine.
func clockFinding(found store.Inspection) Finding {
	finding := skewFinding("database clock", "the database", found.ClockAhead, found.Latency)
	if found.ClockAhead.Abs()-found.Latency > maxDatabaseSkew {
		finding.Status = Fault
		finding.Found += ": servers with different clocks forget each other's gateways"
	}
	return finding
}

// skewFinding compares a clock with that of this machine, which is known to a precision.
func skewFinding(name, whose string, ahead, precision time.Duration) Finding {
	if ahead.Abs()-precision <= maxSkew {
		return Finding{name, OK, "agrees with that of " + whose, ""}
	}
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	return Finding{
		name, Warning, fmt.Sprintf("that of %s is %s %s that of this machine", whose, ahead.Abs().Round(time.Second),
			direction), adviceClock,
	}
}
