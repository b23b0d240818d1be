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
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// channel is where gateways hear of changes; no key prefix counts for it (facts gateway §5).
	channel = "tyk.cluster.notifications"
	// orgKeyPrefix is before an organisation's id in the gateways' Redis (facts gateway §6).
	orgKeyPrefix = "orgkey."
)

// The commands that gatehouse sends to gateways.
const (
	commandReload   = "GroupReload"
	commandKeySpace = "KeySpaceUpdateNotification"
)

// RedisConfig says where the gateways' Redis is. No address is no Redis.
type RedisConfig struct {
	// Addresses are host:port; more than one, or Cluster, is a Redis cluster.
	Addresses []string
	Cluster   bool
	Username  string
	Password  string
	Database  int
	TLS       bool
	// InsecureTLS takes any certificate.
	InsecureTLS bool
	// NodeSecret signs the notices: gateways ignore what another secret has signed.
	NodeSecret string
}

// Redis is the Redis that gateways share, where they hear notices. A nil Redis is none.
type Redis struct {
	client redis.UniversalClient
	secret string
	// counts: publishing tells how many listen. A cluster tells it of one of its nodes only.
	counts bool
}

// NewRedis makes a client; nil if cfg names no Redis. It connects when it is used.
func NewRedis(cfg RedisConfig) *Redis {
	if len(cfg.Addresses) == 0 {
		return nil
	}
	logging.Disable() // to standard error, past our log; what it has to say comes back as an error
	options := &redis.UniversalOptions{
		Addrs: cfg.Addresses, IsClusterMode: cfg.Cluster, Username: cfg.Username, Password: cfg.Password, DB: cfg.Database,
		// Notices are retried by whoever sends them.
		DialerRetries: 1, MaxRetries: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}, // of a hosted Redis only
	}
	if cfg.TLS {
		options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: cfg.InsecureTLS} //nolint:gosec // as configured
	}
	return &Redis{client: redis.NewUniversalClient(options), secret: cfg.NodeSecret, counts: !cfg.Cluster && len(cfg.Addresses) == 1}
}

// Close disconnects.
func (r *Redis) Close() error {
	if r == nil {
		return nil
	}
	return r.client.Close()
}

// notice is a message to gateways. Algorithm is Go's crypto.Hash, a number (facts gateway §0.7).
type notice struct {
	Command   string      `json:"command"`
	Payload   string      `json:"payload"`
	Signature string      `json:"signature"`
	Algorithm crypto.Hash `json:"algorithm"`
}

func (r *Redis) publish(ctx context.Context, command, payload string) (listeners int64, err error) {
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

// ErrNoListeners is returned when no gateway received a notice: there is none, or it has not yet reconnected to the Redis.
var ErrNoListeners = errors.New("no gateway listens on the redis")

// Reload has every gateway that listens on the Redis load its policies and APIs again. It
// returns ErrNoListeners when no gateway received the notice.
func (r *Redis) Reload(ctx context.Context) error {
	listeners, err := r.publish(ctx, commandReload, "")
	if err == nil && listeners == 0 && r.counts {
		err = ErrNoListeners
	}
	return err
}

// DropSessions has every gateway on the Redis forget what it has cached of these organisations' keys. Without it, a
// gateway writes its cached copy back over a key that was changed (facts gateway §6). Without a Redis it does nothing.
func (r *Redis) DropSessions(ctx context.Context, orgIDs []string) error {
	if r == nil {
		return nil
	}
	_, err := r.publish(ctx, commandKeySpace, strings.Join(orgIDs, ","))
	return err
}

// HasOrgKey tells whether an organisation's key is in the Redis.
func (r *Redis) HasOrgKey(ctx context.Context, orgID string) (bool, error) {
	n, err := r.client.Exists(ctx, orgKeyPrefix+orgID).Result()
	if err != nil {
		return false, fmt.Errorf("redis: %w", err)
	}
	return n == 1, nil
}
