package contractcmd

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gatehouse/conformance"
	"gatehouse/internal/config"
)

// checkOptions are the flags of contract check.
type checkOptions struct {
	Target    targetOptions    `group:"Server"`
	Contract  contractOptions  `group:"Contract"`
	Selection selectionOptions `group:"Selection"`
	Fuzz      fuzzOptions      `group:"Generated requests"`
	Reports   reportOptions    `group:"Reports"`
}

// targetOptions say which server is checked.
type targetOptions struct {
	URL             string   `flag:"url" help:"Base URL of the server."`
	AdminSecretFile string   `flag:"admin-secret-file" help:"File with the admin secret. The same as --secret-file api_key=FILE."`
	NodeSecretFile  string   `flag:"node-secret-file" help:"File with the node secret. The same as --secret-file node_secret=FILE. Without it, what needs the secret is not driven."`
	SecretFiles     []string `flag:"secret-file" help:"File with the secret of a security scheme of the contract, as SCHEME=FILE. Can be repeated."`
	Yes             bool     `flag:"yes" help:"Check a server that is not on this machine. What the check makes there, it removes."`
	Parallel        int      `flag:"parallel" default:"8" help:"How many scenarios run at the same time."`
}

// contractOptions say which contract the server has.
type contractOptions struct {
	Files     []string `flag:"contract" help:"OpenAPI 3.0 file in YAML or JSON. Can be repeated. Default: the contracts of gatehouse."`
	Scenarios string   `flag:"scenarios" help:"Directory of the scenarios: how each outcome is made to happen. Default: those of gatehouse."`
	Published string   `flag:"published" help:"Drive only what the published contract of Tyk Dashboard has, for a server of the original. The value is a version."`
}

// selectionOptions select scenarios.
type selectionOptions struct {
	Only     []string `flag:"only" help:"Drive only what the pattern matches: an operation, an outcome, operation/outcome, or a tag. * stands for any text. Can be repeated."`
	ReadOnly bool     `flag:"read-only" help:"Drive only what sends nothing but GET."`
	Slow     bool     `flag:"slow" help:"Drive also what waits for the server's time-out of bodies."`
}

// fuzzOptions configure requests that are generated from the contract.
type fuzzOptions struct {
	Duration time.Duration `flag:"fuzz" help:"Send generated requests for this long, valid ones and such that are invalid in one place. Default: none."`
	Seed     uint64        `flag:"seed" help:"Seed of the generated requests, which a failure prints. Default: a random one."`
}

// cleanupTimeout limits how long the removal of what one scenario made may take, also after Ctrl-C.
const cleanupTimeout = 10 * time.Second

// newCheck returns the command contract check.
func newCheck(cfg Config) *cobra.Command {
	var options checkOptions
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Make each outcome of the contract happen on a server, and compare the responses.",
		Long: `The server may be gatehouse, a staging server, or the original. The responses are compared with the
contract's examples value by value.

The check makes organisations of its own, removes them at the end, also after Ctrl-C, and touches
nothing else. Each failure comes with the curl command that repeats it.`,
		Example: `  gatehouse contract check --url http://127.0.0.1:3000 --admin-secret-file admin-secret
  gatehouse contract check --url http://127.0.0.1:3000 --admin-secret-file admin-secret --only Users`,
		Args: func(cmd *cobra.Command, args []string) error { return checkArguments(cmd.Flags(), args) },
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			if err := options.validate(cmd.Flags().Changed); err != nil {
				return err
			}
			if !cmd.Flags().Changed("seed") {
				options.Fuzz.Seed = randomSeed()
			}
			return check(cmd.Context(), cfg, &options)
		}),
	}
	config.Bind(cmd.Flags(), &options)
	cmd.Flags().Lookup("published").NoOptDefVal = publishedVersion
	return cmd
}

// checkArguments returns an error for any argument. One behind --published, which needs no value, is the version that
// was meant as its value.
func checkArguments(flags *pflag.FlagSet, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case flags.Changed("published"):
		return fmt.Errorf("unexpected argument %q: a version is written as --published=%s", args[0], args[0])
	}
	return fmt.Errorf("unexpected argument %q", args[0])
}

// validate returns an error for values of flags, and combinations, that would check less than they seem to.
func (o *checkOptions) validate(isSet func(flag string) bool) error {
	switch {
	case o.Target.Parallel < 1:
		return fmt.Errorf("--parallel: %d is less than 1", o.Target.Parallel)
	case isSet("fuzz") && o.Fuzz.Duration <= 0:
		return fmt.Errorf("--fuzz: %s is not a time to send requests for, such as 60s", o.Fuzz.Duration)
	case isSet("seed") && !isSet("fuzz"):
		return errors.New("--seed needs --fuzz: no requests are generated without it")
	case isSet("fuzz") && isSet("published"):
		return errors.New("--fuzz and --published exclude each other: generated requests are for the whole contract")
	}
	return nil
}

