package doctor

import (
	"context"
	"fmt"
	"math"
)

// reservedFiles is the number of files that a server opens besides the connections of its clients: connections to the
// database and to gateways, logs, and spools of imports.
const reservedFiles = 128

// Limits are the limits of the process, and the settings of the server that must fit into them.
type Limits struct {
	// Files is the number of files that a process may open (RLIMIT_NOFILE).
	Files uint64
	// Connections is --max-connections; 0 is no limit.
	Connections int
	// Memory is the memory of the container in bytes; 0 is no limit.
	Memory uint64
	// GoMemory is GOMEMLIMIT if the environment sets it, in bytes; math.MaxInt64 if not.
	GoMemory int64
	// MinMemory is the lowest GOMEMLIMIT that a server sets itself, and MemoryShare the share of Memory that it sets.
	MinMemory   int64
	MemoryShare float64
}

// CheckLimits compares the limits of the process with what the server may need.
func CheckLimits(limits func() Limits) Check {
	return Check{"limits", func(context.Context) []Finding {
		l := limits()
		return []Finding{l.files(), l.memory()}
	}}
}

func (l Limits) files() Finding {
	const name = "limit of files"
	have := fmt.Sprintf("a process of this account may open %d files", l.Files)
	need := uint64(max(l.Connections, 0)) + reservedFiles
	if l.Files < need {
		return Finding{
			name, Warning, fmt.Sprintf("%s, and --max-connections (%d) needs %d", have, l.Connections, need),
			"raise it (LimitNOFILE= of systemd, ulimits of Docker, ulimit -n), or lower --max-connections",
		}
	}
	if l.Connections == 0 {
		return Finding{name, Note, have + ", and --max-connections sets no limit", "set --max-connections below that"}
	}
	return Finding{name, OK, have, ""}
}

func (l Limits) memory() Finding {
	const name = "limit of memory"
	isSet := l.GoMemory != math.MaxInt64
	least := int64(float64(l.MinMemory) / l.MemoryShare)
	switch {
	case isSet && l.GoMemory < l.MinMemory:
		return Finding{
			name, Warning, fmt.Sprintf("GOMEMLIMIT is %d MiB: the garbage collector would run all the time", l.GoMemory>>20),
			"unset it: the server chooses one itself",
		}
	case isSet && l.Memory > 0 && l.GoMemory > int64(min(l.Memory, math.MaxInt64)):
		return Finding{
			name, Warning, fmt.Sprintf("GOMEMLIMIT is %d MiB, and the container has %d MiB: the server would be killed",
				l.GoMemory>>20, l.Memory>>20),
			"unset it: the server chooses one below the limit of the container",
		}
	case l.Memory > 0 && l.Memory < uint64(least):
		return Finding{
			name, Warning, fmt.Sprintf("the container has %d MiB", l.Memory>>20),
			fmt.Sprintf("raise the limit above %d MiB, and further for a private Postgres", least>>20),
		}
	case l.Memory > 0:
		return Finding{name, OK, fmt.Sprintf("the container has %d MiB", l.Memory>>20), ""}
	}
	return Finding{name, OK, "the container has no limit of memory", ""}
}
