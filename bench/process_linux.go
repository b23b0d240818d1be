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

// tiedToUs makes the kernel end a child when this program dies.
func tiedToUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

// residentMemory is how many bytes of memory a process holds now (proc(5): VmRSS).
func residentMemory(pid int) int64 { return statusField(pid, "VmRSS:") }

// peakMemory is the most that it held since the last resetPeak (proc(5): VmHWM).
func peakMemory(pid int) int64 { return statusField(pid, "VmHWM:") }

// resetPeak makes the peak what is held now (proc(5): clear_refs, since Linux 4.0).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200)
}

func statusField(pid int, name string) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // of a process that is gone: 0
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[0]) == name {
			kib, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// cpuTime is what a process's threads have used. /proc/pid/stat would count in hundredths of a second.
func cpuTime(pid int) time.Duration {
	var sum time.Duration
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // its only error is a bad pattern
	for _, thread := range threads {
		text, _ := os.ReadFile(thread) // a thread may end meanwhile
		if fields := bytes.Fields(text); len(fields) > 0 {
			ns, _ := strconv.ParseInt(string(fields[0]), 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}
