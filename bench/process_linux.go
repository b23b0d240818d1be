package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// endWithParent makes the kernel end a child when this program ends.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

// residentMemory returns the resident memory of a process in bytes (proc(5): VmRSS).
func residentMemory(pid int) int64 { return statusField(pid, "VmRSS:") }

// peakMemory returns the peak of the resident memory since the last resetPeak in bytes (proc(5): VmHWM).
func peakMemory(pid int) int64 { return statusField(pid, "VmHWM:") }

// resetPeak sets the peak to the current resident memory (proc(5): clear_refs, since Linux 4.0).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200)
}

// statusField returns a field of /proc/pid/status in bytes.
func statusField(pid int, name string) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // 0 for a process that has ended
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[0]) == name {
			kib, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// cpuTime returns the CPU time of the threads of a process. /proc/pid/stat has only hundredths of a second.
func cpuTime(pid int) time.Duration {
	var sum time.Duration
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the only error is an invalid pattern
	for _, thread := range threads {
		text, _ := os.ReadFile(thread) // a thread may have ended
		if fields := bytes.Fields(text); len(fields) > 0 {
			ns, _ := strconv.ParseInt(string(fields[0]), 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}
