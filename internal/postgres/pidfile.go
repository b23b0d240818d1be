package postgres

import (
	"os"
	"strconv"
	"strings"
)

const pidFileName = "postmaster.pid"

// Lines of postmaster.pid, from 0: src/include/utils/pidfile.h of Postgres.
const (
	pidLine    = 0
	statusLine = 7
)

// pidFile is what Postgres says about its postmaster.
type pidFile struct {
	lines []string
	pid   int // 0 if unreadable
	ready bool
}

func readPidFile(root *os.Root) (pidFile, error) {
	text, err := root.ReadFile(pidFileName)
	if err != nil {
		return pidFile{}, err
	}
	f := pidFile{lines: strings.SplitAfter(string(text), "\n")}
	f.pid, _ = strconv.Atoi(strings.TrimSpace(f.lines[pidLine]))
	f.ready = len(f.lines) > statusLine && strings.TrimSpace(f.lines[statusLine]) == "ready"
	return f, nil
}

// disown makes a pid file that a dead postmaster left harmless, and returns
// fs.ErrNotExist if there is none. Removing it would be wrong: it names the
// shared memory by which a new postmaster notices backends of the old one that
// still write, and two sets of writers destroy a cluster. Leaving it would be
// wrong as well: its process id may belong to another process by now, even to
// our next postmaster. So the id is replaced by our own. Postgres takes a pid
// file of its parent for stale, and still looks at the shared memory.
func disown(root *os.Root, as account) error {
	old, err := readPidFile(root)
	if err != nil {
		return err
	}
	if old.pid == 0 { // written by half, so there never was a postmaster behind it
		return root.Remove(pidFileName)
	}
	old.lines[pidLine] = strconv.Itoa(os.Getpid()) + "\n"
	const draft = pidFileName + ".gatehouse"
	if err := root.WriteFile(draft, []byte(strings.Join(old.lines, "")), 0o600); err != nil {
		return err
	}
	if as.other {
		if err := root.Lchown(draft, int(as.uid), int(as.gid)); err != nil {
			return err
		}
	}
	return root.Rename(draft, pidFileName)
}
