package postgres

import (
	"context"
	"fmt"
	"io"
	"os"
)

// Programs runs the programs of a Postgres of the machine, as the account that a private Postgres has. It is for tests
// that need what Start does not: several clusters, a standby, pg_basebackup.
type Programs struct{ run runner }

// FindPrograms finds the Postgres that Start would use for a new cluster. binDir is that of Config.
func FindPrograms(ctx context.Context, binDir string) (Programs, error) {
	var p Programs
	var err error
	if p.run.account, err = chooseAccount(""); err != nil {
		return p, err
	}
	p.run.binaries, err = binariesSearch{places: machinePlaces(), binDir: binDir}.find(ctx)
	return p, err
}

// Path returns the path of a program, such as psql.
func (p Programs) Path(name string) string { return p.run.binaries.path(name) }

// Mkdir makes a directory of the account.
func (p Programs) Mkdir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return p.run.account.own(path)
}

// WriteFile writes a file of the account.
func (p Programs) WriteFile(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	return p.run.account.own(path)
}

// Run runs a program to its end, and kills it if ctx ends. The error has the last lines of what the program wrote.
func (p Programs) Run(ctx context.Context, name string, args ...string) error {
	return initializer{run: p.run}.runToEnd(ctx, name, args...)
}

// Start starts a program, whose output goes to log. It ends with this process, however that ends.
func (p Programs) Start(log io.Writer, name string, args ...string) (*Process, error) {
	cmd := p.run.command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	started, err := spawn(cmd)
	if err != nil {
		return nil, err
	}
	return &Process{started}, nil
}

// Process is a program that Programs.Start has started.
type Process struct{ process *process }

// PID returns the process ID.
func (p *Process) PID() int { return p.process.handle.Pid }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.process.exited }

// Signal sends a signal to the process. It does nothing after the process has ended.
func (p *Process) Signal(signal os.Signal) error {
	select {
	case <-p.process.exited:
		return nil
	default:
	}
	if err := p.process.handle.Signal(signal); err != nil {
		return fmt.Errorf("signal process %d: %w", p.PID(), err)
	}
	return nil
}
