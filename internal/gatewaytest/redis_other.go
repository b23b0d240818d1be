//go:build !linux

package gatewaytest

import "syscall"

// dieWithParent does nothing on this system: a test that is killed leaves its redis-server behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
