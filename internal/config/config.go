// Package config is what a server can be told: by flag, by environment variable, and by the variables that users of Tyk
// Dashboard know (facts §8). The help texts here are the reference; kong reads them.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	LogFormat     string `help:"Form of the log on standard error: text or json." default:"text" env:"GATEHOUSE_LOG_FORMAT"`
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
	complain(c.LogFormat != "text" && c.LogFormat != "json", "--log-format (GATEHOUSE_LOG_FORMAT): %q is neither text nor json", c.LogFormat)
	complain(strings.TrimSpace(c.AdminSecret) != c.AdminSecret, "--admin-secret (TYK_DB_ADMINSECRET): begins or ends with white space, which a header cannot carry")
	return wrong
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
