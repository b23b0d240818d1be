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
	"iter"
	"net"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// channel is the channel that gateways subscribe to. It has no key prefix.
	channel = "tyk.cluster.notifications"
	// orgKeyPrefix and the ID of an organisation are the name of its key.
	orgKeyPrefix = "orgkey."
	// keyPrefix and the ID of a key, or its hash if gateways hash keys, are the name of its session.
	keyPrefix = "apikey-"
	// firstSessions is the number of sessions that are read in the first round trip, maxSessions in any, and sessionBytes
	// how many bytes of them in a later one, if they are as large as those before. A session may have half a megabyte.
	firstSessions = 16
	maxSessions   = 500
	sessionBytes  = 1 << 20
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
	TLS       *tls.Config // nil without TLS
	// NodeSecrets sign the notices: gateways ignore notices that are signed with another secret than their own. With
	// more than one, each notice is sent once for each.
	NodeSecrets []string
	// Dial opens connections, TLS included; nil is how the client does it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// redisClient is what is called of redis.UniversalClient. That leads the compiler to the methods of a generic type in
// go-redis, which it compiles 1,500 of in each package that imports this one.
type redisClient interface {
	Publish(ctx context.Context, channel string, message any) *redis.IntCmd
	Pipelined(ctx context.Context, fn func(redis.Pipeliner) error) ([]redis.Cmder, error)
	Del(ctx context.Context, keys ...string) *redis.IntCmd
	Close() error
}

// Redis is a client of the Redis that gateways share.
type Redis struct {
	client  redisClient
	secrets atomic.Pointer[redisSecrets]
	// countsListeners reports whether PUBLISH returns the number of all listeners. In a cluster it counts those of
	// one node.
	countsListeners bool
	connected       chan struct{}
}

// redisSecrets are what SetSecrets changes.
type redisSecrets struct {
	password string
	node     []string
}

// NewRedis returns a client, or nil if cfg names no Redis. It connects when it is used.
func NewRedis(cfg RedisConfig) *Redis {
	if len(cfg.Addresses) == 0 {
		return nil
	}
	logging.Disable() // the package logs to standard error; what it logs is returned as an error, too
	r := &Redis{countsListeners: !cfg.Cluster && len(cfg.Addresses) == 1, connected: make(chan struct{}, 1)}
	r.SetSecrets(cfg.Password, cfg.NodeSecrets)
	options := &redis.UniversalOptions{
		Addrs: cfg.Addresses, IsClusterMode: cfg.Cluster, DB: cfg.Database, Dialer: cfg.Dial,
		TLSConfig: cfg.TLS,
		// The callers retry.
		DialerRetries: 1, MaxRetries: -1,
		OnConnect: r.noteConnection,
		// Only a hosted Redis sends these notifications.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	credentials := func() (username, password string) { return cfg.Username, r.secrets.Load().password }
	if cfg.Cluster || len(cfg.Addresses) > 1 {
		cluster := options.Cluster()
		cluster.CredentialsProvider = credentials
		r.client = redis.NewClusterClient(cluster)
		return r
	}
	simple := options.Simple()
	simple.CredentialsProvider = credentials
	r.client = redis.NewClient(simple)
	return r
}

// SetSecrets replaces the password, for connections that are made from then on, and the node secrets. It does nothing
// on a nil client.
func (r *Redis) SetSecrets(password string, nodeSecrets []string) {
	if r != nil {
		r.secrets.Store(&redisSecrets{password: password, node: nodeSecrets})
	}
}

func (r *Redis) noteConnection(context.Context, *redis.Conn) error {
	select {
	case r.connected <- struct{}{}:
	default:
	}
	return nil
}

// Connected returns a channel that has an element after a connection was made: also in place of one that was lost, as
// when the Redis has restarted. The channel of a nil client never has one.
func (r *Redis) Connected() <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.connected
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

// publish sends a notice, signed with each node secret, and returns the number of its receivers.
func (r *Redis) publish(ctx context.Context, command, payload string) (listeners int64, err error) {
	if r == nil {
		return 0, ErrNotConfigured
	}
	for _, secret := range r.secrets.Load().node {
		sum := sha256.Sum256([]byte(command + payload + secret))
		message, err := json.Marshal(notice{command, payload, hex.EncodeToString(sum[:]), crypto.SHA256})
		if err != nil {
			return 0, fmt.Errorf("notice: %w", err)
		}
		if listeners, err = r.client.Publish(ctx, channel, message).Result(); err != nil {
			return 0, fmt.Errorf("redis: %w", err)
		}
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

// DeleteOrgKey deletes the key of an organisation, as a gateway that has APIs does. An unknown key is no error.
func (r *Redis) DeleteOrgKey(ctx context.Context, orgID string) error {
	if r == nil {
		return ErrNotConfigured
	}
	if err := r.client.Del(ctx, orgKeyPrefix+orgID).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// OrgSessions returns the sessions of organisation keys, as gateways stored them last, by the IDs of the organisations,
// as Sessions does.
func (r *Redis) OrgSessions(ctx context.Context, orgIDs []string) iter.Seq2[StoredSession, error] {
	return r.sessions(ctx, orgKeyPrefix, orgIDs)
}

// Sessions returns the sessions of keys, as gateways stored them last, by the IDs under which a gateway lists the keys.
// Each is valid for one iteration; a key that has gone meanwhile is left out. The sequence ends after an error.
func (r *Redis) Sessions(ctx context.Context, ids []string) iter.Seq2[StoredSession, error] {
	return r.sessions(ctx, keyPrefix, ids)
}

func (r *Redis) sessions(ctx context.Context, prefix string, ids []string) iter.Seq2[StoredSession, error] {
	return func(yield func(StoredSession, error) bool) {
		if r == nil {
			yield(StoredSession{}, ErrNotConfigured)
			return
		}
		for n := firstSessions; len(ids) > 0; {
			batch, read := ids[:min(n, len(ids))], 0
			ids = ids[len(batch):]
			results, err := r.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				for _, id := range batch {
					pipe.Get(ctx, prefix+id)
				}
				return nil
			})
			if err != nil && !errors.Is(err, redis.Nil) {
				yield(StoredSession{}, fmt.Errorf("redis: %w", err))
				return
			}
			for i, result := range results {
				get, ok := result.(*redis.StringCmd)
				if !ok || get.Err() != nil {
					continue
				}
				read += len(get.Val())
				if !yield(StoredSession{ID: batch[i], Session: json.RawMessage(get.Val())}, nil) {
					return
				}
			}
			n = max(1, min(sessionBytes*len(batch)/max(1, read), 2*len(batch), maxSessions))
		}
	}
}

// StoredSession is the session of a key in the Redis.
type StoredSession struct {
	ID      string
	Session json.RawMessage
}
