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

// postgresCPUTime returns the CPU time of the processes of a Postgres: of those that run, and of those that have ended.
// cluster is its own directory.
func postgresCPUTime(cluster string) time.Duration {
	const ticks = 100                                                // USER_HZ, which is 100 on all systems
	text, _ := os.ReadFile(filepath.Join(cluster, "postmaster.pid")) // the first line is the PID
	line, _, _ := bytes.Cut(text, []byte("\n"))
	postmaster, err := strconv.Atoi(string(line))
	if err != nil {
		return 0
	}
	sum := cpuTime(postmaster)
	const cutime, cstime = 15, 16
	if fields := statFields(postmaster); len(fields) > cstime {
		for _, field := range [][]byte{fields[cutime], fields[cstime]} {
			n, _ := strconv.ParseInt(string(field), 10, 64)
			sum += time.Duration(n) * time.Second / ticks
		}
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the only error is an invalid pattern
	const parent = 3
	for _, file := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if fields := statFields(pid); len(fields) > parent && string(fields[parent]) == strconv.Itoa(postmaster) {
			sum += cpuTime(pid)
		}
	}
	return sum
}

// statFields returns the fields of /proc/pid/stat, with the name of the program as one.
func statFields(pid int) [][]byte {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // it may have ended
	_, rest, found := bytes.Cut(text, []byte(") "))
	if !found {
		return nil
	}
	return append([][]byte{nil, nil}, bytes.Fields(rest)...)
}

// allowFiles allows this program, and those that it starts, to have n files and connections open.
func allowFiles(n uint64) error {
	limit := syscall.Rlimit{}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	// Also if the limit is high enough: Go gives its children the limit from before it raised its own, unless a program
	// sets it.
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: max(n, limit.Cur), Max: max(n, limit.Max)})
}
