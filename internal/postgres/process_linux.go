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

// tiedToUs makes the kernel send SIGINT, a fast shutdown, when the server dies.
func tiedToUs(as account, beyond []uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT, Credential: as.credential(), AmbientCaps: beyond}
}

// walkingCapability is the least that lets an account pass directories closed
// to it. Reading past permissions is enough, but containers often have only the
// one for everything.
func walkingCapability() ([]uintptr, error) {
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

// isPostmasterOf says whether the process is a postmaster of this cluster: by
// its working directory, which a postmaster never leaves, or where we may not
// look at that, by the -D that we start it with. Its backends rename themselves
// ("postgres: …") and a dead process has no command line, so neither matches.
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
	at, err := os.Stat(filepath.Join(proc, "cwd"))
	want, wantErr := os.Stat(cluster)
	if err == nil && wantErr == nil && os.SameFile(at, want) {
		return true
	}
	return bytes.Contains(line, []byte("\x00-D\x00"+cluster+"\x00"))
}
