//go:build !linux

package main

import (
	"syscall"
	"time"
)

// Memory and CPU time of a process are measured on Linux only. On other systems they are reported as 0.

func endWithParent() *syscall.SysProcAttr { return nil }

func residentMemory(int) int64 { return 0 }

func peakMemory(int) int64 { return 0 }

func resetPeak(int) error { return nil }

func cpuTime(int) time.Duration { return 0 }

func postgresCPUTime(string) time.Duration { return 0 }

func allowFiles(uint64) error { return nil }
