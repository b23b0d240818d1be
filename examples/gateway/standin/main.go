// Command standin runs a stand-in for a Tyk Gateway, for trying gatehouse where there is no gateway.
//
// It registers with gatehouse, loads policies and APIs from it, reloads when it is notified, and serves a control API
// on loopback. Requests to the APIs are checked as a gateway checks them (keys, rate limits, quotas); the stand-in
// answers those that are allowed itself, instead of proxying them. The defaults fit README.md in the folder above.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/spf13/pflag"

	"gatehouse/internal/config"
	"gatehouse/internal/gatewaystandin"
)

// options are the flags. The environment variables are those of a Tyk Gateway.
type options struct {
	Dashboard     string `flag:"dashboard" env:"TYK_GW_DBAPPCONFOPTIONS_CONNECTIONSTRING" default:"http://127.0.0.1:3000" help:"URL of gatehouse, without a slash at its end."`
	NodeSecret    string `flag:"node-secret" env:"TYK_GW_NODESECRET" default:"example-node-secret" help:"Node secret of gatehouse."`
	Secret        string `flag:"secret" env:"TYK_GW_SECRET" default:"example-gateway-secret" help:"Secret of the control API."`
	ListenPort    uint16 `flag:"listen-port" env:"TYK_GW_LISTENPORT" default:"8080" help:"Port on 127.0.0.1; 0 is any free port."`
	Version       string `flag:"gateway-version" default:"v5.11.1" help:"Version of the gateway to behave as: v5.11.1 or v5.14.0."`
	RedisHost     string `flag:"redis-host" env:"TYK_GW_STORAGE_HOST" help:"Redis for keys and notices. Default: keys in memory, no notices."`
	RedisPort     uint16 `flag:"redis-port" env:"TYK_GW_STORAGE_PORT" default:"6379" help:"Port of the Redis."`
	RedisPassword string `flag:"redis-password" env:"TYK_GW_STORAGE_PASSWORD" help:"Password of the Redis."`
}

func main() {
	var opts options
	settings := config.Bind(pflag.CommandLine, &opts)
	pflag.Usage = func() {
		fmt.Fprintf(os.Stderr, "Usage: standin [flags]\n\nA stand-in for a Tyk Gateway, for trying gatehouse.\n\n%s",
			pflag.CommandLine.FlagUsages())
	}
	pflag.Parse()
	if err := settings.Load("environment", os.LookupEnv); err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, opts, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}

// run runs the gateway until ctx ends, and then deregisters it.
func run(ctx context.Context, opts options, out io.Writer) error {
	gateway, err := gatewaystandin.Start(context.WithoutCancel(ctx), gatewaystandin.Config{
		Listen:       net.JoinHostPort("127.0.0.1", strconv.Itoa(int(opts.ListenPort))),
		DashboardURL: opts.Dashboard, NodeSecret: opts.NodeSecret, ControlSecret: opts.Secret,
		Version: gatewaystandin.Version(opts.Version), Redis: opts.redis(),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), EnforceOrgQuotas: true,
	})
	if err != nil {
		return err
	}
	defer gateway.Close()
	keys := "in memory"
	if opts.RedisHost != "" {
		keys = "in the Redis on " + opts.redis().Addr
	}
	fmt.Fprintf(out, "stand-in gateway listens on %s, loads from %s, keeps keys %s\nCtrl-C stops it\n",
		gateway.URL(), opts.Dashboard, keys)
	select {
	case <-ctx.Done():
	case <-gateway.Done():
		return fmt.Errorf("the gateway process ended as a real gateway's would: %w", gateway.Crashed())
	}
	if err := gateway.Stop(); err != nil {
		fmt.Fprintf(out, "stopped, but deregistering from gatehouse failed: %v\n", err)
		return nil
	}
	fmt.Fprintln(out, "stopped")
	return nil
}

// redis returns the options of the Redis client, or nil without a Redis.
func (o options) redis() *redis.Options {
	if o.RedisHost == "" {
		return nil
	}
	return &redis.Options{
		Addr:                     net.JoinHostPort(o.RedisHost, strconv.Itoa(int(o.RedisPort))),
		Password:                 o.RedisPassword,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}
