package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
	"gatehouse/postgres"
	"gatehouse/store"
)

// newConfig returns the command config.
func newConfig(std Streams) *cobra.Command {
	var cfg config.Config
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the settings of the server, and where each value comes from.",
		Long: `The values are those that "gatehouse serve" with the same flags, environment and working directory
has. Secrets are not printed.`,
		Example: "  gatehouse config\n  gatehouse config -o json",
		Args:    cobra.ArbitraryArgs,
	}
	cmd.AddCommand(newConfigCheck(std))
	format := output.AddFlag(cmd)
	settings := addSettings(cmd, &cfg)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return requireCommand(cmd, args)
		}
		_ = cfg.Resolve() // sets the data directory; what is invalid is for config check
		return output.Write(std.Out, *format, describedSettings(settings.Settings), settingColumns)
	}
	return cmd
}

// describedSetting is a setting as config prints it.
type describedSetting struct {
	Setting string `json:"setting"`
	Value   string `json:"value"`
	// Source is flag, environment, file or default.
	Source string `json:"source"`
	// Place is the variable, or the member of the file.
	Place     string   `json:"place"`
	Variables []string `json:"variables"`
}

var settingColumns = []output.Column[describedSetting]{
	{Heading: "SETTING", Text: func(s describedSetting) string { return s.Setting }},
	{Heading: "VALUE", Text: func(s describedSetting) string { return s.Value }},
	{Heading: "SOURCE", Text: func(s describedSetting) string { return strings.TrimSpace(s.Source + " " + s.Place) }},
}

func describedSettings(settings config.Settings) []describedSetting {
	described := make([]describedSetting, 0, len(settings))
	for _, each := range settings {
		described = append(described, describedSetting{
			Setting: each.Flag.Name, Value: each.Value(), Source: each.Source(), Place: each.Place(), Variables: each.Variables,
		})
	}
	return described
}

// newConfigCheck returns the command config check.
func newConfigCheck(std Streams) *cobra.Command {
	var cfg config.Config
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check whether the server would start with its settings.",
		Long: `It reads all files that settings name, and changes nothing. It connects to nothing, and does not
notice that a port is in use, or that a database does not answer.

The exit status is 0 if the server would start, 1 if it would not (the reasons are printed),
and 2 for an error in the command line.`,
		Example: "  gatehouse config check\n  gatehouse config check --conf /opt/tyk-dashboard/tyk_analytics.conf",
	}
	settings := addSettings(cmd, &cfg)
	cmd.PreRunE = nil // what is invalid is what the command is about, and no error in its use
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkSettings(cmd.Context(), settings); err != nil {
			return err
		}
		for _, name := range append(settings.unused.Variables, settings.unused.Members...) {
			fmt.Fprintf(std.Out, "%s has no effect: gatehouse does not have this setting\n", name)
		}
		fmt.Fprintln(std.Out, "the server would start with these settings")
		return nil
	}
	return cmd
}

// checkSettings returns all reasons for which a server with these settings would not start.
func checkSettings(ctx context.Context, settings *settings) (err error) {
	if err := settings.loadInvalid(); err != nil {
		return err
	}
	cfg := settings.cfg
	if err := cfg.Resolve(); err != nil {
		return err
	}
	_, _, tlsErr := serverTLS(cfg.TLS, slog.New(slog.DiscardHandler))
	clients, gatewayErr := newGatewayClients(cfg, secrets{})
	defer func() { err = errors.Join(err, clients.redis.Close()) }()
	return errors.Join(
		checkFiles(settings), tlsErr, gatewayErr, checkStoredSecrets(cfg.Server), checkDatabase(ctx, cfg.Database),
	)
}

// checkFiles checks the files that settings name, other than certificates and secrets.
func checkFiles(settings *settings) error {
	cfg := settings.cfg
	_, err := securityOf(cfg.Security)
	return errors.Join(
		err, checkWritable(settings.Settings, "audit-path", cfg.Audit.Path),
		checkWritable(settings.Settings, "log-file", cfg.Log.Path),
	)
}

// checkStoredSecrets checks the secrets in the data directory. One that is missing will be generated.
func checkStoredSecrets(cfg config.Server) error {
	var problems []error
	for name, configured := range map[string]config.Secret{
		adminSecretFile: cfg.AdminSecret, nodeSecretFile: cfg.NodeSecret,
	} {
		if _, err := config.ReloadSecret(configured, cfg.DataDir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// checkDatabase checks the connection strings, or that there are programs for a private Postgres.
func checkDatabase(ctx context.Context, cfg config.Database) error {
	if cfg.URL == "" {
		_, err := postgres.FindPrograms(ctx, cfg.PostgresBin)
		return err
	}
	err := store.CheckConnString(string(cfg.URL))
	if cfg.DirectURL != "" {
		if direct := store.CheckConnString(string(cfg.DirectURL)); direct != nil {
			err = errors.Join(err, fmt.Errorf("direct %w", direct))
		}
	}
	return err
}

// checkWritable checks that the file of a setting can be opened for writing, without making it. "" is none.
func checkWritable(settings config.Settings, flag, path string) error {
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		return file.Close()
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, err = os.Stat(filepath.Dir(path)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", settings.Name(flag), err)
}
