// Package config is the configuration of the program: its flags, and the environment variables and the file that set
// them. Settings that Tyk Dashboard has too can be set by the dashboard's variables (TYK_DB_…) and by its file,
// tyk_analytics.conf. The tags of the fields are the reference: flags and their help are made of them, and a test
// compares the README's tables with them.
package config

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Config is the configuration of a server. A flag precedes environment variables, of which the first that is set
// counts, and these precede the settings file.
type Config struct {
	File     File     `group:"Settings file"`
	Server   Server   `group:"Server"`
	TLS      TLS      `group:"TLS"`
	Database Database `group:"Database"`
	Gateway  Gateway  `group:"Gateway and Redis"`
	Redis    Redis    `group:"Gateway and Redis"`
	Limits   Limits   `group:"Limits"`
	Security Security `group:"Security"`
	Audit    Audit    `group:"Audit log"`
	Log      Log      `group:"Log"`

	settings Settings // of the flags that are bound to this configuration, for messages
}

// File says where the settings file is.
type File struct {
	Path string `flag:"conf" env:"GATEHOUSE_CONF" help:"Settings file: the tyk_analytics.conf of Tyk Dashboard, whose names it has; flags and environment variables precede it. Default: tyk_analytics.conf in the working directory, if there is one."`
}

// Server says where the server listens, where it stores its files, and what its clients authenticate with.
type Server struct {
	Listen      string `flag:"listen" env:"GATEHOUSE_LISTEN" default:"127.0.0.1:3000" help:"Address to listen on, as host:port."`
	ListenPort  int    `flag:"listen-port" env:"TYK_DB_LISTENPORT" help:"Port to listen on, on all addresses. Overrides --listen."`
	AdminListen string `flag:"admin-listen" env:"GATEHOUSE_ADMIN_LISTEN" help:"Address, as host:port, of metrics and profiles (/metrics, /debug/pprof), which are then not served at --listen. They require the admin secret at both. Default: they are at --listen."`
	DataDir     string `flag:"data-dir" env:"GATEHOUSE_DATA_DIR" help:"Directory of the private Postgres and of generated secrets. Default: /var/lib/gatehouse for root, otherwise ~/.local/share/gatehouse or $XDG_DATA_HOME/gatehouse."`
	AdminSecret Secret `flag:"admin-secret" env:"TYK_DB_ADMINSECRET,GATEHOUSE_ADMIN_SECRET" help:"Secret that clients of /admin send in the header Admin-Auth. Default: generated at the first start and stored in the data directory."`
	NodeSecret  Secret `flag:"node-secret" env:"TYK_DB_NODESECRET,GATEHOUSE_NODE_SECRET" help:"Secret that gateways send (their node_secret). It also signs notices to them. Default: generated at the first start and stored in the data directory."`
	// The second secrets are for rotation: clients and gateways change theirs one after another.
	SecondAdminSecret Secret `flag:"second-admin-secret" env:"GATEHOUSE_SECOND_ADMIN_SECRET" help:"Another admin secret that is valid, while clients change from one to the other."`
	SecondNodeSecret  Secret `flag:"second-node-secret" env:"GATEHOUSE_SECOND_NODE_SECRET" help:"Another node secret that is valid, while gateways change from one to the other. Notices are signed with both."`
	// CheckResponses is report by default: it adds a few microseconds to a request of some hundred.
	CheckResponses string   `flag:"check-responses" env:"GATEHOUSE_CHECK_RESPONSES" default:"report" help:"Whether responses are checked against the contract: off, report (departures are logged and counted; of each response, the first 16 KiB are checked), or enforce (a response that departs is replaced by the failure that its operation documents)."`
	TrustedProxies Networks `flag:"trusted-proxies" env:"GATEHOUSE_TRUSTED_PROXIES" help:"Addresses of proxies, as addresses or networks (10.0.0.0/8), separated by commas, that append the address of their client to X-Forwarded-For. That of others is ignored. Default: none."`
	PageSize       int      `flag:"page-size" env:"TYK_DB_PAGESIZE" default:"10" help:"Number of items on a page of a list, 1 to 1000."`
	// AllowUnknownOAS is false by default: an API must not be served without the authentication that its document asks
	// for.
	AllowUnknownOAS bool `flag:"allow-unknown-oas" env:"GATEHOUSE_ALLOW_UNKNOWN_OAS" help:"Accept Tyk OAS APIs with settings that this version does not know, and OpenAPI 3.1. Gateways serve such an API as if it did not have these settings; the log names them."`
	// EnableDuplicateSlugs has the name that the Dashboard has for it.
	EnableDuplicateSlugs bool   `flag:"enable-duplicate-slugs" env:"TYK_DB_ENABLEDUPLICATESLUGS" help:"Accept an API whose listen path is that of an active API of another organisation on the same domain, or below it, whose domain is the cname of another organisation, or whose api_id is such a listen path. It may get requests that are meant for the other one, with their credentials."`
	GatewayDomains       bool   `flag:"gateway-domains" env:"GATEHOUSE_GATEWAY_DOMAINS" help:"Gateways serve an API that has a domain there only (their enable_custom_domains). Without it, they look at such an API before others for every host, so that a user's API with a domain may not be at, or above, a listen path without a domain of an active API of another organisation."`
	BasePath             string `flag:"base-path" env:"GATEHOUSE_BASE_PATH" help:"Path, such as /tyk, below which every path is served, too: a proxy in front may leave it on. Default: none."`
	// StopDelay is 0 by default: without a load balancer in front, a server that stops gets no requests.
	StopDelay time.Duration `flag:"stop-delay" env:"GATEHOUSE_STOP_DELAY" default:"0s" help:"Time for which the server serves on after SIGTERM while GET /ready answers 503, so that load balancers send their requests elsewhere before it closes its address. Give your supervisor as much more time for the stop."`
	Docs      bool          `flag:"docs" env:"GATEHOUSE_DOCS" default:"true" help:"Serve the contracts (/openapi.yaml, /openapi-node.yaml) and the page that shows them (/docs), to everybody."`
	Console   bool          `flag:"console" env:"GATEHOUSE_CONSOLE" default:"true" help:"Serve the console (/console), in which people sign in and manage what they may."`
}

