package postgres

import (
	"os"
	"strconv"
	"strings"
)

const pidFileName = "postmaster.pid"

// Lines of postmaster.pid, counted from 0: src/include/utils/pidfile.h of Postgres.
const (
	pidLine    = 0
	statusLine = 7
)

// pidFile is the content of postmaster.pid.
type pidFile struct {
	lines []string
	pid   int // 0 if unreadable
	ready bool
}

func readPIDFile(root *os.Root) (pidFile, error) {
	text, err := root.ReadFile(pidFileName)
	if err != nil {
		return pidFile{}, err
	}
	f := pidFile{lines: strings.SplitAfter(string(text), "\n")}
	f.pid, _ = strconv.Atoi(strings.TrimSpace(f.lines[pidLine]))
	f.ready = len(f.lines) > statusLine && strings.TrimSpace(f.lines[statusLine]) == "ready"
	return f, nil
}

// replaceStalePID replaces the process ID in the pid file of a dead postmaster by that of this process, so that a new
// postmaster starts. It returns fs.ErrNotExist if there is no pid file.
//
// The file cannot be removed: it names the shared memory by which a new postmaster notices backends of the old one that
// are still writing, and two sets of writers destroy a cluster. It cannot stay as it is either: its process ID may
// belong to another process by now, even to the next postmaster. Postgres regards a pid file with its parent's ID as
// stale, and still checks the shared memory.
func replaceStalePID(root *os.Root, as account) error {
	old, err := readPIDFile(root)
	if err != nil {
		return err
	}
	if old.pid == 0 { // the postmaster ended while it wrote the file, before it had shared memory
		return root.Remove(pidFileName)
	}
	old.lines[pidLine] = strconv.Itoa(os.Getpid()) + "\n"
	const draft = pidFileName + ".gatehouse"
	if err := root.WriteFile(draft, []byte(strings.Join(old.lines, "")), 0o600); err != nil {
		return err
	}
	if as.switched {
		if err := root.Lchown(draft, int(as.uid), int(as.gid)); err != nil {
			return err
		}
	}
	return root.Rename(draft, pidFileName)
}
