// Package config is what a server can be told: by flag, by environment variable, and by the variables that users of Tyk
// Dashboard know (facts §8). The help texts here are the reference; kong reads them.
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

// Config is the configuration of a server. An environment variable named first counts before one named after it.
type Config struct {
	Listen        string `help:"Address to listen on, host:port." default:"127.0.0.1:3000" env:"GATEHOUSE_LISTEN"`
	ListenPort    int    `help:"Port to listen on, on every address; overrides --listen." env:"TYK_DB_LISTENPORT"`
	DataDir       string `help:"Where the private Postgres and the secrets are kept. Default: /var/lib/gatehouse for root, else gatehouse in the user's data directory." env:"GATEHOUSE_DATA_DIR"`
	DatabaseURL   string `help:"Postgres to use, as a postgres:// URL or in libpq's keyword form. Default: a private one in the data directory." env:"DATABASE_URL,TYK_DB_STORAGE_MAIN_CONNECTIONSTRING"`
	StorageType   string `help:"Kind of storage; only postgres." default:"postgres" env:"TYK_DB_STORAGE_MAIN_TYPE"`
	PostgresBin   string `help:"Folder with the programs of the private Postgres (initdb, postgres). Default: searched." env:"GATEHOUSE_POSTGRES_BIN"`
	AdminSecret   string `help:"What Admin-Auth must be. Default: made at the first start and kept in the data directory." env:"TYK_DB_ADMINSECRET,GATEHOUSE_ADMIN_SECRET"`
	PageSize      int    `help:"How many things a page of a list holds, 1 to 1000." default:"10" env:"TYK_DB_PAGESIZE"`
	GatewayHost   string `help:"A Tyk Gateway's control API, with or without http://. Default: none." env:"TYK_DB_TYKAPI_HOST"`
	GatewayPort   string `help:"Port of the gateway's control API." env:"TYK_DB_TYKAPI_PORT"`
	GatewaySecret string `help:"Secret of the gateway's control API." env:"TYK_DB_TYKAPI_SECRET"`
	NodeSecret    string `help:"What gateways must bring as node_secret; it signs notices to them, too. Default: made at the first start and kept in the data directory." env:"TYK_DB_NODESECRET,GATEHOUSE_NODE_SECRET"`

	RedisHost        string   `help:"The gateways' Redis, to tell them of changes. Default: none." env:"TYK_DB_REDISHOST"`
	RedisPort        int      `help:"Port of the Redis." default:"6379" env:"TYK_DB_REDISPORT"`
	RedisAddrs       []string `help:"Addresses (host:port) of a Redis cluster, in place of --redis-host." env:"TYK_DB_REDISADDRS"`
	RedisUsername    string   `help:"User of the Redis." env:"TYK_DB_REDISUSERNAME"`
	RedisPassword    string   `help:"Password of the Redis." env:"TYK_DB_REDISPASSWORD"`
	RedisDatabase    int      `help:"Number of the database in the Redis." env:"TYK_DB_REDISDATABASE"`
	RedisCluster     bool     `help:"The Redis is a cluster." env:"TYK_DB_ENABLECLUSTER"`
	RedisTLS         bool     `help:"Speak TLS to the Redis." name:"redis-tls" env:"TYK_DB_REDISUSESSL"`
	RedisInsecureTLS bool     `help:"Take any certificate of the Redis." name:"redis-insecure-tls" env:"TYK_DB_REDISSSLINSECURESKIPVERIFY"`

	MaxImport   int64         `help:"Largest body of an import of APIs or policies, in bytes." default:"4294967296" env:"GATEHOUSE_MAX_IMPORT"`
	MaxDocument int           `help:"Largest document of an import, in bytes." default:"16777216" env:"GATEHOUSE_MAX_DOCUMENT"`
	MaxDepth    int           `help:"How deep a document of an import may nest, up to 5000." default:"1000" env:"GATEHOUSE_MAX_DEPTH"`
	BodyTimeout time.Duration `help:"How long a client may take for the next 64 KiB of its body, or of an answer." default:"15s" env:"GATEHOUSE_BODY_TIMEOUT"`

	LogFormat string `help:"Form of the log on standard error: text or json." default:"text" env:"GATEHOUSE_LOG_FORMAT"`
}

