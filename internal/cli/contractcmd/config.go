package contractcmd

import (
	"errors"
	"io"
	"io/fs"

	"github.com/spf13/cobra"
)

// Config is what the commands are connected to.
type Config struct {
	// Out has what the user asked for, Log has progress and errors.
	Out, Log io.Writer
	// Documents returns the contracts of gatehouse as JSON, which are used without --contract.
	Documents func() ([][]byte, error)
	// Scenarios are the scenarios of these contracts, and ScenarioDir is where they are in the repository.
	Scenarios   fs.FS
	ScenarioDir string
	// Published are the published contracts of the original: files NAME-VERSION.yml.
	Published fs.FS
}

// ErrDeparted is returned when something departed from the contract, which the command has printed. The exit status is
// then 1.
var ErrDeparted = errors.New("the contract did not hold")

// errInterrupted is returned when Ctrl-C ended a run before it was complete.
var errInterrupted = errors.New("interrupted")

// notRunError is an error for which a command could not run.
type notRunError struct{ error }

// ExitStatus is the exit status of the program.
func (notRunError) ExitStatus() int { return 2 }

// Unwrap returns the cause.
func (e notRunError) Unwrap() error { return e.error }

// runs makes a function the RunE of a command. Every error but ErrDeparted means that the command could not run.
func runs(run func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		if err == nil || errors.Is(err, ErrDeparted) {
			return err
		}
		return notRunError{err}
	}
}
