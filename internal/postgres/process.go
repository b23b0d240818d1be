package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const (
	// fastLimit is how long a fast shutdown may take. It rolls back and writes a
	// checkpoint, well below a second for a small server on a sound disk.
	fastLimit = 30 * time.Second
	// immediateLimit is a little more than the 5 s after which the postmaster
	// itself kills backends that ignore an immediate shutdown.
	immediateLimit = 8 * time.Second
)

// process is a child of ours that has been started.
type process struct {
	handle *os.Process
	born   time.Time
	exited chan struct{}
	// Set before exited is closed.
	err  error
	died time.Time
}

// spawn starts cmd so that it ends with this server, however this server ends.
func spawn(cmd *exec.Cmd) (*process, error) {
	p := &process{born: time.Now(), exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ties the child to the thread that started it, so the thread
		// must live as long as the child: it is never unlocked.
		runtime.LockOSThread()
		err := cmd.Start()
		p.handle = cmd.Process
		started <- err
		if err != nil {
			return
		}
		p.err, p.died = cmd.Wait(), time.Now()
		close(p.exited)
	}()
	return p, <-started
}

// lived and reason may be called once exited is closed.
func (p *process) lived() time.Duration { return p.died.Sub(p.born) }

func (p *process) reason() error {
	if p.err == nil {
		return errors.New("it was shut down by someone else")
	}
	return p.err
}

// end shuts a postmaster down.
func (p *process) end(ctx context.Context) error { return shutDown(ctx, p.handle, p.exited) }

// shutDown asks a postmaster for a fast shutdown, and for an immediate one if
// that takes too long or ctx ends. After the latter the next start recovers from
// the write-ahead log.
func shutDown(ctx context.Context, postmaster *os.Process, gone <-chan struct{}) error {
	if ended, err := ask(ctx, postmaster, syscall.SIGINT, fastLimit, gone); ended || err != nil {
		return err
	}
	ended, err := ask(context.WithoutCancel(ctx), postmaster, syscall.SIGQUIT, immediateLimit, gone)
	if !ended && err == nil {
		return fmt.Errorf("postgres (process %d) does not stop", postmaster.Pid)
	}
	return err
}

func ask(
	ctx context.Context, postmaster *os.Process, sig syscall.Signal, limit time.Duration, gone <-chan struct{},
) (ended bool, err error) {
	if err := postmaster.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false, fmt.Errorf("stop postgres (process %d): %w", postmaster.Pid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-gone:
		return true, nil
	case <-ctx.Done():
		return false, nil
	}
}

// runner starts Postgres's programs as the account that may run them.
type runner struct {
	bin binaries
	as  account
	// beyond holds the capabilities that let the account reach its directory.
	beyond []uintptr
}

// command runs in "/", because the child changes its directory with its new
// rights, and leaves the server's environment behind: that has its secrets in
// it, and PG* variables would change what Postgres does.
func (r runner) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(r.bin.path(name), args...)
	cmd.Dir = "/"
	// Without LC_ALL a postmaster on macOS starts threads and refuses to run.
	cmd.Env = []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.SysProcAttr = tiedToUs(r.as, r.beyond)
	// A group of its own: Ctrl-C in the terminal is for the server, which drains
	// its requests before it stops Postgres.
	cmd.SysProcAttr.Setpgid = true
	return cmd
}
