package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	// restartPause is how long a supervisor waits before it starts a program again.
	restartPause = 100 * time.Millisecond
	// stopTimeout is how long a program may take to end after SIGTERM. Supervisors then kill it.
	stopTimeout = 20 * time.Second
	// pollInterval is the time between two attempts of waitFor.
	pollInterval = 20 * time.Millisecond
)

// supervised is a program that is started again whenever it ends, as systemd does.
type supervised struct {
	name    string
	command func() *exec.Cmd
	log     *os.File
	report  *report

	mu         sync.Mutex // guards the fields below; held for one access, or while the program starts or is killed
	current    *process
	terminated *process  // the program that terminate was called for last, until waitTerminated
	resume     time.Time // when it may be started again
	killed     bool      // whether its end was requested
	stopped    bool      // whether it is not started again
	ended      chan struct{}
}

// supervise starts a program until stop is called.
func supervise(name, logPath string, report *report, command func() *exec.Cmd) (*supervised, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	s := &supervised{name: name, command: command, log: log, report: report, ended: make(chan struct{})}
	go s.run()
	return s, nil
}

func (s *supervised) run() {
	defer close(s.ended)
	for s.start() {
		if s.current != nil {
			<-s.current.exited
			s.exited()
		}
		time.Sleep(restartPause)
	}
}

// start starts the program unless it is too early, and reports whether to continue.
func (s *supervised) start() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = nil
	if s.stopped {
		return false
	}
	if time.Now().Before(s.resume) {
		return true
	}
	s.killed = false
	started, err := launch(s.command(), s.log)
	if err != nil {
		s.report.failf("start %s: %v", s.name, err)
		return true
	}
	s.current = started
	return true
}

// exited reports a program that ended by a panic or a data race.
func (s *supervised) exited() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed || s.stopped {
		return
	}
	s.report.count(s.name+" ended by itself", 1)
	const panicked = 2 // the status of a Go program after a panic, and after a data race 66
	if code := s.current.cmd.ProcessState.ExitCode(); code == panicked || code == 66 {
		s.report.failf("%s ended with status %d, by a panic or a data race: see %s", s.name, code, s.log.Name())
	}
}

// kill ends the program as kill -9 does. It is started again after some time.
func (s *supervised) kill(down time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resume, s.killed = time.Now().Add(down), true
	if s.current != nil {
		s.current.kill()
	}
}

// terminate sends SIGTERM to the program if it runs, and returns at once. It is started again when it has ended.
func (s *supervised) terminate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		s.current.signal(syscall.SIGTERM)
		s.terminated = s.current
	}
}

// waitTerminated waits until the program has ended that terminate was called for, and returns its status; 0 if there is
// none. Until then, it serves requests. waitTerminated kills a program that takes longer than stopTimeout, and fails.
func (s *supervised) waitTerminated() (status int, err error) {
	s.mu.Lock()
	ending := s.terminated
	s.terminated = nil
	s.mu.Unlock()
	if ending == nil {
		return 0, nil
	}
	select {
	case <-ending.exited:
		return ending.cmd.ProcessState.ExitCode(), nil
	case <-time.After(stopTimeout):
		ending.kill()
		return 0, fmt.Errorf("%s still runs %s after SIGTERM: see %s", s.name, stopTimeout, s.log.Name())
	}
}

// stop ends the program with SIGTERM, and does not start it again. It fails if restart does.
func (s *supervised) stop() error {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	err := s.restart()
	<-s.ended
	return err
}

// restart ends the program with SIGTERM; it is started again. It fails if the program takes longer than stopTimeout, or
// ends with an error.
func (s *supervised) restart() error {
	s.mu.Lock()
	s.killed = true
	s.mu.Unlock()
	s.terminate()
	status, err := s.waitTerminated()
	if err == nil && status != 0 {
		err = fmt.Errorf("%s ended with status %d after SIGTERM: see %s", s.name, status, s.log.Name())
	}
	return err
}

// destroy kills the program, and does not start it again.
func (s *supervised) destroy() {
	s.mu.Lock()
	s.stopped = true
	if s.current != nil {
		s.current.kill()
	}
	s.mu.Unlock()
	<-s.ended
	_ = s.log.Close()
}

// waitFor calls try until it succeeds or ctx ends, and returns the last error then.
func waitFor(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pollInterval):
		}
	}
}

// tail returns the end of a file, for messages.
func tail(path string, size int64) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > size {
		_, _ = file.Seek(-size, io.SeekEnd)
	}
	text, _ := io.ReadAll(file)
	return string(text)
}