func check(ctx context.Context, cfg Config, options *checkOptions) error {
	target, err := options.Target.target()
	if err != nil {
		return err
	}
	suite, err := cfg.suite(options.Contract)
	if err != nil {
		return err
	}
	const notChecked = "nothing of them was checked; contract proxy compares their real traffic with the contract"
	if suite.Spec.Outcomes() == 0 {
		writeUnnamed(cfg.Out, suite.Spec, notChecked)
		return nil
	}
	published, err := cfg.published(options.Contract.Published)
	if err != nil {
		return err
	}
	reports, err := options.Reports.open()
	if err != nil {
		return err
	}
	defer reports.close()
	client := newClient(options.Target.Parallel)
	if err := reach(ctx, client, target.URL); err != nil {
		return err
	}
	runner := conformance.NewRunner(conformance.RunnerConfig{
		Suite: suite, Client: client, Run: strings.ToLower(rand.Text()[:8]), Random: rand.Reader,
		Now: time.Now, CleanupTimeout: cleanupTimeout, Published: published,
	})
	progress := newProgress(cfg.Log)
	driving := conformance.Options{
		Target: target, Parallel: options.Target.Parallel, Only: options.Selection.Only,
		ReadOnly: options.Selection.ReadOnly, Provides: map[string]bool{"slow": options.Selection.Slow},
		SecretHint: secretFlag, Progress: progress.show,
	}
	report, err := conformance.Check(ctx, runner, driving)
	progress.end()
	if err != nil {
		return err
	}
	if options.Fuzz.Duration > 0 && ctx.Err() == nil {
		if err := options.Fuzz.run(ctx, fuzzing{runner, driving, report, cfg.Out}); err != nil {
			return err
		}
	}
	if err := reports.write(report, cfg.Out); err != nil {
		return err
	}
	writeUnnamed(cfg.Out, suite.Spec, notChecked)
	switch {
	case !report.Held():
		return ErrDeparted
	case ctx.Err() != nil:
		return errInterrupted
	}
	return nil
}

// The security schemes of gatehouse's contracts that have a flag of their own.
const (
	adminScheme = "api_key"
	nodeScheme  = "node_secret"
)

// secretFlag returns the flag that has the secret of a security scheme.
func secretFlag(scheme string) string {
	switch scheme {
	case adminScheme:
		return "--admin-secret-file"
	case nodeScheme:
		return "--node-secret-file"
	}
	return "--secret-file " + scheme + "=FILE"
}

func (o *targetOptions) target() (conformance.Target, error) {
	target := conformance.Target{URL: strings.TrimSuffix(o.URL, "/"), Secrets: map[string]string{}}
	if err := checkURL("--url", o.URL); err != nil {
		return target, err
	}
	if u, _ := url.Parse(o.URL); !isLoopback(u.Hostname()) && !o.Yes {
		return target, fmt.Errorf("%s is not on this machine: add --yes to check it", u.Host)
	}
	files := map[string]string{adminScheme: o.AdminSecretFile, nodeScheme: o.NodeSecretFile}
	for _, each := range o.SecretFiles {
		scheme, file, found := strings.Cut(each, "=")
		if !found {
			return target, fmt.Errorf("--secret-file: %q is not SCHEME=FILE", each)
		}
		files[scheme] = file
	}
	for scheme, file := range files {
		if file == "" {
			continue
		}
		secret, err := os.ReadFile(file)
		if err != nil {
			return target, fmt.Errorf("read the secret of %s: %w", scheme, err)
		}
		target.Secrets[scheme] = strings.TrimSpace(string(secret))
	}
	return target, nil
}

// checkURL returns an error unless the value of a flag is the base URL of an HTTP server.
func checkURL(flag, value string) error {
	if value == "" {
		return fmt.Errorf("%s is required: the URL of the server", flag)
	}
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("%s: %q is not a URL of an HTTP server, such as http://127.0.0.1:3000", flag, value)
	}
	return nil
}

// isLoopback reports whether a host is this machine. Names are not looked up.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// newClient returns an HTTP client for requests in parallel. Its timeout is longer than the server's for bodies, for
// which --slow waits.
func newClient(parallel int) *http.Client {
	const idleTimeout = 30 * time.Second
	return &http.Client{
		Transport: &http.Transport{
			MaxIdleConnsPerHost: parallel, IdleConnTimeout: idleTimeout, Proxy: http.ProxyFromEnvironment,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       2 * time.Minute,
	}
}

// reach returns an error if no server answers. A contract may declare no call that every server answers, and every
// scenario would fail.
func reach(ctx context.Context, client *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", conformance.ErrCannotRun, err)
	}
	return response.Body.Close()
}

// suite returns the scenarios of the contract.
func (cfg Config) suite(options contractOptions) (*conformance.Suite, error) {
	files, dir := cfg.Scenarios, cfg.ScenarioDir
	if options.Scenarios != "" {
		if _, err := os.ReadDir(options.Scenarios); err != nil {
			return nil, fmt.Errorf("--scenarios: %w", err)
		}
		files, dir = os.DirFS(options.Scenarios), options.Scenarios
	}
	spec, err := cfg.spec(options.Files)
	switch {
	case err != nil:
		return nil, err
	case options.Files == nil, options.Scenarios != "":
	case spec.Outcomes() > 0:
		return nil, fmt.Errorf("--contract needs --scenarios, which say how its %d outcomes are made to happen: "+
			"the scenarios of gatehouse are those of its own contracts", spec.Outcomes())
	default:
		files = embed.FS{} // there is nothing to make happen
	}
	return conformance.Load(spec, files, dir)
}
