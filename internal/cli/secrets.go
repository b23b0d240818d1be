package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"gatehouse/internal/config"
	"gatehouse/server"
)

// The files in the data directory that store generated secrets.
const (
	adminSecretFile = "admin-secret"
	nodeSecretFile  = "node-secret"
)

// secrets are what clients and gateways authenticate with. The second ones are "" unless the secrets are being changed.
type secrets struct {
	admin, node             config.StoredSecret
	secondAdmin, secondNode config.Secret
}

// loadSecrets reads or generates the secrets, and makes the data directory that stores them. If both are configured, it
// touches no directory: none may be writable.
func loadSecrets(cfg config.Server) (secrets, error) {
	if cfg.AdminSecret != "" && cfg.NodeSecret != "" {
		return readSecrets(cfg, config.LoadSecret)
	}
	// Other accounts may pass through the directory, because the private Postgres has one of its own, but not list it.
	if err := os.MkdirAll(cfg.DataDir, 0o711); err != nil {
		return secrets{}, fmt.Errorf("make data directory: %w", err)
	}
	return readSecrets(cfg, config.LoadSecret)
}

// reloadSecrets reads the secrets again. None is generated.
func reloadSecrets(cfg config.Server) (secrets, error) { return readSecrets(cfg, config.ReloadSecret) }

func readSecrets(
	cfg config.Server, read func(configured config.Secret, dir, name string) (config.StoredSecret, error),
) (secrets, error) {
	admin, adminErr := read(cfg.AdminSecret, cfg.DataDir, adminSecretFile)
	node, nodeErr := read(cfg.NodeSecret, cfg.DataDir, nodeSecretFile)
	return secrets{
		admin: admin, node: node, secondAdmin: cfg.SecondAdminSecret, secondNode: cfg.SecondNodeSecret,
	}, errors.Join(adminErr, nodeErr)
}

// ofServer returns the secrets as a server gets them.
func (s secrets) ofServer() server.Secrets {
	return server.Secrets{
		Admin: string(s.admin.Value), SecondAdmin: string(s.secondAdmin),
		Node: string(s.node.Value), SecondNode: string(s.secondNode),
	}
}

// signingNotices returns the secrets that notices to gateways are signed with.
func (s secrets) signingNotices() []string {
	signing := []string{string(s.node.Value)}
	if s.secondNode != "" {
		signing = append(signing, string(s.secondNode))
	}
	return signing
}

// namedSecret is a secret that clients or gateways authenticate with, and the name of its setting.
type namedSecret struct {
	flag  string
	value config.Secret
	// stored is the file in the data directory that has it; "" if it is configured.
	stored string
	// ofGateways reports whether gateways have it.
	ofGateways bool
}

// named returns all secrets that would grant access to who guesses them.
func (s secrets) named(cfg *config.Config) []namedSecret {
	return []namedSecret{
		{"admin-secret", s.admin.Value, s.admin.Path, false},
		{"second-admin-secret", s.secondAdmin, "", false},
		{"node-secret", s.node.Value, s.node.Path, true},
		{"second-node-secret", s.secondNode, "", true},
		{"gateway-secret", cfg.Gateway.Secret, "", true},
	}
}

// sharedWithGateways returns the name of a secret of administrators that is one of gateways, too; "" if none is.
func sharedWithGateways(all []namedSecret) string {
	for _, admin := range all {
		if !admin.ofGateways && admin.value != "" && slices.ContainsFunc(all, func(other namedSecret) bool {
			return other.ofGateways && other.value == admin.value
		}) {
			return admin.flag
		}
	}
	return ""
}

// warnOfWeakSecrets logs which secrets could be guessed, or are those of others, without their values.
func warnOfWeakSecrets(cfg *config.Config, secrets secrets, log *slog.Logger) {
	all := secrets.named(cfg)
	for _, each := range all {
		if each.value.Short() {
			log.Warn("secret is short enough to be guessed", "setting", "--"+each.flag, "minimum_characters", config.MinSecret)
		}
	}
	if sharedWithGateways(all) != "" {
		log.Warn("every gateway knows an admin secret: it is one of its own, too")
	}
}
