package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/apidef"
	"gatehouse/internal/config"
	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaysync"
	"gatehouse/server"
)

// newKeys returns the command keys.
func newKeys(std Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Send the organisation keys to the gateway."}
	cmd.AddCommand(newKeysSync(std))
	return cmd
}

// newKeysSync returns the command keys sync.
func newKeysSync(std Streams) *cobra.Command {
	var cfg config.Config
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Send all organisation keys to the gateway, for example after its Redis lost data.",
		Long: `An organisation key limits the quota and the rate of an organisation. The server restores missing
keys by itself, at the latest after 5 minutes; the command does so at once. It reads the settings of
the server, and works beside a running server.`,
		Example: `  gatehouse keys sync --gateway-host 127.0.0.1 --gateway-port 8080 --gateway-secret-file secret`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return keysSync(cmd.Context(), &cfg, std) },
	}
	addSettings(cmd, &cfg)
	return cmd
}

// keysSync sends all organisation keys to the gateway.
func keysSync(ctx context.Context, cfg *config.Config, std Streams) (err error) {
	if err := cfg.Resolve(); err != nil {
		return err
	}
	if cfg.Gateway.Host == "" {
		return fmt.Errorf("%w: set --gateway-host (TYK_DB_TYKAPI_HOST)", gateway.ErrNotConfigured)
	}
	log := commandLog(cfg.Log, std)
	secrets, err := loadSecrets(cfg.Server)
	if err != nil {
		return err
	}
	db, err := openRunning(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close(ctx)) }()
	clients, err := newGatewayClients(cfg, secrets)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clients.redis.Close()) }()
	contract, err := server.LoadContract()
	if err != nil {
		return err
	}
	session, err := apidef.GatewaySession(contract)
	if err != nil {
		return err
	}
	sent, err := gatewaysync.New(gatewaysync.Config{
		Store: db.store, Gateway: clients.control, Redis: clients.redis, Session: session, Log: log, Now: time.Now,
	}).SyncOrgKeys(ctx)
	fmt.Fprintf(std.Out, "%d organisation keys sent to the gateway\n", sent)
	return err
}
