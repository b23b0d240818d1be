package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/cobra"

	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
	"gatehouse/internal/doctor"
	"gatehouse/internal/tlsfiles"
	"gatehouse/postgres"
	"gatehouse/store"
)

// doctorTimeout is the default of --timeout: longer than the 5 s that a connection to Postgres may take, and the 2.5 s
// that a pooler is looked at.
const doctorTimeout = 15 * time.Second

// newDoctor returns the command doctor.
func newDoctor(std Streams) *cobra.Command {
	var cfg config.Config
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what a server needs: database, gateways, secrets, disks and limits.",
		Long: `The command reads the settings of the server, and works beside a running server or without one. It
changes nothing. It looks at the private Postgres if that runs, and does not start it.

Each line is a check, with its result and, unless that is ok, what to do. A note is what some
installations want, such as no gateway and no Redis. A warning is a risk, or costs time. With a
fault, a server does not start, or does not work.

Limits, disks and files are those of the account, and of the container, that the command runs in:
run it where the server runs.

The exit status is 0 if there is no fault, 1 if there is one, and 2 for an error in the command
line.`,
		Example: "  gatehouse doctor\n  gatehouse doctor -o json",
	}
	format := output.AddFlag(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", doctorTimeout, "Maximum time for each check. They run at the same time.")
	settings := addSettings(cmd, &cfg)
	cmd.PreRunE = nil // what is invalid is what the command is about, and no error in its use
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		findings, err := diagnose(cmd.Context(), settings, timeout)
		if err != nil {
			return err
		}
		if err := output.Write(std.Out, *format, findings, findingColumns); err != nil {
			return err
		}
		isFault := func(f doctor.Finding) bool { return f.Status != doctor.Fault }
		if faults := len(slices.DeleteFunc(slices.Clone(findings), isFault)); faults > 0 {
			return fmt.Errorf("faults found: %d", faults)
		}
		return nil
	}
	return cmd
}

var findingColumns = []output.Column[doctor.Finding]{
	{Heading: "CHECK", Text: func(f doctor.Finding) string { return f.Check }},
	{Heading: "STATUS", Text: func(f doctor.Finding) string { return string(f.Status) }},
	{Heading: "RESULT", Text: func(f doctor.Finding) string {
		if f.Advice == "" {
			return f.Found
		}
		return f.Found + " — " + f.Advice
	}},
}

// diagnose runs all checks. If the settings cannot be read, there is nothing to check but them.
func diagnose(ctx context.Context, settings *settings, timeout time.Duration) (findings []doctor.Finding, err error) {
	if err := settings.loadInvalid(); err != nil {
		return problemFindings("settings", err), nil
	}
	cfg := settings.cfg
	problems := problemFindings("settings", errors.Join(cfg.Resolve(), checkFiles(settings)))
	if problems == nil {
		problems = []doctor.Finding{{Check: "settings", Status: doctor.OK, Found: "the server accepts them"}}
	}
	for _, name := range slices.Concat(settings.unused.Variables, settings.unused.Members) {
		problems = append(problems, doctor.Finding{
			Check: "settings", Status: doctor.Warning, Found: name + " has no effect: gatehouse does not have this setting",
			Advice: "correct its name, or remove it",
		})
	}
	if cfg.Database.URL == "" { // as the server does
		if err := postgres.ClearEnvironment(); err != nil {
			return nil, err
		}
	}
	secrets, secretChecks := inspectSecrets(settings)
	clients, err := newGatewayClients(cfg, secrets)
	defer func() { err = errors.Join(err, clients.redis.Close()) }()
	database, server := doctor.NewDatabase(), &serverCheck{cfg: cfg, done: make(chan struct{})}
	ofGateway := doctor.CheckGateway(doctor.GatewayConfig{
		Client: clients.control, Database: database, ServerAnswers: server.isThere, Now: time.Now,
	})
	ofRedis := doctor.CheckRedis(clients.redis, database)
	if unusable := problemFindings("gateway", err); unusable != nil {
		ofGateway, ofRedis = found("gateway", unusable), found("redis", nil)
	}
	findings = doctor.Run(ctx, timeout, []doctor.Check{
		found("settings", problems),
		{Name: "server", Run: server.run},
		doctor.CheckDatabase(databaseOf(cfg), database),
		ofGateway,
		ofRedis,
		doctor.CheckSecrets(secretChecks),
		doctor.CheckCertificates(certificatesOf(cfg), time.Now),
		doctor.CheckDisk(diskOf(cfg)),
		doctor.CheckLimits(func() doctor.Limits { return limitsOf(cfg.Limits) }),
	})
	return findings, ctx.Err()
}

// found returns a check whose findings are there.
func found(name string, findings []doctor.Finding) doctor.Check {
	return doctor.Check{Name: name, Run: func(context.Context) []doctor.Finding { return findings }}
}

// problemFindings returns a fault for each error that err joins.
func problemFindings(check string, err error) (findings []doctor.Finding) {
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		for _, each := range several.Unwrap() {
			findings = append(findings, problemFindings(check, each)...)
		}
		return findings
	}
	if err == nil {
		return nil
	}
	return []doctor.Finding{{
		Check: check, Status: doctor.Fault, Found: err.Error(),
		Advice: "correct the setting: the server does not start with it",
	}}
}

// serverCheck asks the server on this machine whether it is ready.
type serverCheck struct {
	cfg *config.Config
	// answers is valid when done is closed.
	answers bool
	done    chan struct{}
}

// isThere reports whether a server answers.
func (c *serverCheck) isThere(ctx context.Context) bool {
	select {
	case <-c.done:
		return c.answers
	case <-ctx.Done():
		return false
	}
}

