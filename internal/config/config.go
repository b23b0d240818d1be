// Package config is the configuration of the program: its flags, and the environment variables that set them. Settings
// that Tyk Dashboard has too can be set by the dashboard's variables (TYK_DB_…). The help texts are the reference: kong
// prints them for --help, and a test compares the README's tables with them.
package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Config is the configuration of a server. Of a flag's environment variables, the first that is set wins; the flag wins
// over all of them.
type Config struct {
	Server   Server   `embed:"" group:"Server:"`
	Database Database `embed:"" group:"Database:"`
	Gateway  Gateway  `embed:"" group:"Gateway and Redis:" prefix:"gateway-"`
	Redis    Redis    `embed:"" group:"Gateway and Redis:" prefix:"redis-"`
	Limits   Limits   `embed:"" group:"Limits:"`
	Log      Log      `embed:"" group:"Log:" prefix:"log-"`
}

// Server says where the server listens, where it stores its files, and what its clients authenticate with.
type Server struct {
	Listen      string `help:"Address to listen on, as host:port." default:"127.0.0.1:3000" env:"GATEHOUSE_LISTEN"`
	ListenPort  int    `help:"Port to listen on, on all addresses. Overrides --listen." env:"TYK_DB_LISTENPORT"`
	DataDir     string `help:"Directory of the private Postgres and of generated secrets. Default: /var/lib/gatehouse for root, otherwise ~/.local/share/gatehouse or $XDG_DATA_HOME/gatehouse." env:"GATEHOUSE_DATA_DIR"`
	AdminSecret Secret `help:"Secret that clients of /admin send in the header Admin-Auth. Default: generated at the first start and stored in the data directory." env:"TYK_DB_ADMINSECRET,GATEHOUSE_ADMIN_SECRET"`
	NodeSecret  Secret `help:"Secret that gateways send (their node_secret). It also signs notices to them. Default: generated at the first start and stored in the data directory." env:"TYK_DB_NODESECRET,GATEHOUSE_NODE_SECRET"`
	PageSize    int    `help:"Number of items on a page of a list, 1 to 1000." default:"10" env:"TYK_DB_PAGESIZE"`
}

// Database says which Postgres the server uses. URL is secret because it may contain a password.
type Database struct {
	URL         Secret `name:"database-url" help:"Postgres to use, as a postgres:// URL or as libpq keywords (host=… dbname=…). Default: a private Postgres in the data directory." env:"DATABASE_URL,TYK_DB_STORAGE_MAIN_CONNECTIONSTRING"`
	StorageType string `help:"Type of storage. Only postgres is supported." default:"postgres" env:"TYK_DB_STORAGE_MAIN_TYPE"`
	PostgresBin string `help:"Directory of the programs that run the private Postgres (initdb, postgres). Default: searched for." env:"GATEHOUSE_POSTGRES_BIN"`
}

// Gateway says where the control API of a Tyk Gateway is. Without a Host there is none.
type Gateway struct {
	Host   string `help:"Host of a Tyk Gateway's control API, with or without http://. Default: no gateway." env:"TYK_DB_TYKAPI_HOST"`
	Port   string `help:"Port of the gateway's control API." env:"TYK_DB_TYKAPI_PORT"`
	Secret Secret `help:"Secret of the gateway's control API." env:"TYK_DB_TYKAPI_SECRET"`
}

// Redis says where the Redis of the gateways is. Without a Host or Addrs there is none.
type Redis struct {
	Host        string   `help:"Host of the gateways' Redis, through which gatehouse notifies them of changes. Default: no Redis." env:"TYK_DB_REDISHOST"`
	Port        int      `help:"Port of the Redis." default:"6379" env:"TYK_DB_REDISPORT"`
	Addrs       []string `help:"Addresses of a Redis cluster, as host:port, separated by commas. Overrides --redis-host." env:"TYK_DB_REDISADDRS"`
	Username    string   `help:"User name for the Redis." env:"TYK_DB_REDISUSERNAME"`
	Password    Secret   `help:"Password for the Redis." env:"TYK_DB_REDISPASSWORD"`
	Database    int      `help:"Number of the Redis database." env:"TYK_DB_REDISDATABASE"`
	Cluster     bool     `help:"Whether the Redis is a cluster." env:"TYK_DB_ENABLECLUSTER"`
	TLS         bool     `help:"Connect to the Redis with TLS." name:"tls" env:"TYK_DB_REDISUSESSL"`
	InsecureTLS bool     `help:"Do not verify the certificate of the Redis." name:"insecure-tls" env:"TYK_DB_REDISSSLINSECURESKIPVERIFY"`
}

// Limits bound what one request may use.
type Limits struct {
	// MaxImport is 4 GiB by default: an import is streamed, so that its size costs time but no memory.
	MaxImport int64 `help:"Maximum size of the body of an import of APIs or policies, in bytes." default:"4294967296" env:"GATEHOUSE_MAX_IMPORT"`
	// MaxDocument is 16 MiB by default: each document is held in memory as a whole.
	MaxDocument int `help:"Maximum size of one document in an import, in bytes." default:"16777216" env:"GATEHOUSE_MAX_DOCUMENT"`
	// MaxDepth is far above the depth of real definitions (tens), and at most maxMaxDepth.
	MaxDepth int `help:"Maximum nesting depth of a document in an import, up to 5000." default:"1000" env:"GATEHOUSE_MAX_DEPTH"`
	// BodyTimeout is below the 60 s after which nginx and cloud load balancers usually end an idle connection.
	BodyTimeout time.Duration `help:"Maximum time for a client to send or receive the next 64 KiB of a body." default:"15s" env:"GATEHOUSE_BODY_TIMEOUT"`
}

