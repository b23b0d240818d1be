package contractcmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/skeleton"
	"gatehouse/openapi/generate"
)

// newOptions are the flags of contract new.
type newOptions struct {
	Module    string `flag:"module" help:"Path of the module, such as example.com/bookings. Default: the name of the folder."`
	Gatehouse string `flag:"gatehouse" help:"Folder of gatehouse's repository, which the module uses. Default: that from which this program was built."`
}

// newNew returns the command contract new.
func newNew(cfg Config) *cobra.Command {
	var options newOptions
	cmd := &cobra.Command{
		Use:   "new FOLDER",
		Short: "Make a module with an API of your own: contract, scenarios, store, server, tests.",
		Long: `FOLDER has to be empty, or not to exist. The new module serves an API of one resource, items, with
its data in Postgres. Its tests make each outcome of the contract happen, and pass at once:

  cd FOLDER && make test

The go.mod has a replace with the folder of gatehouse's repository. It is relative if --gatehouse
is. After an error, nothing is written.`,
		Example: `  gatehouse contract new bookings
  gatehouse contract new bookings --module example.com/bookings --gatehouse ../gatehouse`,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("expected the folder of the new module")
			}
			return nil
		},
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			folder := args[0]
			module, err := options.skeleton(folder)
			if err != nil {
				return err
			}
			err = skeleton.Write(folder, module, func() error {
				result, err := generate.Run(cmd.Context(), filepath.Join(folder, "openapi"))
				if err == nil && len(result.Faults) > 0 {
					err = errors.New(result.Faults[0].String())
				}
				return err
			})
			if errors.Is(err, skeleton.ErrNoRepository) {
				return fmt.Errorf("--gatehouse: %w", err)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cfg.Out, "The module %s is in %s. Run its tests:\n\n  cd %s && make test\n", module.Module,
				folder, folder)
			return err
		}),
	}
	config.Bind(cmd.Flags(), &options)
	return cmd
}

// skeleton returns what the module in a folder is made with.
func (o newOptions) skeleton(folder string) (module skeleton.Options, err error) {
	target, err := filepath.Abs(folder)
	if err != nil {
		return module, err
	}
	module = skeleton.Options{Module: o.Module, Gatehouse: o.Gatehouse, Replacement: o.Gatehouse}
	if module.Module == "" {
		module.Module = filepath.Base(target)
	}
	if err := skeleton.CheckModule(module.Module); err != nil {
		return module, fmt.Errorf("--module: %w", err)
	}
	switch {
	case o.Gatehouse == "":
		module.Gatehouse, err = builtFrom()
		module.Replacement = module.Gatehouse
	case !filepath.IsAbs(o.Gatehouse):
		module.Replacement, err = relative(target, o.Gatehouse)
	}
	return module, err
}

// builtFrom returns the repository that the program was built from.
func builtFrom() (string, error) {
	const depth = 3 // this file is in internal/cli/contractcmd
	_, file, _, known := runtime.Caller(0)
	root := filepath.Dir(file)
	for range depth {
		root = filepath.Dir(root)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil || !known || !filepath.IsAbs(root) {
		return "", errors.New("--gatehouse is required: the folder of gatehouse's repository. " +
			"The folder that this program was built from is not on this machine")
	}
	return root, nil
}

// relative returns the path from one folder to another as a replace in go.mod has it. The first need not exist.
func relative(from, to string) (string, error) {
	to, err := filepath.Abs(to)
	if err != nil {
		return "", err
	}
	path, err := filepath.Rel(from, to)
	if err != nil {
		return "", err
	}
	path = filepath.ToSlash(path)
	if path[0] != '.' {
		path = "./" + path
	}
	return path, nil
}
