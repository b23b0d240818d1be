package cli

import (
	"crypto/tls"
	"fmt"

	"gatehouse/internal/config"
	"gatehouse/internal/gateway"
	"gatehouse/internal/tlsfiles"
)

// gatewayClients reach the gateways. Both are nil if nothing is configured, and a nil client says so when it is used.
type gatewayClients struct {
	control *gateway.Client
	redis   *gateway.Redis
	// certificates are what the clients authenticate with, if they do.
	certificates []*tlsfiles.Certificates
}

func newGatewayClients(cfg *config.Config, secrets secrets) (c gatewayClients, err error) {
	ofGateway, ofRedis, err := c.readTLS(cfg)
	if err != nil {
		return c, err
	}
	c.control, err = gateway.New(gateway.Config{
		Host: cfg.Gateway.Host, Port: cfg.Gateway.Port, Secret: string(cfg.Gateway.Secret), TLS: ofGateway,
	})
	if err != nil {
		return c, err
	}
	c.redis = gateway.NewRedis(gateway.RedisConfig{
		Addresses: cfg.Redis.Addresses(), Cluster: cfg.Redis.Cluster,
		Username: cfg.Redis.Username, Password: string(cfg.Redis.Password), Database: cfg.Redis.Database,
		TLS: ofRedis, NodeSecrets: secrets.signingNotices(),
	})
	return c, nil
}

// readTLS reads the certificates of the clients, and returns how these connect; nil for a Redis without TLS.
func (c *gatewayClients) readTLS(cfg *config.Config) (ofGateway, ofRedis *tls.Config, err error) {
	ofGateway, err = c.read("gateway", tlsfiles.Client{
		CAFile: cfg.Gateway.CAFile, CertFile: cfg.Gateway.CertFile, KeyFile: cfg.Gateway.KeyFile,
		Insecure: cfg.Gateway.InsecureTLS,
	})
	if err != nil || !cfg.Redis.TLS {
		return ofGateway, nil, err
	}
	ofRedis, err = c.read("redis", tlsfiles.Client{
		CAFile: cfg.Redis.CAFile, CertFile: cfg.Redis.CertFile, KeyFile: cfg.Redis.KeyFile,
		MinVersion: uint16(cfg.Redis.MinTLS), Insecure: cfg.Redis.InsecureTLS,
	})
	return ofGateway, ofRedis, err
}

// read reads the certificates of one client, whose flags begin with a name.
func (c *gatewayClients) read(name string, client tlsfiles.Client) (*tls.Config, error) {
	cfg, certificates, err := client.Config()
	if err != nil {
		return nil, fmt.Errorf("--%s-ca-file, --%s-cert-file, --%s-key-file: %w", name, name, name, err)
	}
	if certificates != nil {
		c.certificates = append(c.certificates, certificates)
	}
	return cfg, nil
}