// Log configures the log.
type Log struct {
	Format string `help:"Format of the log on standard error: text or json." default:"text" env:"GATEHOUSE_LOG_FORMAT"`
}

const (
	// maxPageSize keeps a page small enough for a client to hold; a list without pages has no such limit.
	maxPageSize = 1000
	// maxMaxDepth is the deepest nesting that both Postgres and Go's decoders still read.
	maxMaxDepth = 5000
)

// Resolve sets the defaults that depend on the machine, and returns an error that names every invalid setting.
func (c *Config) Resolve() error {
	if c.Server.ListenPort != 0 {
		c.Server.Listen = ":" + strconv.Itoa(c.Server.ListenPort)
	}
	if c.Server.DataDir == "" {
		dir, err := defaultDataDir()
		if err != nil {
			return err
		}
		c.Server.DataDir = dir
	}
	dir, err := filepath.Abs(c.Server.DataDir)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	c.Server.DataDir = dir
	return errors.Join(
		c.Server.validate(), c.Database.validate(), c.Gateway.validate(), c.Redis.validate(),
		c.Limits.validate(), c.Log.validate(),
	)
}

// problems collects the errors of settings.
type problems []error

func (p *problems) addIf(invalid bool, format string, args ...any) {
	if invalid {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

func (s *Server) validate() error {
	var p problems
	_, port, err := net.SplitHostPort(s.Listen)
	p.addIf(err != nil, "--listen (GATEHOUSE_LISTEN): %q is not host:port", s.Listen)
	p.addIf(err == nil && !isPort(port), "--listen (GATEHOUSE_LISTEN, TYK_DB_LISTENPORT): port %s is not between 0 and 65535", port)
	p.addIf(hasOuterSpace(s.AdminSecret), "--admin-secret (TYK_DB_ADMINSECRET): begins or ends with white space, which a header cannot carry")
	p.addIf(hasOuterSpace(s.NodeSecret), "--node-secret (TYK_DB_NODESECRET): begins or ends with white space, which a header cannot carry")
	p.addIf(s.PageSize < 1 || s.PageSize > maxPageSize, "--page-size (TYK_DB_PAGESIZE): %d is not between 1 and %d", s.PageSize, maxPageSize)
	return errors.Join(p...)
}

func (d *Database) validate() error {
	var p problems
	p.addIf(d.StorageType != "postgres", "--storage-type (TYK_DB_STORAGE_MAIN_TYPE): %q is not supported, only postgres is", d.StorageType)
	return errors.Join(p...)
}

func (g *Gateway) validate() error {
	var p problems
	p.addIf(g.Host == "" && g.Port != "", "--gateway-port (TYK_DB_TYKAPI_PORT) is set without --gateway-host (TYK_DB_TYKAPI_HOST)")
	p.addIf(g.Port != "" && !isPort(g.Port), "--gateway-port (TYK_DB_TYKAPI_PORT): %q is not a port", g.Port)
	return errors.Join(p...)
}

func (r *Redis) validate() error {
	var p problems
	p.addIf(r.Port < 1 || r.Port > math.MaxUint16, "--redis-port (TYK_DB_REDISPORT): %d is not a port", r.Port)
	p.addIf(r.Database < 0, "--redis-database (TYK_DB_REDISDATABASE): %d is less than 0", r.Database)
	return errors.Join(p...)
}

func (l *Limits) validate() error {
	var p problems
	p.addIf(l.MaxImport < 1, "--max-import (GATEHOUSE_MAX_IMPORT): %d is less than 1", l.MaxImport)
	p.addIf(l.MaxDocument < 1, "--max-document (GATEHOUSE_MAX_DOCUMENT): %d is less than 1", l.MaxDocument)
	p.addIf(l.MaxDepth < 1 || l.MaxDepth > maxMaxDepth, "--max-depth (GATEHOUSE_MAX_DEPTH): %d is not between 1 and %d", l.MaxDepth, maxMaxDepth)
	p.addIf(l.BodyTimeout < time.Millisecond, "--body-timeout (GATEHOUSE_BODY_TIMEOUT): %s is less than 1ms", l.BodyTimeout)
	return errors.Join(p...)
}

func (l *Log) validate() error {
	var p problems
	p.addIf(l.Format != "text" && l.Format != "json", "--log-format (GATEHOUSE_LOG_FORMAT): %q is neither text nor json", l.Format)
	return errors.Join(p...)
}

// Addresses returns the addresses of the gateways' Redis, or nothing when no Redis is configured.
func (r *Redis) Addresses() []string {
	if len(r.Addrs) > 0 || r.Host == "" {
		return r.Addrs
	}
	return []string{net.JoinHostPort(r.Host, strconv.Itoa(r.Port))}
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func hasOuterSpace(s Secret) bool { return strings.TrimSpace(string(s)) != string(s) }

func defaultDataDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/gatehouse", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "gatehouse"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no data directory: %w; set GATEHOUSE_DATA_DIR", err)
	}
	return filepath.Join(home, ".local", "share", "gatehouse"), nil
}
