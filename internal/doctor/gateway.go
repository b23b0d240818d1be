package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/internal/gateway"
	"gatehouse/store"
)

const (
	// oldestGateway is the oldest major version of gateways that gatehouse is tested with.
	oldestGateway = 5
	// unusedAPI is an ID that no API has: a gateway that accepts the secret answers that it is not found.
	unusedAPI = "gatehouse-doctor"
)

// GatewayConfig configures CheckGateway.
type GatewayConfig struct {
	// Client is nil if no gateway is configured.
	Client   *gateway.Client
	Database *Database
	// ServerAnswers reports whether a server on this machine answers. Without one, no gateway is registered.
	ServerAnswers func(context.Context) bool
	Now           func() time.Time
}

// CheckGateway checks the control API of the gateway, and whether the gateway is registered with this installation.
func CheckGateway(cfg GatewayConfig) Check {
	return Check{"gateway", func(ctx context.Context) []Finding {
		if cfg.Client == nil {
			return []Finding{{
				"gateway", Note, "none is configured",
				"if there is one, set --gateway-host (TYK_DB_TYKAPI_HOST), --gateway-port and --gateway-secret: " +
					"keys and organisation keys need it",
			}}
		}
		began := cfg.Now()
		hello, helloErr := cfg.Client.Hello(ctx)
		took := cfg.Now().Sub(began)
		_, secretErr := cfg.Client.HasAPI(ctx, unusedAPI)
		if finding := controlFinding(secretErr); finding.Status != OK {
			return []Finding{finding}
		}
		findings := []Finding{{"gateway", OK, "its control API answers, and accepts the secret", ""}}
		findings = append(findings, gatewayVersion(hello, helloErr), cfg.registration(ctx, hello))
		if hello.Details["redis"].Fails() {
			findings = append(findings, Finding{
				"gateway redis", Warning, "the gateway does not reach its Redis: it has no keys and receives no notices",
				"check the setting storage of the gateway, and its Redis",
			})
		}
		if !hello.Date.IsZero() {
			// The header has no fractions of a second.
			ahead := hello.Date.Add(time.Second / 2).Sub(began.Add(took / 2))
			findings = append(findings, skewFinding("gateway clock", "the gateway", ahead, time.Second/2+took/2))
		}
		return findings
	}}
}

// controlFinding returns the finding about the control API of which a call has returned err.
func controlFinding(err error) Finding {
	const name = "gateway"
	refused, isRefused := errors.AsType[*gateway.Refused](err)
	switch {
	case err == nil:
		return Finding{Check: name, Status: OK}
	case errors.Is(err, gateway.ErrUnreachable) && strings.Contains(err.Error(), "x509"),
		errors.Is(err, gateway.ErrUnreachable) && strings.Contains(err.Error(), "tls:"):
		return Finding{
			name, Fault, err.Error(), "set --gateway-ca-file to the authority that issued its certificate, and check the " +
				"host name in the certificate",
		}
	case errors.Is(err, gateway.ErrUnreachable):
		return Finding{
			name, Fault, err.Error(),
			"check that the gateway runs, and --gateway-host (TYK_DB_TYKAPI_HOST) and --gateway-port; " +
				"a gateway with control_api_port has its control API there",
		}
	case errors.Is(err, gateway.ErrNoControlAPI):
		return Finding{
			name, Fault, err.Error(),
			"set --gateway-port to that of the control API: control_api_port of the gateway if it is set, else listen_port",
		}
	case isRefused && refused.Status == http.StatusForbidden:
		return Finding{
			name, Fault, "the gateway refuses the secret", "set --gateway-secret (TYK_DB_TYKAPI_SECRET) to the secret of the " +
				"gateway, which is not its node_secret",
		}
	}
	return Finding{name, Fault, err.Error(), "read the log of the gateway"}
}

func gatewayVersion(hello gateway.Hello, err error) Finding {
	const name = "gateway version"
	if err != nil || hello.Version == "" {
		return Finding{
			name, Note, "not known: the gateway does not answer /hello",
			"leave health_check_endpoint_name of the gateway unset to have it checked",
		}
	}
	number, _, _ := strings.Cut(strings.TrimPrefix(hello.Version, "v"), ".")
	if major, err := strconv.Atoi(number); err == nil && major < oldestGateway {
		return Finding{
			name, Warning, hello.Version + " is older than gatehouse is tested with",
			fmt.Sprintf("upgrade it to version %d or newer", oldestGateway),
		}
	}
	return Finding{name, OK, hello.Version, ""}
}