// maxPageSize keeps a page something that a client can hold; who wants all asks without pages.
const maxPageSize = 1000

// Resolve fills in what has no fixed default, and reports everything that is wrong.
func (c *Config) Resolve() error {
	if c.ListenPort != 0 {
		c.Listen = ":" + strconv.Itoa(c.ListenPort)
	}
	if c.DataDir == "" {
		dir, err := defaultDataDir()
		if err != nil {
			return err
		}
		c.DataDir = dir
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	c.DataDir = dir
	return errors.Join(c.problems()...)
}

// deepest is how deep a document may be allowed to nest: Postgres and Go's decoders read it still.
const deepest = 5000

func (c *Config) problems() []error {
	var wrong []error
	complain := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	_, port, err := net.SplitHostPort(c.Listen)
	complain(err != nil, "--listen (GATEHOUSE_LISTEN): %q is not host:port", c.Listen)
	if err == nil {
		complain(!isPort(port), "--listen (GATEHOUSE_LISTEN, TYK_DB_LISTENPORT): port %s is not between 0 and 65535", port)
	}
	complain(c.StorageType != "postgres", "--storage-type (TYK_DB_STORAGE_MAIN_TYPE): %q; gatehouse keeps its data in postgres only", c.StorageType)
	complain(c.PageSize < 1 || c.PageSize > maxPageSize, "--page-size (TYK_DB_PAGESIZE): %d is not between 1 and %d", c.PageSize, maxPageSize)
	complain(c.GatewayHost == "" && c.GatewayPort != "", "--gateway-port (TYK_DB_TYKAPI_PORT) is set without --gateway-host (TYK_DB_TYKAPI_HOST)")
	complain(c.GatewayPort != "" && !isPort(c.GatewayPort), "--gateway-port (TYK_DB_TYKAPI_PORT): %q is not a port", c.GatewayPort)
	complain(c.MaxImport < 1, "--max-import (GATEHOUSE_MAX_IMPORT): %d is less than 1", c.MaxImport)
	complain(c.MaxDocument < 1, "--max-document (GATEHOUSE_MAX_DOCUMENT): %d is less than 1", c.MaxDocument)
	complain(c.MaxDepth < 1 || c.MaxDepth > deepest, "--max-depth (GATEHOUSE_MAX_DEPTH): %d is not from 1 to %d", c.MaxDepth, deepest)
	complain(c.BodyTimeout < time.Millisecond, "--body-timeout (GATEHOUSE_BODY_TIMEOUT): %s is less than 1ms", c.BodyTimeout)
	complain(c.RedisPort < 1 || c.RedisPort > math.MaxUint16, "--redis-port (TYK_DB_REDISPORT): %d is not a port", c.RedisPort)
	complain(c.RedisDatabase < 0, "--redis-database (TYK_DB_REDISDATABASE): %d is less than 0", c.RedisDatabase)
	complain(c.LogFormat != "text" && c.LogFormat != "json", "--log-format (GATEHOUSE_LOG_FORMAT): %q is neither text nor json", c.LogFormat)
	for name, secret := range map[string]string{
		"--admin-secret (TYK_DB_ADMINSECRET)": c.AdminSecret, "--node-secret (TYK_DB_NODESECRET)": c.NodeSecret,
	} {
		complain(strings.TrimSpace(secret) != secret, "%s: begins or ends with white space, which a header cannot carry", name)
	}
	return wrong
}

// Redis is the addresses of the gateways' Redis; none if there is none.
func (c *Config) Redis() []string {
	if len(c.RedisAddrs) > 0 || c.RedisHost == "" {
		return c.RedisAddrs
	}
	return []string{net.JoinHostPort(c.RedisHost, strconv.Itoa(c.RedisPort))}
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
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
		return "", fmt.Errorf("no data directory: %w; set GATEHOUSE_DATA_DIR", err)
	}
	return filepath.Join(home, ".local", "share", "gatehouse"), nil
}
