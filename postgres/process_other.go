//go:build unix && !linux

package postgres

import (
	"context"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttributes does not tie the child to this process, which only Linux can do. A postmaster that outlives the
// server is stopped at the next start (see clearOrphan).
func childAttributes(as account, _ []uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as.credential()}
}

func searchCapability() ([]uintptr, error) {
	return nil, errors.New("choose another data directory, or let others search the directories above it (chmod o+x)")
}

// isPostmasterOf reports whether the process is a postmaster that was started on this cluster.
func isPostmasterOf(ctx context.Context, pid int, cluster string) bool {
	out, err := exec.CommandContext(ctx, "ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "postgres -D "+cluster+" ")
}
