package gatewaytest

import "syscall"

// dieWithParent makes the kernel kill redis-server when the test is killed (by a time-out or Ctrl-C), since cleanups do
// not run then.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
