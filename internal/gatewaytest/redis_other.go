//go:build !linux

package gatewaytest

import "syscall"

// dieWithParent has no counterpart here: a killed test binary leaves its redis-server behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