// Database says which Postgres the server uses. URL is secret because it may contain a password.
type Database struct {
	URL Secret `flag:"database-url" env:"DATABASE_URL,TYK_DB_STORAGE_MAIN_CONNECTIONSTRING" help:"Postgres to use, as a postgres:// URL or as libpq keywords (host=… dbname=…). Default: a private Postgres in the data directory."`
	// DirectURL is for a pooler that gives each transaction another session, in which LISTEN and advisory locks get lost.
	DirectURL   Secret `flag:"direct-database-url" env:"GATEHOUSE_DIRECT_DATABASE_URL" help:"The same database without the pooler of connections that --database-url leads through, such as PgBouncer in transaction mode: for migrations, LISTEN and the choice of a leader. Default: --database-url."`
	StorageType string `flag:"storage-type" env:"TYK_DB_STORAGE_MAIN_TYPE" default:"postgres" help:"Type of storage. Only postgres is supported."`
	// AutoMigrate is true by default, as in Gitea and Grafana: who upgrades the program wants the database to fit.
	AutoMigrate bool `flag:"auto-migrate" env:"GATEHOUSE_AUTO_MIGRATE" default:"true" help:"Apply the migrations that are due when the database is opened. Without it, the server does not start while any is due: gatehouse migrate up applies them."`
	// Wait is below the time after which supervisors give a start up.
	Wait time.Duration `flag:"database-wait" env:"GATEHOUSE_DATABASE_WAIT" default:"60s" help:"Maximum time to wait at the start for a database that does not answer, has no free connection, or accepts no writes yet. A wrong password or name of the database ends the start at once."`
	// Timeout is far above the milliseconds that a small statement takes, and as long as users wait.
	Timeout     time.Duration `flag:"database-timeout" env:"GATEHOUSE_DATABASE_TIMEOUT" default:"5s" help:"Maximum time for the database to answer a small statement. Each step of an import or a list has a minute, or this if it is longer."`
	PostgresBin string        `flag:"postgres-bin" env:"GATEHOUSE_POSTGRES_BIN" help:"Directory of the programs that run the private Postgres (initdb, postgres). Default: searched for."`
}

