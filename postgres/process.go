package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"
)

const (
	// fastShutdownTimeout limits a fast shutdown, which rolls back and writes a checkpoint: well below a second for a
	// small server with a sound disk.
	fastShutdownTimeout = 30 * time.Second
	// immediateShutdownTimeout limits an immediate shutdown, in which the postmaster kills its backends after 5 s.
	immediateShutdownTimeout = 8 * time.Second
	// pollInterval is how often files and processes of others are checked while waiting for them. It is short against a
	// start of a tenth of a second.
	pollInterval = 10 * time.Millisecond
	// maxPreempted is how often a program is started that signals end before it begins: one that ends itself so never
	// begins.
	maxPreempted = 10
)

// process is a started child process.
type process struct {
	handle *os.Process
	born   time.Time
	exited chan struct{}
	// Set before exited is closed.
	err  error
	died time.Time
}

// spawn starts cmd. On Linux the child ends with this process, however this process ends.
func spawn(cmd *exec.Cmd) (*process, error) {
	p := &process{born: time.Now(), exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel signals the child when the thread that started it ends, so the goroutine is locked to the thread until
		// the child ends. Without the unlock, the thread would end with the goroutine, and with it children of earlier ones.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		p.handle = cmd.Process
		started <- err
		if err != nil {
			return
		}
		p.err, p.died = cmd.Wait(), time.Now()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	return p, nil
}

// repeatIfPreempted runs a program of Postgres again if a signal has ended it before it began: one for the process
// group of this process, such as Ctrl-C in a terminal, reaches a child until the child has a group of its own. Later,
// the programs that change something handle these signals themselves.
func repeatIfPreempted(ctx context.Context, run func() error) (err error) {
	for range maxPreempted {
		if err = run(); !isPreempted(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// isPreempted reports whether err is that of a child that was ended by a signal that this process handles.
func isPreempted(err error) bool {
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		return false
	}
	status, ok := ended.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() &&
		slices.Contains([]syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM}, status.Signal())
}

// lifetime may be called once exited is closed.
func (p *process) lifetime() time.Duration { return p.died.Sub(p.born) }

// exitReason may be called once exited is closed.
func (p *process) exitReason() error {
	if p.err == nil {
		return errors.New("another process shut it down")
	}
	return p.err
}

// shutDown stops the process, which is a postmaster.
func (p *process) shutDown(ctx context.Context) error { return shutDown(ctx, p.handle, p.exited) }

// kill kills the process, which leads a group, and its children. It returns when the process has ended.
func (p *process) kill() {
	_ = syscall.Kill(-p.handle.Pid, syscall.SIGKILL) // fails if it has ended by itself
	<-p.exited
}

// shutDown requests a fast shutdown of a postmaster, and an immediate one if that times out or ctx ends. After an
// immediate shutdown the next start recovers from the write-ahead log. gone is closed when the postmaster has ended.
func shutDown(ctx context.Context, postmaster *os.Process, gone <-chan struct{}) error {
	fastCtx, cancel := context.WithTimeout(ctx, fastShutdownTimeout)
	defer cancel()
	if ended, err := signalAndWait(fastCtx, postmaster, syscall.SIGINT, gone); ended || err != nil {
		return err
	}
	immediateCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), immediateShutdownTimeout)
	defer cancel()
	ended, err := signalAndWait(immediateCtx, postmaster, syscall.SIGQUIT, gone)
	if !ended && err == nil {
		return fmt.Errorf("stop postgres (process %d): it still runs after an immediate shutdown", postmaster.Pid)
	}
	return err
}

// signalAndWait sends a signal, and reports whether gone was closed before ctx ended.
func signalAndWait(
	ctx context.Context, postmaster *os.Process, signal syscall.Signal, gone <-chan struct{},
) (ended bool, err error) {
	if err := postmaster.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false, fmt.Errorf("stop postgres (process %d): %w", postmaster.Pid, err)
	}
	select {
	case <-gone:
		return true, nil
	case <-ctx.Done():
		return false, nil
	}
}

// runner runs Postgres's programs.
type runner struct {
	binaries binaries
	account  account
	// capabilities let the account reach the data directory.
	capabilities []uintptr
}

// command returns a command that runs in "/", because the child changes its directory with the rights of the account,
// and without most of the server's environment, which holds secrets and may have PG* variables that change what
// Postgres does.
func (r runner) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(r.binaries.path(name), args...)
	cmd.Dir = "/"
	// Without LC_ALL a postmaster on macOS starts threads and refuses to run.
	cmd.Env = []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.SysProcAttr = childAttributes(r.account, r.capabilities)
	// A process group of its own, so that Ctrl-C in a terminal reaches only the server, which completes its requests
	// before it stops Postgres.
	cmd.SysProcAttr.Setpgid = true
	return cmd
}

// sleep returns early, with an error, when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
