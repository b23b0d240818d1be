package cli

import (
	"context"
	"crypto/tls"
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
		Short: "Ask the server on this machine whether it is ready, for containers.",
		Long: `It sends GET /ready to the address that a server with the same flags, environment and working
directory listens on; where that listens on all addresses, to the loopback address.

The exit status is 0 if the server is ready, 1 if it is not, or does not answer, and 2 for an error
in the command line.`,
		Example: "  gatehouse healthcheck\n  gatehouse healthcheck --listen :8080 --timeout 3s",
	}
	cmd.Flags().DurationVar(&timeout, "timeout", healthTimeout, "Maximum time for the answer.")
	settings := addSettings(cmd, &cfg)
	// The command needs the address: what else is invalid is for the server, and a secret that the command may not read
	// says nothing about that.
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
	address, err := reachable(cfg.Server.Address())
	if err != nil {
		return err
	}
	url := "http://" + address + "/ready"
	if cfg.TLS.Enabled {
		url = "https://" + address + "/ready"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
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
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	reply, err := io.ReadAll(io.LimitReader(response.Body, maxHealthReply))
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	return fmt.Errorf("the server is not ready: %s: %s", response.Status, strings.TrimSpace(string(reply)))
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
