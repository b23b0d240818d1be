package server

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/internal/apidef"
	"gatehouse/internal/authlimit"
	"gatehouse/internal/fairqueue"
	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaysync"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/loglimit"
	"gatehouse/internal/password"
	"gatehouse/internal/remoteaddr"
	"gatehouse/store"
)

// Config is what New needs. Contract, Gateway and Redis may be nil; Version may be empty.
type Config struct {
	// Contract is what LoadContract returns. nil has New load it.
	Contract *contract.Contract
	Store    *store.Store
	// Gateway is nil without a gateway: organisation keys are then only stored, and OAuth tokens cannot be purged.
	Gateway *gateway.Client
	// Redis is nil without a Redis: gateways are then notified of changes, and asked for the sessions of keys, through
	// Gateway only.
	Redis *gateway.Redis
	Log   *slog.Logger
	Now   func() time.Time
	// AdminSecret is what the header Admin-Auth must be.
	AdminSecret string
	// NodeSecret is what the header Authorization of a gateway must be.
	NodeSecret string
	// SecondAdminSecret and SecondNodeSecret are valid, too, unless they are "".
	SecondAdminSecret, SecondNodeSecret string
	// Security restricts what users may do.
	Security Security
	// PasswordCost is the cost of the hashes of passwords; the zero value is password.Recommended.
	PasswordCost password.Cost
	// Audit is the audit log.
	Audit Audit
	// UnloggedRequests is the share of requests that have no line in the log, of those with a status below 500. 0 is none.
	UnloggedRequests float64
	// Tracer makes a span of each request; nil: there are no traces.
	Tracer trace.Tracer
	// PageSize is the number of rows on a page of a list.
	PageSize int
	Limits   Limits
	// SpoolDir is where long imports are held until they have been received; "" is the directory of temporary files.
	SpoolDir string
	// CheckResponses says whether responses are checked against the contract; "" is ResponsesUnchecked.
	CheckResponses ResponseCheck
	Version        string
	// Docs has the contracts and the page that shows them served, to everybody.
	Docs bool
	// Console has the console (/console) served, to everybody: its pages need no credential, and its requests do.
	// Browsers that redeem a nonce are sent to it.
	Console bool
	// SeparateDiagnostics has metrics and profiles served by the handler that Diagnostics returns, and not by the server.
	SeparateDiagnostics bool
	// BasePath is a path, such as /tyk, below which every path is served, too. "" is none.
	BasePath string
	// AllowUnknownOAS accepts OAS APIs with settings that this program does not know: gateways serve them without those.
	AllowUnknownOAS bool
	// AllowSharedPaths accepts APIs whose listen paths and domains are those of APIs of other organisations.
	AllowSharedPaths bool
	// GatewayDomains states that gateways serve an API that has a domain there only.
	GatewayDomains bool
	// TrustedProxies are the addresses of proxies whose X-Forwarded-For is believed.
	TrustedProxies remoteaddr.Proxies
}

// ResponseCheck says whether responses are checked against the contract before they are sent, and what happens to one
// that departs from it.
type ResponseCheck = apiserver.ResponseCheck

// The values of ResponseCheck.
const (
	ResponsesUnchecked = apiserver.ResponsesUnchecked
	DeparturesReported = apiserver.DeparturesReported
	DeparturesRefused  = apiserver.DeparturesRefused
)

// Security restricts what users may do to one another, and which passwords they may have.
type Security struct {
	// AdminsResetPasswords lets administrators set the passwords of others without the permission ResetPassword.
	AdminsResetPasswords bool
	// HideAccessKeys hides the access keys of other users from administrators.
	HideAccessKeys bool
	// OwnKeysOnly keeps users from renewing the access keys of others.
	OwnKeysOnly bool
	// Bootstrap lets a client without a credential create the first organisation and its administrator.
	Bootstrap bool
	// Passwords are the rules for passwords; the zero value is that of the contract.
	Passwords password.Policy
	// PasswordHistory is how many of a user's last passwords, the current one included, cannot be set again.
	PasswordHistory int
	// LoginFailures are the limits of failed log-ins, if there are any.
	LoginFailures LoginFailures
}

// LoginFailures limit how many different wrong passwords of a user or of an address are checked. Beyond the limit, the
// server refuses all passwords of that user or address for a time.
type LoginFailures struct {
	// PerUser is the limit for a user; 0 is Limits.WrongPasswords a minute.
	PerUser int
	// PerAddress is the limit for the address of a client, whichever users it tries, sign-on nonces included; 0 is no
	// limit.
	PerAddress int
	// Window is how long nothing is checked after a limit is used up. It must be positive if there is a limit.
	Window time.Duration
	// Hide has a password that is not checked replied to as a wrong one.
	Hide bool
}

// check reports whether the limits are complete.
func (f LoginFailures) check() bool {
	return f.PerUser >= 0 && f.PerAddress >= 0 && (f.Window > 0 || f.PerUser == 0 && f.PerAddress == 0)
}

