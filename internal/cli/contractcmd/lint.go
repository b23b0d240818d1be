package contractcmd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
	"gatehouse/openapi/lint"
)

// lintOptions are the flags of contract lint.
type lintOptions struct {
	All    bool `flag:"all" help:"Print each place where the contract does not keep a rule, not their number."`
	Strict bool `flag:"strict" help:"Fail if the contract does not keep all rules, as the contracts of gatehouse do. Prints each place."`
}

// newLint returns the command contract lint.
func newLint(cfg Config) *cobra.Command {
	var options lintOptions
	cmd := &cobra.Command{
		Use:   "lint FILE...",
		Short: "Find the faults of contracts, and what they lack for the other commands.",
		Long: `Each fault, where a file breaks OpenAPI 3.0, is printed with its file, line and column. What
gatehouse asks beyond OpenAPI, such as a named example for each outcome, is a rule; a contract can
be used without. The output has the number of places that do not keep a rule, and what follows.

The exit status is 0 if there are no faults, 1 if there are, and 2 if a file cannot be read.`,
		Example: `  gatehouse contract lint openapi/admin.yaml
  gatehouse contract lint --strict openapi/admin.yaml openapi/dashboard.yaml openapi/node.yaml`,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault), // files
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("expected the file of a contract, or several")
			}
			return nil
		},
	}
	format := output.AddFlag(cmd)
	config.Bind(cmd.Flags(), &options)
	cmd.RunE = runs(func(_ *cobra.Command, files []string) error {
		problems, err := lint.CheckAll(files...)
		if err != nil {
			return err
		}
		options.All = options.All || options.Strict
		if format.IsDocuments() {
			err = output.WriteValue(cfg.Out, *format, append([]lint.Problem{}, problems...))
		} else {
			err = options.write(cfg.Out, problems)
		}
		switch {
		case err != nil:
			return err
		case slices.ContainsFunc(problems, lint.Problem.IsFault), options.Strict && len(problems) > 0:
			return ErrDeparted
		}
		return nil
	})
	return cmd
}

// write prints the faults, and then what does not keep a rule.
func (o *lintOptions) write(out io.Writer, problems []lint.Problem) error {
	faults := 0
	broken := map[string][]lint.Problem{}
	for _, problem := range problems {
		if problem.IsFault() {
			faults++
			fmt.Fprintln(out, problem)
		} else {
			broken[problem.Rule] = append(broken[problem.Rule], problem)
		}
	}
	if o.All {
		for _, problem := range problems {
			if !problem.IsFault() {
				fmt.Fprintf(out, "%s [%s]\n", problem, problem.Rule)
			}
		}
	}
	if len(problems) > 0 {
		fmt.Fprintln(out)
	}
	if len(broken) > 0 {
		fmt.Fprintln(out, "OpenAPI 3.0 allows what follows; gatehouse asks for more. --all prints each place.")
		fmt.Fprintln(out)
		for _, rule := range lint.Rules() {
			if places := broken[rule.Name]; places != nil {
				fmt.Fprintf(out, "  %s: %s, the first at %s:%d:%d\n    %s\n", rule.Name, counted(len(places), "place"),
					places[0].File, places[0].Line, places[0].Column, rule.Consequence)
			}
		}
		fmt.Fprintln(out)
	}
	places := counted(len(problems)-faults, "place")
	_, err := fmt.Fprintf(out, "%s, %s beyond OpenAPI.\n", counted(faults, "fault"), places)
	return err
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// maxFaultsShown is how many faults the error of a contract that cannot be used names.
const maxFaultsShown = 20

// faultsError is an error of a contract that cannot be used, with its faults.
type faultsError struct {
	faults []lint.Problem
	cause  error
}

// withFaults adds to the error of contracts that cannot be used what lint finds in their files, with lines.
func withFaults(cause error, files ...string) error {
	if cause == nil {
		return nil
	}
	var faults []lint.Problem
	for _, file := range files { // one by one: two versions of a contract have the same operationIds
		problems, err := lint.Check(file)
		if err != nil {
			return cause // the file is not there, or in a revision
		}
		isNone := func(p lint.Problem) bool { return !p.IsFault() || slices.Contains(faults, p) }
		faults = append(faults, slices.DeleteFunc(problems, isNone)...)
	}
	if len(faults) == 0 {
		return cause
	}
	return &faultsError{faults, cause}
}

// Error implements error.
func (e *faultsError) Error() string {
	lines := []string{"the contract has faults:"}
	for _, fault := range e.faults[:min(len(e.faults), maxFaultsShown)] {
		lines = append(lines, fault.String())
	}
	if more := len(e.faults) - maxFaultsShown; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more, which contract lint prints", more))
	}
	return strings.Join(lines, "\n  ")
}

// Unwrap returns the cause.
func (e *faultsError) Unwrap() error { return e.cause }
