package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
)

// healthTimeout is the default of --timeout: less than the 30 s of Docker, and more than the 5 s after which a server
// gives up its database.
const healthTimeout = 8 * time.Second

// maxHealthReply is how much of a response is printed, in bytes.
const maxHealthReply = 1 << 10

// newHealthcheck returns the command healthcheck.
func newHealthcheck(std Streams) *cobra.Command {
	var cfg config.Config
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Report whether the server on this machine is ready, as the probe of a container.",
		Long: `It sends GET /ready to the address that a server with the same flags, environment and working
directory listens on; where that listens on all addresses, to the loopback address.

The exit status is 0 if the server is ready, 1 if it is not, or does not answer, and 2 for an error
in the command line.`,
		Example: "  gatehouse healthcheck\n  gatehouse healthcheck --listen :8080 --timeout 3s",
	}
	cmd.Flags().DurationVar(&timeout, "timeout", healthTimeout, "Maximum time for the answer.")
	settings := addSettings(cmd, &cfg)
	// The command needs the address only. It does not read the files of secrets, which its account may not be allowed
	// to read, and does not validate the other settings, which the server does.
	cmd.PreRunE = func(*cobra.Command, []string) error { return settings.loadValues() }
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		if err := checkHealth(ctx, &cfg); err != nil {
			return err
		}
		fmt.Fprintln(std.Out, "the server is ready")
		return nil
	}
	return cmd
}

// checkHealth returns why the server is not ready.
func checkHealth(ctx context.Context, cfg *config.Config) error {
	health, err := askHealth(ctx, cfg)
	switch {
	case err != nil:
		return err
	case health.status == http.StatusOK:
		return nil
	}
	return fmt.Errorf("the server is not ready: %d %s: %s", health.status, http.StatusText(health.status), health.reply)
}

// serverHealth is the response of a server to GET /ready.
type serverHealth struct {
	address string
	status  int
	reply   string
}

// errNoAnswer is returned by askHealth if the server does not answer.
var errNoAnswer = errors.New("the server does not answer")

// askHealth asks the server with this configuration on this machine whether it is ready.
func askHealth(ctx context.Context, cfg *config.Config) (health serverHealth, err error) {
	if health.address, err = reachable(cfg.Server.Address()); err != nil {
		return health, err
	}
	url := "http://" + health.address + "/ready"
	if cfg.TLS.Enabled {
		url = "https://" + health.address + "/ready"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return health, err
	}
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			// The certificate is for other names than that of the loopback address. Nothing secret is sent.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return health, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer response.Body.Close()
	health.status = response.StatusCode
	reply, err := io.ReadAll(io.LimitReader(response.Body, maxHealthReply))
	if err != nil {
		return health, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	health.reply = strings.TrimSpace(string(reply))
	return health, nil
}

// reachable returns an address of a server that listens on an address, which may be all of the machine's.
func reachable(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("--listen (GATEHOUSE_LISTEN): %q is not host:port", listen)
	}
	if port == "0" {
		return "", fmt.Errorf("--listen (GATEHOUSE_LISTEN): %s is any free port: which one is not known", listen)
	}
	if address, err := netip.ParseAddr(host); host == "" || err == nil && address.IsUnspecified() {
		host = "127.0.0.1"
		if address.Is6() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port), nil
}
