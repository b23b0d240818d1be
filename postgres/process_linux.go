package postgres

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes makes the kernel send SIGINT, which requests a fast shutdown, when this process ends.
func childAttributes(as account, capabilities []uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT, Credential: as.credential(), AmbientCaps: capabilities}
}

// searchCapability returns the weakest capability of this process that lets an account search directories that are
// closed to it: CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE, which is often the only one in a container.
func searchCapability() ([]uintptr, error) {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData // version 3 has 64 bits in two halves
	if err := unix.Capget(&head, &have[0]); err != nil {
		return nil, err
	}
	if have[0].Permitted&(1<<unix.CAP_DAC_READ_SEARCH) != 0 {
		return []uintptr{unix.CAP_DAC_READ_SEARCH}, nil
	}
	return []uintptr{unix.CAP_DAC_OVERRIDE}, nil
}

// isPostmasterOf reports whether the process is a postmaster of this cluster. It recognises one by its working
// directory, which a postmaster never leaves, or if that cannot be read by the -D that it was started with. Backends
// change their name to "postgres: …" and a dead process has no command line, so neither matches.
func isPostmasterOf(_ context.Context, pid int, cluster string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	line, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil {
		return false
	}
	args := bytes.Split(line, []byte{0})
	if name := filepath.Base(string(args[0])); name != "postgres" && name != "postmaster" {
		return false
	}
	got, err := os.Stat(filepath.Join(proc, "cwd"))
	want, wantErr := os.Stat(cluster)
	if err == nil && wantErr == nil && os.SameFile(got, want) {
		return true
	}
	return bytes.Contains(line, []byte("\x00-D\x00"+cluster+"\x00"))
}
