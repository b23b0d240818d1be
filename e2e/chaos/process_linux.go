package main

import "syscall"

// childAttributes has the kernel kill the child when this program ends.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
