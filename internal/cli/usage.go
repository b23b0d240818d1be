package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gatehouse/internal/config"
)

// usageError is an error in the command line or in the environment variables that stand for flags.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

// usage returns err as a usageError, or nil for nil.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

// settings are the settings of a command.
type settings struct {
	config.Settings

	cfg *config.Config
	// file is the settings file; nil if there is none.
	file *config.SettingsFile
	// unused is what is meant as a setting, but sets none.
	unused config.Unused
}

// logSources logs which settings file is used, and what of it and of the environment sets nothing.
func (s *settings) logSources(log *slog.Logger) {
	if s.file != nil {
		log.Info("settings file read", "path", s.file.Path())
	}
	if len(s.unused.Variables) > 0 || len(s.unused.Members) > 0 {
		log.Warn("settings without effect: gatehouse does not have them",
			"variables", s.unused.Variables, "members", s.unused.Members)
	}
}

// addSettings adds the flags of cfg to the command, and reads the environment, the settings file, and the files of
// secrets, before the command runs.
func addSettings(cmd *cobra.Command, cfg *config.Config) *settings {
	all := &settings{Settings: config.Bind(cmd.Flags(), cfg), cfg: cfg}
	cmd.PreRunE = func(*cobra.Command, []string) error { return all.load() }
	return all
}

// load reads what is not set by flags.
func (s *settings) load() (err error) {
	if err := s.loadValues(); err != nil {
		return err
	}
	if err := s.ReadFiles(); err != nil {
		return err
	}
	s.unused, err = s.Unused(os.Environ(), s.file)
	return err
}

// loadInvalid is load for commands about settings, in whose use an invalid one is no error.
func (s *settings) loadInvalid() error {
	err := s.load()
	if invalid, ok := errors.AsType[*usageError](err); ok {
		return invalid.err
	}
	return err
}

// loadValues is load without the files of secrets.
func (s *settings) loadValues() (err error) {
	if err := s.Load("environment", os.LookupEnv); err != nil {
		return usage(err)
	}
	if s.file, err = config.FindFile(s.cfg.File.Path); err != nil {
		return err
	}
	if s.file != nil {
		s.cfg.File.Path = s.file.Path()
	}
	return s.LoadFile(s.file)
}

// noArguments is the cobra.PositionalArgs of commands that have flags only.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}

// requireCommand is run for a command that consists of others and was called without one, or with an unknown one.
func requireCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(fmt.Errorf("unknown command %q%s", args[0], hint(cmd, cmd.SuggestionsFor(args[0]))))
	}
	var names []string
	for _, sub := range availableCommands(cmd) {
		names = append(names, sub.Name())
	}
	return usage(fmt.Errorf("expected a command: %s%s", strings.Join(names, ", "), hint(cmd, nil)))
}

// flagError is the function that cobra calls with the errors of pflag.
func flagError(cmd *cobra.Command, err error) error {
	var similar []string
	if unknown := (*pflag.NotExistError)(nil); errors.As(err, &unknown) {
		similar = similarFlags(cmd, unknown.GetSpecifiedName())
	}
	return usage(fmt.Errorf("%w%s", err, hint(cmd, similar)))
}

// similarFlags returns the flags that name may be a misspelling of. cobra looks for similar commands only, so that a
// command stands for each flag.
func similarFlags(cmd *cobra.Command, name string) (similar []string) {
	flags := &cobra.Command{SuggestionsMinimumDistance: maxTypos}
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		flags.AddCommand(&cobra.Command{Use: flag.Name, Run: func(*cobra.Command, []string) {}})
	})
	for _, each := range flags.SuggestionsFor(name) {
		similar = append(similar, "--"+each)
	}
	return similar
}

// maxTypos is the number of wrong letters up to which a name counts as misspelt.
const maxTypos = 2

// hint is the end of the message of an error: the similar names or, without any, where to look.
func hint(cmd *cobra.Command, similar []string) string {
	if len(similar) == 0 {
		return fmt.Sprintf("; see %s --help", cmd.CommandPath())
	}
	return fmt.Sprintf(`, did you mean "%s"?`, strings.Join(similar, `" or "`))
}
