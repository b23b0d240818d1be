package contractcmd

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/conformance"
	"gatehouse/internal/config"
)

// proxyOptions are the flags of contract proxy.
type proxyOptions struct {
	Upstream string        `flag:"upstream" help:"Base URL of the server that requests are passed on to."`
	Listen   string        `flag:"listen" default:"127.0.0.1:4010" help:"Address to listen on, as host:port."`
	Files    []string      `flag:"contract" help:"OpenAPI 3.0 file in YAML or JSON. Can be repeated. Default: the contracts of gatehouse."`
	MaxBody  int64         `flag:"max-body" default:"16777216" help:"Number of bytes of a body that are validated. Larger bodies are passed on, too."`
	Reports  reportOptions `group:"Reports"`
}

// newProxy returns the command contract proxy.
func newProxy(cfg Config) *cobra.Command {
	var options proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Pass requests on to a server, and compare real traffic with the contract.",
		Long: `Each departure is printed when it is seen for the first time; a summary and the reports follow at
the end. An invalid request that the server refuses is no departure. What is printed has neither
values nor credentials. Ctrl-C stops the proxy.`,
		Example: `  gatehouse contract proxy --upstream http://127.0.0.1:3000 --html coverage.html
  gatehouse contract proxy --upstream https://api.example/v2 --contract api.yaml`,
		RunE: runs(func(cmd *cobra.Command, _ []string) error { return proxy(cmd, cfg, &options) }),
	}
	config.Bind(cmd.Flags(), &options)
	return cmd
}

func proxy(cmd *cobra.Command, cfg Config, options *proxyOptions) error {
	if err := checkURL("--upstream", options.Upstream); err != nil {
		return err
	}
	if err := checkMaxBody(options.MaxBody); err != nil {
		return err
	}
	upstream, err := url.Parse(options.Upstream)
	if err != nil {
		return err
	}
	contracts, err := cfg.contracts(options.Files)
	if err != nil {
		return err
	}
	reports, err := options.Reports.open()
	if err != nil {
		return err
	}
	defer reports.close()
	departures := &lines{out: cfg.Out}
	traffic := conformance.NewProxy(conformance.ProxyConfig{
		Spec: contracts.spec, Contracts: contracts.compiled, Upstream: upstream, MaxBody: options.MaxBody, Now: time.Now,
		Departed: func(result *conformance.Result) { departures.printf("%s", describeDeparture(result)) },
		Log:      slog.New(slog.NewTextHandler(cfg.Log, nil)),
	})
	err = listening{
		address: options.Listen, handler: traffic, announce: "proxy listens on %s", out: cfg.Out,
	}.serve(cmd.Context())
	if err != nil {
		return err
	}
	report := traffic.Report()
	if err := reports.write(report, cfg.Out); err != nil {
		return err
	}
	counts := traffic.Counts()
	fmt.Fprintf(cfg.Out, "%d requests; the bodies of %d requests and %d responses were not validated\n",
		counts.Requests, counts.UnreadRequests, counts.UnreadResponses)
	if counts.Unknown > 0 {
		fmt.Fprintf(cfg.Out, "%d more requests to methods and paths that the contract does not have\n", counts.Unknown)
	}
	writeUnnamed(cfg.Out, contracts.spec, "their responses were compared with statuses, headers and schemas alone")
	if !report.Held() {
		return ErrDeparted
	}
	return nil
}

// writeUnnamed says how many operations have no outcomes, and what that means.
func writeUnnamed(out io.Writer, spec *conformance.Spec, consequence string) {
	if unnamed := spec.Unnamed(); unnamed > 0 {
		fmt.Fprintf(out, "%d of %d operations have no named response example, and so no outcomes: %s\n",
			unnamed, len(spec.Operations), consequence)
	}
}

// describeDeparture formats a departure as a line.
func describeDeparture(result *conformance.Result) string {
	var differences []string
	for _, d := range result.Differences {
		differences = append(differences, d.String())
	}
	of := result.Scenario
	name := of.Operation.ID
	if of.Outcome.Status != 0 { // 0 is of a path that the contract does not have
		name += fmt.Sprintf(" %d", of.Outcome.Status)
	}
	return fmt.Sprintf("DEPARTED %s: %s", name, strings.Join(differences, "; "))
}