// Gateway says where the control API of a Tyk Gateway is. Without a Host there is none.
type Gateway struct {
	Host     string `flag:"gateway-host" env:"TYK_DB_TYKAPI_HOST" help:"Host of a Tyk Gateway's control API, with or without http://. Default: no gateway."`
	Port     string `flag:"gateway-port" env:"TYK_DB_TYKAPI_PORT" help:"Port of the gateway's control API."`
	Secret   Secret `flag:"gateway-secret" env:"TYK_DB_TYKAPI_SECRET" help:"Secret of the gateway's control API."`
	CAFile   string `flag:"gateway-ca-file" env:"GATEHOUSE_GATEWAY_CA_FILE" help:"Certificates of the authorities that may have issued that of a gateway at an https:// address, as PEM. Default: those of the machine."`
	CertFile string `flag:"gateway-cert-file" env:"GATEHOUSE_GATEWAY_CERT_FILE" help:"Certificate that gatehouse authenticates to the gateway with, as PEM. It is read again when it changes, and on SIGHUP."`
	KeyFile  string `flag:"gateway-key-file" env:"GATEHOUSE_GATEWAY_KEY_FILE" help:"Key of --gateway-cert-file."`
	// InsecureTLS has the Dashboard's name for all its clients; only this one has no other setting.
	InsecureTLS bool `flag:"gateway-insecure-tls" env:"TYK_DB_HTTPSERVEROPTIONS_SSLINSECURESKIPVERIFY" help:"Do not verify the certificate of the gateway."`
}

// Redis says where the Redis of the gateways is. Without a Host or Addrs there is none.
type Redis struct {
	Host        string     `flag:"redis-host" env:"TYK_DB_REDISHOST" help:"Host of the gateways' Redis, through which gatehouse notifies them of changes. Default: no Redis."`
	Port        int        `flag:"redis-port" env:"TYK_DB_REDISPORT" default:"6379" help:"Port of the Redis."`
	Addrs       []string   `flag:"redis-addrs" env:"TYK_DB_REDISADDRS" help:"Addresses of a Redis cluster, as host:port, separated by commas. Overrides --redis-host."`
	Username    string     `flag:"redis-username" env:"TYK_DB_REDISUSERNAME" help:"User name for the Redis."`
	Password    Secret     `flag:"redis-password" env:"TYK_DB_REDISPASSWORD" help:"Password for the Redis."`
	Database    int        `flag:"redis-database" env:"TYK_DB_REDISDATABASE" help:"Number of the Redis database."`
	Cluster     bool       `flag:"redis-cluster" env:"TYK_DB_ENABLECLUSTER" help:"Whether the Redis is a cluster."`
	TLS         bool       `flag:"redis-tls" env:"TYK_DB_REDISUSESSL" help:"Connect to the Redis with TLS."`
	InsecureTLS bool       `flag:"redis-insecure-tls" env:"TYK_DB_REDISSSLINSECURESKIPVERIFY" help:"Do not verify the certificate of the Redis."`
	CAFile      string     `flag:"redis-ca-file" env:"TYK_DB_REDISCAFILE" help:"Certificates of the authorities that may have issued that of the Redis, as PEM. Default: those of the machine."`
	CertFile    string     `flag:"redis-cert-file" env:"TYK_DB_REDISCERTFILE" help:"Certificate that gatehouse authenticates to the Redis with, as PEM. It is read again when it changes, and on SIGHUP."`
	KeyFile     string     `flag:"redis-key-file" env:"TYK_DB_REDISKEYFILE" help:"Key of --redis-cert-file."`
	MinTLS      TLSVersion `flag:"redis-tls-min-version" env:"TYK_DB_REDISTLSMINVERSION" default:"1.2" help:"Least version of TLS to the Redis: 1.2 or 1.3. Lower ones, which are insecure, are 1.2."`
}