const adviceRegister = "set use_db_app_configs of the gateway, db_app_conf_options.connection_string and " +
	"policies.policy_connection_string to the URL of gatehouse, and node_secret to the node secret"

// registration checks whether the gateway loads its APIs from this installation. The control API does not report the
// source of the APIs: registration compares the loaded APIs with those of the database, and counts registered gateways.
func (cfg GatewayConfig) registration(ctx context.Context, hello gateway.Hello) Finding {
	const name = "gateway registration"
	dashboard, hasDashboard := hello.Details["dashboard"]
	if hello.Details != nil && !hasDashboard {
		return Finding{name, Fault, "the gateway loads its APIs from files: use_db_app_configs is off", adviceRegister}
	}
	found, known := cfg.Database.get(ctx)
	if !known {
		return Finding{name, Note, "not known without the database", "correct the fault of the database first"}
	}
	loaded, err := cfg.loaded(ctx, found)
	registered := fmt.Sprintf("%d registered here", found.Nodes)
	switch {
	case err != nil:
		return Finding{name, Warning, err.Error(), "run doctor again"}
	case loaded != "":
		return Finding{name, OK, "the gateway has loaded the API " + loaded + " of this database, " + registered, ""}
	case found.Nodes == 0 && !cfg.ServerAnswers(ctx):
		return Finding{
			name, Note, "not known: no gateway is registered here, and no server answers on this machine",
			"start the server, and run doctor again",
		}
	case found.Nodes == 0 && dashboard.Fails():
		return Finding{
			name, Fault, "no gateway is registered here, and this one cannot register with its dashboard: " +
				"its URL or its node secret is wrong", adviceRegister,
		}
	case found.Nodes == 0 && dashboard.Status != "":
		return Finding{name, Fault, "no gateway is registered here: this one is registered elsewhere", adviceRegister}
	case found.Nodes == 0:
		return Finding{name, Warning, "no gateway is registered here", adviceRegister + "; run doctor again in 10 seconds"}
	case len(found.APIs) > 0:
		return Finding{
			name, Warning, registered + ", but this gateway has none of the APIs " + list(found.APIs),
			"check that it is one of the registered gateways (GET /admin/nodes); a segmented one loads only APIs with its tags",
		}
	case dashboard.Fails():
		return Finding{
			name, Warning, registered + ", but this gateway cannot register with its dashboard", adviceRegister,
		}
	}
	return Finding{name, OK, registered + "; without an active API, it is not known whether this is one of them", ""}
}

// loaded returns the ID of the first API of the database that the gateway has loaded; "" if it has loaded none.
func (cfg GatewayConfig) loaded(ctx context.Context, found store.Inspection) (string, error) {
	for _, id := range found.APIs {
		has, err := cfg.Client.HasAPI(ctx, id)
		if err != nil {
			return "", err
		}
		if has {
			return id, nil
		}
	}
	return "", nil
}

// CheckRedis checks the Redis of the gateways. client is nil if none is configured.
func CheckRedis(client *gateway.Redis, database *Database) Check {
	const name = "redis"
	return Check{name, func(ctx context.Context) []Finding {
		if client == nil {
			return []Finding{{
				name, Note, "none is configured",
				"if there is one, set --redis-host (TYK_DB_REDISHOST) or --redis-addrs",
			}}
		}
		listeners, counted, err := client.Listeners(ctx)
		switch {
		case errors.Is(err, gateway.ErrRedisCredentials):
			return []Finding{{
				name, Fault, err.Error(), "check --redis-username and --redis-password (TYK_DB_REDISPASSWORD)",
			}}
		case err != nil:
			return []Finding{{
				name, Fault, "cannot be used: " + err.Error(),
				"check that it runs, and --redis-host, --redis-port, --redis-database, --redis-tls and --redis-cluster",
			}}
		case !counted:
			return []Finding{{name, OK, "the cluster answers", ""}}
		case listeners > 0:
			return []Finding{{name, OK, fmt.Sprintf("answers, %d gateways listen on it", listeners), ""}}
		}
		if found, known := database.get(ctx); known && found.Nodes > 0 {
			return []Finding{{
				name, Warning, fmt.Sprintf("answers, but none of %d registered gateways listens on it", found.Nodes),
				"check that it is the Redis that the gateways have in their setting storage",
			}}
		}
		return []Finding{{name, Note, "answers, and no gateway listens on it", "start a gateway that uses it as its storage"}}
	}}
}
