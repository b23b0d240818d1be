package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// newVersion returns the command version.
func newVersion(std Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version.",
		Example: "  gatehouse version",
		Run:     func(*cobra.Command, []string) { fmt.Fprintln(std.Out, Version()) },
	}
}

// Version returns the version of the module, or "(devel)" if the program was built without one.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