// Limits bound what one request may use.
type Limits struct {
	// MaxImport is 4 GiB by default: an import is streamed, so that its size costs time but no memory.
	MaxImport int64 `flag:"max-import" env:"GATEHOUSE_MAX_IMPORT" default:"4294967296" help:"Maximum size of the body of an import of APIs or policies, in bytes."`
	// MaxDocument is 16 MiB by default: each document is held in memory as a whole.
	MaxDocument int `flag:"max-document" env:"GATEHOUSE_MAX_DOCUMENT" default:"16777216" help:"Maximum size of one document in an import, in bytes."`
	// MaxDepth is above the depth of real definitions (tens), and by default what jq 1.6 reads: 128 levels of objects,
	// a few of which are those of the list around a document. It is at most maxMaxDepth.
	MaxDepth int `flag:"max-depth" env:"GATEHOUSE_MAX_DEPTH" default:"120" help:"Maximum nesting depth of JSON in a request, up to 5000. jq 1.6 reads 128 levels, Python 990."`
	// SpoolDir holds what does not fit into a MiB, so that the database does not wait for a slow client.
	SpoolDir string `flag:"spool-dir" env:"GATEHOUSE_SPOOL_DIR" help:"Directory that holds an import of more than 1 MiB until all of it has been received. Its files have no names, and need up to --max-import bytes for each import. Default: the directory of temporary files."`
	// NodeCache is enough for some 30,000 definitions of 9 KB, which gzip compresses to a tenth, twice: while a list is
	// replaced, there are two of it. It is below half of the memory that the server uses otherwise.
	NodeCache int `flag:"node-cache" env:"GATEHOUSE_NODE_CACHE" default:"67108864" help:"Memory for the lists that gateways fetch, in bytes. They are kept compressed, and uncompressed once a client has needed that. A list for which there is no room is read from the database for each request. 0: all are."`
	// MaxConnections is far above what gateways, bootstrap scripts and people open. In the worst case, where each sends
	// 16 KiB of headers that never end, or does not read the largest file of the documentation, they take some 200 MB.
	MaxConnections int `flag:"max-connections" env:"GATEHOUSE_MAX_CONNECTIONS" default:"4096" help:"Maximum number of connections. When it is reached, each new connection closes one of the client with most connections: first one without an authenticated request in progress, then one of a client that has several and is none of --trusted-proxies. If none can be closed, the new connection waits, or is closed if its client has most. 0: no limit."`
	// MaxConnectionsPerAddress is more than proxies and load generators open.
	MaxConnectionsPerAddress int `flag:"max-connections-per-address" env:"GATEHOUSE_MAX_CONNECTIONS_PER_ADDRESS" default:"512" help:"Maximum number of connections from an IPv4 address, or an IPv6 network of 64 bits, that is not one of --trusted-proxies; more are closed at once. With HTTP/2, requests at the same time on one connection, after the first, count as connections; more are refused. 0: no limit."`
	// MaxWrongCredentials is far above what mistakes need. 128 random bits would take 10^29 years.
	MaxWrongCredentials int `flag:"max-wrong-credentials" env:"GATEHOUSE_MAX_WRONG_CREDENTIALS" default:"60" help:"Maximum number of different wrong secrets and access keys that an IPv4 address, or an IPv6 network of 64 bits, may send a minute. After that, those that were not valid before are refused with 429. 0: no limit."`
	// MaxWrongPasswords allows a user to try several passwords, and makes guessing one impractical.
	MaxWrongPasswords int `flag:"max-wrong-passwords" env:"GATEHOUSE_MAX_WRONG_PASSWORDS" default:"10" help:"Maximum number of different wrong passwords of a user that are checked a minute; more are refused with 429. 0: no limit."`
	// MaxOrganisationDocuments is far above what organisations have, developers of a portal included.
	MaxOrganisationDocuments int `flag:"max-organisation-documents" env:"GATEHOUSE_MAX_ORGANISATION_DOCUMENTS" default:"100000" help:"Maximum number of APIs that an organisation stores, of policies, and of other documents, each on their own. What is imported with the admin API counts, and is not limited. 0: no limit."`
	// MaxOrganisationBytes is that of 10,000 APIs of 26 KB: most have a few.
	MaxOrganisationBytes int64 `flag:"max-organisation-bytes" env:"GATEHOUSE_MAX_ORGANISATION_BYTES" default:"268435456" help:"Maximum size in bytes of the APIs that an organisation stores, of its policies, and of its other documents, each on their own. Gateways load the APIs and policies of all organisations. 0: no limit."`
	// BodyTimeout is below the 60 s after which nginx and cloud load balancers usually end an idle connection.
	BodyTimeout time.Duration `flag:"body-timeout" env:"GATEHOUSE_BODY_TIMEOUT" default:"15s" help:"Maximum time for a client to send or receive the next 64 KiB of a body."`
}

