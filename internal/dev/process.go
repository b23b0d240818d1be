package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startTimeout limits the start of a server on a database that runs.
	startTimeout = 30 * time.Second
	// stopTimeout is longer than a server takes to let its requests finish.
	stopTimeout = 20 * time.Second
)

// server is the server of the last successful build.
type server struct {
	args        []string // of `gatehouse serve`
	environment []string
	database    string // where the data is, if the server would say "the configured Postgres" of a private one
	out         io.Writer
	running     *process // nil while there is none
}

// note says whether there is a server.
func (s *server) note() string {
	if s.running == nil {
		return "; no server is running"
	}
	return "; the server from before is still running"
}

// command returns the command that serves. It has no context: stop ends it, as Ctrl-C does.
func (s *server) command(program string, args []string) *exec.Cmd {
	command := exec.Command(program, serve(args)...) //nolint:noctx // see above
	command.Env = s.environment
	return command
}

// replace starts a new program in place of the running one. That one is stopped after the new one has started on
// another port: a program that refuses its contract or its configuration does not get that far.
func (s *server) replace(ctx context.Context, program string) error {
	if s.running != nil {
		var log bytes.Buffer
		elsewhere := slices.Concat(s.args, []string{"--listen=127.0.0.1:0", "--listen-port=0"})
		trial, err := start(ctx, s.command(program, elsewhere), announce(io.Discard, ""), &log)
		if err != nil {
			return fmt.Errorf("%s%w", &log, err)
		}
		trial.stop()
	}
	s.stop()
	current := program + "-running" // the next build must not overwrite it
	if err := os.Rename(program, current); err != nil {
		return err
	}
	started, err := start(ctx, s.command(current, s.args), announce(s.out, s.database), s.out)
	s.running = started
	return err
}

func serve(args []string) []string { return append([]string{"serve"}, args...) }

func (s *server) stop() {
	if s.running != nil {
		s.running.stop()
		s.running = nil
	}
}

// process is a process that has started to listen.
type process struct {
	command *exec.Cmd
	exited  chan struct{} // closed when it has exited
}

// start starts a server, and waits until it has announced itself. It returns nil and an error if the server does
// not get that far.
func start(ctx context.Context, command *exec.Cmd, announced *announcement, log io.Writer) (*process, error) {
	command.Stdout, command.Stderr = announced, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for dev, which stops the server
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{command: command, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = command.Wait() // ProcessState has the result
	}()
	bound, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case <-announced.made:
		return p, nil
	case <-p.exited:
		return nil, errors.New("the server ended: " + command.ProcessState.String())
	case <-bound.Done():
		p.stop()
		return nil, bound.Err()
	}
}

// stop stops the process as Ctrl-C does, and waits until it has exited.
func (p *process) stop() {
	_ = p.command.Process.Signal(os.Interrupt) // fails if it has exited
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		_ = p.command.Process.Kill()
		<-p.exited
	}
}

// announcement passes on what a server writes, and notices the last line that it announces itself with.
type announcement struct {
	out      io.Writer
	database string // see server
	once     sync.Once
	made     chan struct{} // closed then
}

func announce(out io.Writer, database string) *announcement {
	return &announcement{out: out, database: database, made: make(chan struct{})}
}

// configuredPostgres is what a server says of each Postgres that it did not start itself.
const configuredPostgres = "data is in the configured Postgres\n"

// Write implements io.Writer. The server writes the announcement at once.
func (a *announcement) Write(p []byte) (int, error) {
	text := string(p)
	if a.database != "" {
		text = strings.Replace(text, configuredPostgres, "data is in "+a.database+"\n", 1)
	}
	if _, err := io.WriteString(a.out, text); err != nil {
		return 0, err
	}
	if strings.Contains(text, "admin secret: ") {
		a.once.Do(func() { close(a.made) })
	}
	return len(p), nil
}
