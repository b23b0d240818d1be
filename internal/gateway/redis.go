package gateway

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// channel is the channel that gateways subscribe to. It has no key prefix.
	channel = "tyk.cluster.notifications"
	// orgKeyPrefix and the ID of an organisation are the name of its key.
	orgKeyPrefix = "orgkey."
	// existsBatch is the number of keys that are looked up in one round trip.
	existsBatch = 1000
)

// The commands of notices (docs/behaviour.md#notices).
const (
	commandReload   = "GroupReload"
	commandKeySpace = "KeySpaceUpdateNotification"
)

// RedisConfig is the address of the gateways' Redis.
type RedisConfig struct {
	// Addresses are host:port; more than one, or Cluster, is a Redis cluster. None: no Redis.
	Addresses []string
	Cluster   bool
	Username  string
	Password  string
	Database  int
	TLS       bool
	// InsecureTLS accepts any certificate.
	InsecureTLS bool
	// NodeSecret signs the notices: gateways ignore notices with another signature.
	NodeSecret string
}

// Redis is a client of the Redis that gateways share.
type Redis struct {
	client redis.UniversalClient
	secret string
	// countsListeners reports whether PUBLISH returns the number of all listeners. In a cluster it counts those of
	// one node.
	countsListeners bool
}

// NewRedis returns a client, or nil if cfg names no Redis. It connects when it is used.
func NewRedis(cfg RedisConfig) *Redis {
	if len(cfg.Addresses) == 0 {
		return nil
	}
	logging.Disable() // the package logs to standard error; what it logs is returned as an error, too
	options := &redis.UniversalOptions{
		Addrs: cfg.Addresses, IsClusterMode: cfg.Cluster,
		Username: cfg.Username, Password: cfg.Password, DB: cfg.Database,
		// The callers retry.
		DialerRetries: 1, MaxRetries: -1,
		// Only a hosted Redis sends these notifications.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if cfg.TLS {
		options.TLSConfig = &tls.Config{
			MinVersion: tls.VersionTLS12, InsecureSkipVerify: cfg.InsecureTLS, //nolint:gosec // as configured
		}
	}
	return &Redis{
		client: redis.NewUniversalClient(options), secret: cfg.NodeSecret,
		countsListeners: !cfg.Cluster && len(cfg.Addresses) == 1,
	}
}

// Close closes the connections. It does nothing on a nil client.
func (r *Redis) Close() error {
	if r == nil {
		return nil
	}
	return r.client.Close()
}

// notice is a message to gateways. They decode Algorithm as Go's crypto.Hash: a number.
type notice struct {
	Command   string      `json:"command"`
	Payload   string      `json:"payload"`
	Signature string      `json:"signature"`
	Algorithm crypto.Hash `json:"algorithm"`
}

// publish sends a notice and returns the number of its receivers.
func (r *Redis) publish(ctx context.Context, command, payload string) (listeners int64, err error) {
	if r == nil {
		return 0, ErrNotConfigured
	}
	sum := sha256.Sum256([]byte(command + payload + r.secret))
	message, err := json.Marshal(notice{command, payload, hex.EncodeToString(sum[:]), crypto.SHA256})
	if err != nil {
		return 0, fmt.Errorf("notice: %w", err)
	}
	if listeners, err = r.client.Publish(ctx, channel, message).Result(); err != nil {
		return 0, fmt.Errorf("redis: %w", err)
	}
	return listeners, nil
}

// ErrNoListeners is returned when no gateway received a notice: there is none, or it has not yet reconnected to the
// Redis.
var ErrNoListeners = errors.New("no gateway listens on the redis")

// Reload makes every gateway that listens on the Redis reload its policies and APIs. It returns ErrNoListeners if
// there is none; on a cluster, that is not known.
func (r *Redis) Reload(ctx context.Context) error {
	listeners, err := r.publish(ctx, commandReload, "")
	if err == nil && listeners == 0 && r.countsListeners {
		err = ErrNoListeners
	}
	return err
}

// DropSessions makes every gateway on the Redis drop its cached copies of organisation keys. Without it, a gateway
// writes its copy back over a key that was changed (docs/behaviour.md#gateway-keys-and-cache).
func (r *Redis) DropSessions(ctx context.Context, orgIDs []string) error {
	_, err := r.publish(ctx, commandKeySpace, strings.Join(orgIDs, ","))
	return err
}

// MissingOrgKeys returns those of the organisations that have no key in the Redis.
func (r *Redis) MissingOrgKeys(ctx context.Context, orgIDs []string) ([]string, error) {
	if r == nil {
		return nil, ErrNotConfigured
	}
	var missing []string
	for batch := range slices.Chunk(orgIDs, existsBatch) {
		results, err := r.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, id := range batch {
				pipe.Exists(ctx, orgKeyPrefix+id)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
		for i, result := range results {
			if exists, ok := result.(*redis.IntCmd); ok && exists.Val() == 0 {
				missing = append(missing, batch[i])
			}
		}
	}
	return missing, nil
}
