package server

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/internal/apidef"
	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaysync"
	"gatehouse/internal/password"
	"gatehouse/store"
)

// Config is what New needs. Contract, Gateway and Redis may be nil; Version may be empty.
type Config struct {
	// Contract is what LoadContract returns. nil has New load it.
	Contract *contract.Contract
	Store    *store.Store
	// Gateway is nil without a gateway: organisation keys are then only stored, and OAuth tokens cannot be purged.
	Gateway *gateway.Client
	// Redis is nil without a Redis: gateways are then notified of changes through Gateway only.
	Redis *gateway.Redis
	Log   *slog.Logger
	Now   func() time.Time
	// AdminSecret is what the header Admin-Auth must be.
	AdminSecret string
	// NodeSecret is what the header Authorization of a gateway must be.
	NodeSecret string
	// PageSize is the number of rows on a page of a list.
	PageSize int
	Limits   Limits
	Version  string
}

// Limits bound what a request may take. All must be positive.
type Limits struct {
	// Import is the maximum size of an import of APIs or policies, in bytes.
	Import int64
	// Document is the maximum size of a document in an import, in bytes.
	Document int
	// Depth is how deep a document in an import may nest.
	Depth int
	// BodyTimeout is how long a client may take to send the next 64 KiB of its body, or to receive the next 64 KiB of a
	// list.
	BodyTimeout time.Duration
}

// check returns an error that names all required fields that are missing.
func (cfg Config) check() error {
	limits := cfg.Limits
	var missing []error
	for name, ok := range map[string]bool{
		"Store": cfg.Store != nil, "Log": cfg.Log != nil, "Now": cfg.Now != nil,
		"AdminSecret": cfg.AdminSecret != "", "NodeSecret": cfg.NodeSecret != "", "PageSize": cfg.PageSize > 0,
		"Limits": limits.Import > 0 && limits.Document > 0 && limits.Depth > 0 && limits.BodyTimeout > 0,
	} {
		if !ok {
			missing = append(missing, errors.New("server: no "+name))
		}
	}
	return errors.Join(missing...)
}

// Server implements the contracts. It is an http.Handler; its methods are safe for concurrent use.
type Server struct {
	contract *contract.Contract
	store    *store.Store
	gateway  *gateway.Client // may be nil, whose methods return gateway.ErrNotConfigured
	sync     *gatewaysync.Sync
	log      *slog.Logger
	now      func() time.Time
	pageSize int
	limits   Limits
	version  string

	passwords *password.Hasher
	checks    *apidef.Checks
	// gatewaySession converts a session into the form that gateways decode.
	gatewaySession func(json.RawMessage) json.RawMessage
	metrics        *metrics

	// The SHA-256 of the secrets.
	adminDigest, nodeDigest [sha256.Size]byte

	echo    *echo.Echo
	handler http.Handler // echo, and compression around it
}