func (c *serverCheck) run(ctx context.Context) []doctor.Finding {
	defer close(c.done)
	finding := doctor.Finding{Check: "server", Status: doctor.OK}
	health, err := askHealth(ctx, c.cfg)
	var said struct{ Description, Version string }
	isJSON := err == nil && json.Unmarshal([]byte(health.reply), &said) == nil
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		finding.Status, finding.Found = doctor.Note, "none runs at "+health.address
		finding.Advice = "start it with gatehouse serve, unless it is meant to be down"
	case errors.Is(err, errNoAnswer):
		finding.Status, finding.Found = doctor.Warning, err.Error()
		finding.Advice = "check that the server at " + health.address + " has the same settings, --tls among them"
	case err != nil:
		finding.Status, finding.Found = doctor.Note, "not checked: "+err.Error()
		finding.Advice = "set --listen (GATEHOUSE_LISTEN) to have the server checked"
	case !isJSON || said.Description != "gatehouse":
		finding.Status, finding.Found = doctor.Fault, "another program listens at "+health.address
		finding.Advice = "stop it, or set --listen (GATEHOUSE_LISTEN) to another address"
	case health.status != http.StatusOK:
		finding.Status, finding.Found = doctor.Fault, "the server is not ready: "+health.reply
		finding.Advice = "see the other lines, and the log of the server"
	case said.Version != Version():
		finding.Status, finding.Found = doctor.Note, "ready, and of version "+said.Version+", not "+Version()
		finding.Advice = "restart it, if it was upgraded"
	default:
		finding.Found = "ready at " + health.address
	}
	c.answers = isJSON && said.Description == "gatehouse"
	return []doctor.Finding{finding}
}

func databaseOf(cfg *config.Config) doctor.DatabaseConfig {
	return doctor.DatabaseConfig{
		Store: store.Config{
			ConnString: string(cfg.Database.URL), DirectConnString: string(cfg.Database.DirectURL),
			Now: time.Now, StatementTimeout: cfg.Database.Timeout,
		},
		Private: postgres.Config{
			DataDir: cfg.Server.DataDir, BinDir: cfg.Database.PostgresBin, Log: slog.New(slog.DiscardHandler),
		},
	}
}

// inspectSecrets reads the secrets without making any, and returns what is known of each.
func inspectSecrets(settings *settings) (secrets, doctor.SecretsConfig) {
	cfg := settings.cfg
	loaded, err := reloadSecrets(cfg.Server)
	all := loaded.named(cfg)
	checks := doctor.SecretsConfig{DataDir: cfg.Server.DataDir, Shared: sharedWithGateways(all)}
	if settings.file != nil && settings.SecretsFrom("file") != nil {
		checks.SettingsFile = settings.file.Path()
	}
	paths := map[string]string{}
	for _, each := range settings.FilledSecrets() {
		paths[each.Name] = each.Path
	}
	visible := settings.SecretsFrom("flag")
	for _, each := range all {
		secret := doctor.Secret{
			Setting: each.flag, Value: each.value, Path: each.stored, Guessable: true,
			Visible: slices.Contains(visible, each.flag),
		}
		if path, ok := paths[each.flag]; ok {
			secret.Path = path
			delete(paths, each.flag)
		}
		if err != nil && each.value == "" {
			secret.Err = storedError(cfg.Server, each.flag)
		}
		checks.Secrets = append(checks.Secrets, secret)
	}
	for _, each := range settings.FilledSecrets() { // those of Postgres and of the Redis
		if path, ok := paths[each.Name]; ok {
			checks.Secrets = append(checks.Secrets, doctor.Secret{Setting: each.Name, Path: path})
		}
	}
	return loaded, checks
}

// storedError returns why the secret of a setting cannot be read from the data directory.
func storedError(cfg config.Server, flag string) error {
	name := map[string]string{"admin-secret": adminSecretFile, "node-secret": nodeSecretFile}[flag]
	if name == "" {
		return nil
	}
	_, err := config.ReloadSecret("", cfg.DataDir, name)
	return err
}

// certificatesOf returns the certificates that are used.
func certificatesOf(cfg *config.Config) (all []doctor.Certificate) {
	add := func(used bool, setting, certificate, key string) {
		if used && certificate != "" {
			all = append(all, doctor.Certificate{
				Setting: setting, Files: tlsfiles.Pair{Certificate: certificate, Key: key},
			})
		}
	}
	for _, each := range cfg.TLS.Certificates {
		add(cfg.TLS.Enabled, "tls-certificate", each.Cert, each.Key)
	}
	add(true, "gateway-cert-file", cfg.Gateway.CertFile, cfg.Gateway.KeyFile)
	add(cfg.Redis.TLS, "redis-cert-file", cfg.Redis.CertFile, cfg.Redis.KeyFile)
	return all
}

func diskOf(cfg *config.Config) doctor.DiskConfig {
	disk := doctor.DiskConfig{SpoolDir: cfg.Limits.SpoolDir, MaxImport: cfg.Limits.MaxImport}
	if disk.SpoolDir == "" {
		disk.SpoolDir = os.TempDir()
	}
	if cfg.Database.URL == "" {
		disk.DataDir = cfg.Server.DataDir
	}
	return disk
}

// limitsOf returns the limits of this process, which are those of a server that is started in the same way.
func limitsOf(cfg config.Limits) doctor.Limits {
	limits := doctor.Limits{
		Files: math.MaxUint64, Connections: cfg.MaxConnections, GoMemory: debug.SetMemoryLimit(-1),
		MinMemory: minMemory, MemoryShare: memoryShare,
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		limits.Files = files.Cur
	}
	if memory, err := memlimit.FromCgroup(); err == nil {
		limits.Memory = memory
	}
	return limits
}