// Security restricts what users may do to one another, and which passwords they may have.
type Security struct {
	AllowAdminResetPassword    bool   `flag:"allow-admin-reset-password" env:"TYK_DB_SECURITY_ALLOWADMINRESETPASSWORD" help:"Administrators may set the passwords of other users of their organisation without the permission ResetPassword."`
	ForbidAdminViewAccessToken bool   `flag:"forbid-admin-view-access-token" env:"TYK_DB_SECURITY_FORBIDADMINVIEWACCESSTOKEN" help:"Hide the access keys of other users from administrators in /api. The admin API shows them."`
	ForbidAdminResetAccessKey  bool   `flag:"forbid-admin-reset-access-token" env:"TYK_DB_SECURITY_FORBIDADMINRESETACCESSTOKEN" help:"Only users themselves may renew their access keys in /api."`
	Bootstrap                  bool   `flag:"bootstrap" env:"GATEHOUSE_BOOTSTRAP" help:"Let anybody create the first organisation and its administrator with POST /bootstrap, while there is no organisation."`
	PasswordSchema             string `flag:"password-schema" env:"GATEHOUSE_PASSWORD_SCHEMA" help:"JSON file with the rules for passwords, as the schemas/password.json of Tyk Dashboard: minLength, multiCase, minNumeric, minSpecial, disableSequential. Default: at least 6 characters."`
	// The limits of failed log-ins replace --max-wrong-passwords, whose window is a minute.
	LoginFailureUsernameLimit int  `flag:"login-failure-username-limit" env:"TYK_DB_SECURITY_LOGINFAILUREUSERNAMELIMIT,TYK_DB_SECURITY_LOGIN_FAILURE_USERNAME_LIMIT" help:"Number of different wrong passwords of a user after which no password of the user is checked for --login-failure-expiration. 0: --max-wrong-passwords applies."`
	LoginFailureIPLimit       int  `flag:"login-failure-ip-limit" env:"TYK_DB_SECURITY_LOGINFAILUREIPLIMIT,TYK_DB_SECURITY_LOGIN_FAILURE_IP_LIMIT" help:"Number of different wrong passwords and sign-on nonces from an IPv4 address, or an IPv6 network of 64 bits, after which none from there is checked for --login-failure-expiration. 0: no limit."`
	LoginFailureExpiration    int  `flag:"login-failure-expiration" env:"TYK_DB_SECURITY_LOGINFAILUREEXPIRATION,TYK_DB_SECURITY_LOGIN_FAILURE_EXPIRATION" default:"900" help:"Time in seconds after which a user or an address that has used up the limit of failed log-ins may try again. 0: 900."`
	HideLoginFailureLimit     bool `flag:"hide-login-failure-limit-error" env:"TYK_DB_SECURITY_HIDELOGINFAILURELIMITERROR,TYK_DB_SECURITY_HIDE_LOGIN_FAILURE_LIMIT_ERROR" help:"Respond to a password that is not checked, because a limit is used up, as to a wrong one."`
	PasswordHistory           int  `flag:"enforce-password-history" env:"TYK_DB_SECURITY_ENFORCEPASSWORDHISTORY" help:"Number of a user's last passwords, the current one included, that cannot be set again in /api, up to 24. 0: all can."`
}

// Audit configures the audit log, which has a line for each change and for each refused one.
type Audit struct {
	Enabled  bool   `flag:"audit" env:"TYK_DB_AUDIT_ENABLED" default:"true" help:"Write the audit log: a line for each request that changes something, or that was refused."`
	Path     string `flag:"audit-path" env:"TYK_DB_AUDIT_PATH,TYK_DB_SECURITY_AUDITLOGPATH,GATEHOUSE_AUDIT_PATH" help:"File of the audit log. It is opened again on SIGHUP. Default: the audit log is a part of the log on standard error."`
	Format   string `flag:"audit-format" env:"TYK_DB_AUDIT_FORMAT" default:"text" help:"Format of the file of the audit log: text or json."`
	Detailed bool   `flag:"audit-detailed-recording" env:"TYK_DB_AUDIT_DETAILEDRECORDING" help:"Add method, path, query, user agent and sizes to the lines of the audit log. Bodies are not recorded: they have access keys."`
	// Retention is what auditors usually ask for at least, and bounds what the database has of people.
	Retention int `flag:"audit-retention" env:"GATEHOUSE_AUDIT_RETENTION" default:"90" help:"Number of days for which audit events of authenticated clients are stored in the database, where GET /api/audit-logs reads them. There are at most 1,000,000; beyond that, the oldest events of the organisation with the most are deleted. 0: no events are stored, and stored ones are deleted."`
}

