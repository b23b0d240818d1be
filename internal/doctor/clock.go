package doctor

import (
	"fmt"
	"time"

	"gatehouse/store"
)

const (
	// maxSkew is the difference between two clocks that becomes noticeable in logs and expiry times. Above
	// maxDatabaseSkew, servers remove each other's gateways: store/heartbeats.go tolerates ten seconds.
	maxSkew         = 2 * time.Second
	maxDatabaseSkew = 10 * time.Second
)

const adviceClock = "synchronise the clocks of both machines (chrony, systemd-timesyncd)"

// clockFinding compares the clock of the database with that of this machine.
func clockFinding(found store.Inspection) Finding {
	finding := skewFinding("database clock", "the database", found.ClockAhead, found.Latency)
	if found.ClockAhead.Abs()-found.Latency > maxDatabaseSkew {
		finding.Status = Fault
		finding.Found += ": servers whose clocks differ so much remove each other's gateways"
	}
	return finding
}

// skewFinding compares the clock of owner with that of this machine. precision is the uncertainty of ahead.
func skewFinding(name, owner string, ahead, precision time.Duration) Finding {
	if ahead.Abs()-precision <= maxSkew {
		return Finding{name, OK, "agrees with the clock of this machine", ""}
	}
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	return Finding{
		name, Warning, fmt.Sprintf("the clock of %s is %s %s that of this machine", owner,
			ahead.Abs().Round(time.Second), direction), adviceClock,
	}
}
