package gatewaytest

import "syscall"

// dieWithParent makes the kernel end redis-server when the test binary is killed (a test timeout, ^C): cleanups do
// not run then.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
