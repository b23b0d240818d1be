//go:build !linux

package main

import "syscall"

// childAttributes does nothing on this system: children outlive this program if it is killed.
func childAttributes() *syscall.SysProcAttr { return nil }
