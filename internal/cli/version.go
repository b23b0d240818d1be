package cli

import (
	"cmp"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"gatehouse/internal/cli/output"
)

// unknownVersion is the version of a program that was built without that of its module.
const unknownVersion = "(devel)"

// buildVersion is what the program was built from. The Go toolchain records it, for packages as for `make build` and
// `go install`.
type buildVersion struct {
	// Version is the tag, or the pseudo-version of a commit without one.
	Version string `json:"version"`
	// Commit and Date, that of the commit, are empty if the program was built outside of a Git repository.
	Commit string `json:"commit"`
	Date   string `json:"date"`
	// Modified reports whether files differed from those of the commit.
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// newVersion returns the command version.
func newVersion(std Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and its date.",
		Long: `It prints the tag that the program was built from, or a version made of the commit's time and hash
if it has no tag, the commit, and the date of the commit. A program that was built outside of a Git
repository has no commit. gatehouse --version prints the tag or the version alone.`,
		Example: "  gatehouse version\n  gatehouse version -o json",
	}
	format := output.AddFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		info, _ := debug.ReadBuildInfo()
		version := versionOf(info)
		if format.String() != "table" {
			return output.WriteValue(std.Out, *format, version)
		}
		_, err := fmt.Fprint(std.Out, version)
		return err
	}
	return cmd
}

// versionOf returns the version of a program with this information, or without any.
func versionOf(info *debug.BuildInfo) buildVersion {
	version := buildVersion{Version: unknownVersion}
	if info == nil {
		return version
	}
	version.Version, version.Go = cmp.Or(info.Main.Version, unknownVersion), info.GoVersion
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	version.Commit, version.Date = settings["vcs.revision"], settings["vcs.time"]
	version.Modified = settings["vcs.modified"] == "true"
	version.Platform = settings["GOOS"] + "/" + settings["GOARCH"]
	return version
}

// String returns the lines that the command prints.
func (v buildVersion) String() string {
	commit := "unknown, the program was built outside of a Git repository"
	if v.Commit != "" {
		commit = v.Commit
	}
	if v.Modified {
		commit += ", with changes"
	}
	return fmt.Sprintf("gatehouse %s\ncommit    %s\ndate      %s\ngo        %s %s\n",
		v.Version, commit, cmp.Or(v.Date, "unknown"), v.Go, v.Platform)
}

// Version returns the version of the module, or "(devel)" if the program was built without one.
func Version() string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(info).Version
}
