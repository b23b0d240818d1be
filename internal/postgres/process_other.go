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

// tiedToUs cannot tie the child to us here. A postmaster that outlives the
// server is stopped by the next one (see settle).
func tiedToUs(as account, _ []uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as.credential()}
}

func walkingCapability() ([]uintptr, error) {
	return nil, errors.New("choose another data directory, or open the ones above it to be passed (chmod o+x)")
}

// isPostmasterOf says whether the process is a postmaster that was started on
// this cluster.
func isPostmasterOf(ctx context.Context, pid int, cluster string) bool {
	out, err := exec.CommandContext(ctx, "ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "postgres -D "+cluster+" ")
}