// Audit says where the audit log is written, which has a line for each change and for each refused one.
type Audit struct {
	// Log is nil without an audit log.
	Log *slog.Logger
	// Detailed adds what describes the request to each line.
	Detailed bool
	// Retention is how long the database has the lines of authenticated callers. 0 stores none.
	Retention time.Duration
}

// Limits bound what a request may take. All must be positive, or 0 where that is no limit.
type Limits struct {
	// Import is the maximum size of an import of APIs or policies, in bytes.
	Import int64
	// Document is the maximum size of a document in an import, in bytes.
	Document int
	// Depth is how deep JSON in a request may nest: a body, or a document in an import.
	Depth int
	// WrongCredentials is the number of different wrong credentials that an address may send a minute. Its other requests
	// with a credential that was not right before are refused. 0 is no limit.
	WrongCredentials int
	// WrongPasswords is the number of different wrong passwords of a user that are checked a minute. 0 is no limit.
	WrongPasswords int
	// UnauthenticatedLines is the number of requests without a valid credential that the logs list of an address a minute;
	// more are summed up. 0 is no limit.
	UnauthenticatedLines int
	// NodeCache is how much memory the lists for gateways may occupy, in bytes. A list for which there is no room is read
	// from the database for each request.
	NodeCache int
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
		"Security":         cfg.Security.LoginFailures.check(),
		"UnloggedRequests": cfg.UnloggedRequests >= 0 && cfg.UnloggedRequests <= 1,
		"Limits": limits.Import > 0 && limits.Document > 0 && limits.Depth > 0 && limits.BodyTimeout > 0 &&
			limits.NodeCache >= 0 && limits.WrongCredentials >= 0 && limits.WrongPasswords >= 0 &&
			limits.UnauthenticatedLines >= 0,
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
	redis    *gateway.Redis  // may be nil, whose methods return gateway.ErrNotConfigured
	sync     *gatewaysync.Sync
	stopping atomic.Bool // set by PrepareStop
	log      *slog.Logger
	now      func() time.Time
	pageSize int
	limits   Limits
	spoolDir string
	// largeImports bounds the imports that take much memory at the same time.
	largeImports *semaphore.Weighted
	documents    documentLimits
	version      string
	// allowUnknownOAS accepts OAS APIs with settings that are not known.
	allowUnknownOAS bool
	// allowSharedPaths is Config.AllowSharedPaths.
	allowSharedPaths bool
	// gatewayDomains is Config.GatewayDomains.
	gatewayDomains bool
	// servesDocs tells whether the contracts and their page are served.
	servesDocs bool
	// servesConsole tells whether the console is served.
	servesConsole bool

	// diagnosticPaths are the paths of metrics and profiles that the server leaves to Diagnostics.
	diagnosticPaths map[string]bool

	// gatewayLists are the lists that are being made of what gateways have, and sentLists those that are sent to users.
	gatewayLists, sentLists *fairqueue.Queue

	// guesses limits the wrong credentials of an address, siteGuesses those of all addresses of a site, passwordGuesses
	// the wrong passwords of a user, and loginFailures the wrong passwords and nonces of an address.
	guesses         *authlimit.Limiter[netip.Prefix]
	siteGuesses     *authlimit.Limiter[netip.Prefix]
	passwordGuesses *authlimit.Limiter[string]
	loginFailures   *authlimit.Limiter[netip.Prefix]
	// historyChecks limits the passwords of a caller that are refused because the user has had them; historyChecked counts
	// the checks.
	historyChecks  *authlimit.Limiter[string]
	historyChecked atomic.Uint64
	passwords      *password.Hasher
	// lines limits the lines in the logs about requests that are not authenticated.
	lines    *loglimit.Limiter
	proxies  remoteaddr.Proxies
	basePath string
	// crossOrigin recognises requests that a page of another origin sends.
	crossOrigin *http.CrossOriginProtection

	// nodePolicies and nodeAPIs are the lists for gateways.
	nodePolicies, nodeAPIs *nodeList

	checks *apidef.Checks
	// gatewaySession converts a session into the form that gateways decode.
	gatewaySession func(json.RawMessage) json.RawMessage
	metrics        *metrics
	// probe asks the gateway and the Redis for their state, and quotaReports are what gateways have reported of quotas.
	probe        *gatewayProbe
	quotaReports *quotaReports
	tracer       trace.Tracer // nil: there are no traces
	// organisationFields are the documented fields of an organisation, with their defaults.
	organisationFields []jsondoc.Member
	// userGroupFields are those of a user group.
	userGroupFields []jsondoc.Member
	// objectFields are the documented members of each kind of documents of organisations, with their defaults.
	objectFields map[string][]jsondoc.Member
	// kindStored is the kind of the documents that an operation stores without an ID in its path.
	kindStored map[string]string

	secrets  atomic.Pointer[knownSecrets]
	security Security
	auditLog Audit
	trail    *auditTrail

	api *apiserver.Server
}
