package main

import (
	"io"
	"os/exec"
	"syscall"
)

// process is a program that this one has started. It ends with this one, however that ends.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

func launch(cmd *exec.Cmd, log io.Writer) (*process, error) {
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // ProcessState has the status
		close(p.exited)
	}()
	return p, nil
}

// kill ends the process as kill -9 does, and returns when it has ended.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// signal does nothing after the process has ended.
func (p *process) signal(signal syscall.Signal) { _ = p.cmd.Process.Signal(signal) }