// Log configures the log.
type Log struct {
	Format string `flag:"log-format" env:"GATEHOUSE_LOG_FORMAT,TYK_LOGFORMAT,TYK_DB_LOGFORMAT" default:"text" help:"Format of the log: text (which default is, too) or json."`
	// Level has the variables of Tyk Dashboard in its order: the one of all of Tyk's programs first.
	Level Level  `flag:"log-level" env:"GATEHOUSE_LOG_LEVEL,TYK_LOGLEVEL,TYK_DB_LOGLEVEL" default:"info" help:"Least level of the lines of the log: debug, info, warn or error. Lines of the audit log have none."`
	Path  string `flag:"log-file" env:"GATEHOUSE_LOG_FILE" help:"File of the server's log. It is opened again on SIGHUP. Default: standard error."`
	// Requests is 1 by default: a line costs less than a hundredth of a small request.
	Requests float64 `flag:"log-requests" env:"GATEHOUSE_LOG_REQUESTS" default:"1" help:"Share of requests that have a line in the log, at the level info: 1 is all, 0.01 one in a hundred, 0 none. Requests that fail with a status of 500 or more always have one."`
	// SlowStatements is far above what small statements take, and what those of an import or a list usually do.
	SlowStatements time.Duration `flag:"log-slow-statements" env:"GATEHOUSE_LOG_SLOW_STATEMENTS" default:"1s" help:"Log statements that the database takes as long for, or longer, with their name and without their values. 0: none."`
}

const (
	// maxPageSize keeps a page small enough for a client to hold; a list without pages has no such limit.
	maxPageSize = 1000
	// maxAuditRetention is ten years, in days. The number of lines is bounded otherwise.
	maxAuditRetention = 3650
	// maxMaxDepth is the deepest nesting that both Postgres and Go's decoders still read.
	maxMaxDepth = 5000
	// maxLoginFailureExpiration is a year, in seconds.
	maxLoginFailureExpiration = 366 * 24 * 60 * 60
	// defaultLoginFailureExpiration is that of Tyk Dashboard, in seconds, whose samples set 0.
	defaultLoginFailureExpiration = 900
	// maxPasswordHistory bounds what setting a password costs: it is compared with as many hashes, of 20 ms each.
	maxPasswordHistory = 24
)

// Resolve sets the defaults that depend on the machine, and returns an error that names every invalid setting.
func (c *Config) Resolve() error {
	if err := c.resolveDataDir(); err != nil {
		return err
	}
	p := problems{settings: c.settings}
	c.Server.validate(&p)
	c.TLS.validate(&p)
	c.Database.validate(&p)
	c.Gateway.validate(&p)
	c.Redis.validate(&p)
	c.Limits.validate(&p)
	c.Security.validate(&p)
	c.Audit.validate(&p)
	c.Log.validate(&p)
	return p.error()
}

// Address returns the address to listen on, as host:port.
func (s *Server) Address() string {
	if s.ListenPort != 0 {
		return ":" + strconv.Itoa(s.ListenPort)
	}
	return s.Listen
}

// resolveDataDir sets the data directory. It is "" if the account has no home, and nothing would be stored in it.
func (c *Config) resolveDataDir() error {
	dir := c.Server.DataDir
	var err error
	if dir == "" {
		dir, err = defaultDataDir()
	}
	if err != nil && c.Database.URL != "" && c.Server.AdminSecret != "" && c.Server.NodeSecret != "" {
		return nil
	}
	if err != nil {
		return err
	}
	if c.Server.DataDir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

// LoginFailureWindow returns how long log-ins are refused after a limit of failed ones.
func (s *Security) LoginFailureWindow() time.Duration {
	return time.Duration(cmp.Or(s.LoginFailureExpiration, defaultLoginFailureExpiration)) * time.Second
}

// Addresses returns the addresses of the gateways' Redis, or nothing when no Redis is configured.
func (r *Redis) Addresses() []string {
	if len(r.Addrs) > 0 || r.Host == "" {
		return r.Addrs
	}
	return []string{net.JoinHostPort(r.Host, strconv.Itoa(r.Port))}
}

func defaultDataDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/gatehouse", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "gatehouse"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no data directory: %w: set GATEHOUSE_DATA_DIR, "+
			"or DATABASE_URL, TYK_DB_ADMINSECRET and TYK_DB_NODESECRET, with which none is needed", err)
	}
	return filepath.Join(home, ".local", "share", "gatehouse"), nil
}
