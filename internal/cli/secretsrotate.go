package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"gatehouse/client"
	"gatehouse/internal/config"
	"gatehouse/internal/remote"
)

// newSecrets returns the command secrets.
func newSecrets(std Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "secrets", Short: "Replace the secrets in the data directory."}
	cmd.AddCommand(newSecretsRotate(std))
	return cmd
}

// rotation is what secrets rotate does.
type rotation struct {
	admin, node, print bool
	settings           *settings
	out                io.Writer
}

func newSecretsRotate(std Streams) *cobra.Command {
	var cfg config.Config
	r := rotation{out: std.Out}
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the admin secret and the node secret that are in the data directory.",
		Long: `Without --admin and --node, both are replaced. A secret that is lost is made again. The server uses
the new secrets after SIGHUP or a restart, and refuses the old ones from then on. The command
replaces no secret that a flag, the environment or the settings file sets: it says where to do so.

The new secrets are in the data directory; --print prints them. To have the old one valid while
clients change to the new one, set the old one as the second secret first.`,
		Example: "  gatehouse secrets rotate --admin\n  gatehouse secrets rotate --node --print",
	}
	flags := cmd.Flags()
	flags.BoolVar(&r.admin, "admin", false, "Replace the admin secret only.")
	flags.BoolVar(&r.node, "node", false, "Replace the node secret only.")
	flags.BoolVar(&r.print, "print", false, "Print the new secrets.")
	r.settings = addSettings(cmd, &cfg)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if r.admin == r.node {
			r.admin, r.node = true, true
		}
		if err := cfg.Resolve(); err != nil {
			return err
		}
		return r.run(cmd.Context(), &cfg)
	}
	return cmd
}

// run replaces all secrets that are asked for, or none if one is set elsewhere.
func (r *rotation) run(ctx context.Context, cfg *config.Config) error {
	var elsewhere []error
	if r.admin {
		elsewhere = append(elsewhere, r.checkStored("admin secret", "admin-secret", cfg.Server.AdminSecret))
	}
	if r.node {
		elsewhere = append(elsewhere, r.checkStored("node secret", "node-secret", cfg.Server.NodeSecret))
	}
	if err := errors.Join(elsewhere...); err != nil {
		return err
	}
	var gateways []client.Node
	var unknown error
	if r.node { // with the admin secret that is valid until the server reads the new one
		gateways, unknown = r.gateways(ctx)
	}
	var failed error
	if r.admin {
		if err := r.replace(cfg.Server.DataDir, "admin secret", adminSecretFile); err != nil {
			return err
		}
	}
	if r.node {
		failed = r.replace(cfg.Server.DataDir, "node secret", nodeSecretFile)
		if failed != nil && !r.admin {
			return failed
		}
	}
	fmt.Fprintf(r.out, "send SIGHUP to each server whose data directory is %s, or restart it: until then, "+
		"the old secrets are valid, and the new ones are not\n", cfg.Server.DataDir)
	if r.node && failed == nil {
		r.describeGateways(gateways, unknown)
	}
	return failed
}

// checkStored returns an error if a secret is set by something else than its file in the data directory.
func (r *rotation) checkStored(what, flag string, value config.Secret) error {
	if value == "" {
		return nil
	}
	for _, each := range r.settings.Settings {
		if each.Flag.Name != flag {
			continue
		}
		place := each.Place()
		if place == "" {
			place = "--" + flag + " or --" + flag + "-file"
		}
		return fmt.Errorf("the %s is not the one in the data directory: it is set by %s (%s), change it there",
			what, place, each.Source())
	}
	return nil
}

// replace replaces one secret.
func (r *rotation) replace(dir, what, file string) error {
	secret, err := config.RotateSecret(dir, file)
	if err != nil {
		return fmt.Errorf("replace the %s: %w", what, err)
	}
	fmt.Fprintf(r.out, "replaced the %s in %s\n", what, secret.Path)
	if r.print {
		fmt.Fprintf(r.out, "%s: %s\n", what, string(secret.Value))
	}
	return nil
}

// gateways returns the gateways that are registered at the server, if it runs.
func (r *rotation) gateways(ctx context.Context) ([]client.Node, error) {
	c, err := (&adminFlags{settings: r.settings, timeout: connectTimeout}).client()
	if err != nil {
		return nil, err
	}
	nodes, err := c.ListNodesWithResponse(ctx)
	if err != nil {
		return nil, err
	}
	return nodes.JSON200.Nodes, nil
}

func (r *rotation) describeGateways(gateways []client.Node, unknown error) {
	const need = "need the new node secret as node_secret (TYK_GW_NODESECRET)"
	switch {
	case unknown != nil:
		fmt.Fprintf(r.out, "all gateways %s; which are registered is not known: %v\n", need, unknown)
	case len(gateways) == 0:
		fmt.Fprintf(r.out, "no gateway is registered; those that start from now on %s\n", need)
	default:
		fmt.Fprintf(r.out, "these gateways %s:\n", need)
		for _, each := range gateways {
			fmt.Fprintf(r.out, "  %s on %s\n", remote.Printable(each.Id), remote.Printable(each.Hostname))
		}
	}
}
