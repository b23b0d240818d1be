package gatewaystandin

import (
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// Defaults of the durations in Config: those of a real gateway.
const (
	defaultPingInterval   = 2 * time.Second
	defaultReloadInterval = time.Second
	defaultRetryInterval  = 5 * time.Second
	defaultRecoveryWindow = 10 * time.Second
	defaultRedisPause     = 10 * time.Second
)

// Version is the version of the gateway that the stand-in behaves as, where versions differ: in how they register, and
// in what they load.
type Version string

const (
	// Version5_11 ignores the body of a 409 to a registration.
	Version5_11 Version = "v5.11.1"
	// Version5_14 reads that body, as versions from 5.13 on do, and loads the identity providers of clients.
	Version5_14 Version = "v5.14.0"
)

// Versions returns the versions that the stand-in can behave as.
func Versions() []Version { return []Version{Version5_11, Version5_14} }

// readsConflict reports whether the version decodes the body of a 409 to a registration.
func (v Version) readsConflict() bool { return v == Version5_14 }

// loadsClientIDPs reports whether the version requests the identity providers of clients with each reload.
func (v Version) loadsClientIDPs() bool { return v == Version5_14 }

// Config configures a stand-in gateway. A zero duration means the default of a real gateway.
type Config struct {
	// Listen is the address of the control API and of the served APIs. It defaults to a free port on loopback.
	Listen string
	// DashboardURL is the base URL of the dashboard. Paths are appended verbatim: it must not end with a slash.
	DashboardURL string
	// NodeSecret authenticates the gateway to its dashboard and signs notices. It must not be empty.
	NodeSecret string
	// ControlSecret is what the control API expects in x-tyk-authorization.
	ControlSecret string
	// Version is the version that the gateway behaves as. It defaults to Version5_11.
	Version Version
	// Redis holds keys and delivers notices. Without it, keys are in memory and there are no notices.
	Redis *redis.Options
	// Hostname is sent as x-tyk-hostname. It defaults to "gateway-standin".
	Hostname string
	// Log receives the gateway's log. It defaults to none.
	Log *slog.Logger

	// PingInterval is the time between heartbeats, 2 s by default. The health check pings after every fifth.
	PingInterval time.Duration
	// ReloadInterval is the time in which queued reloads become one, 1 s by default.
	ReloadInterval time.Duration
	// RetryInterval is the time between attempts to register, 5 s by default.
	RetryInterval time.Duration
	// RecoveryWindow is how long a reload waits for a lost dashboard, 10 s by default.
	RecoveryWindow time.Duration
	// RedisPause is the time before a lost Redis is tried again, 10 s by default. Notices in between are lost.
	RedisPause time.Duration

	// Segmented (node_is_segmented) limits the gateway to APIs with one of Tags.
	Segmented bool
	// Tags are the node's segment tags.
	Tags []string
	// EnforceOrgQuotas (enforce_org_quotas) applies organisation keys.
	EnforceOrgQuotas bool
	// HashKeys (hash_keys) stores keys under their hash, returns key_hash and understands ?hashed=.
	HashKeys bool
	// ListHashedKeys (enable_hashed_keys_listing) lists keys even when they are hashed.
	ListHashedKeys bool
}

func (cfg Config) withDefaults() Config {
	for _, d := range []struct {
		value        *time.Duration
		defaultValue time.Duration
	}{
		{&cfg.PingInterval, defaultPingInterval},
		{&cfg.ReloadInterval, defaultReloadInterval},
		{&cfg.RetryInterval, defaultRetryInterval},
		{&cfg.RecoveryWindow, defaultRecoveryWindow},
		{&cfg.RedisPause, defaultRedisPause},
	} {
		if *d.value == 0 {
			*d.value = d.defaultValue
		}
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Version == "" {
		cfg.Version = Version5_11
	}
	if cfg.Hostname == "" {
		cfg.Hostname = "gateway-standin"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg
}
