package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"gatehouse/internal/gatewaystandin"
	"gatehouse/internal/postgrespair"
	"gatehouse/internal/testport"
)

const (
	adminSecret   = "the-admin-secret-of-the-chaos"
	nodeSecret    = "the-node-secret-of-the-chaos"
	controlSecret = "the-control-secret-of-the-chaos"
	database      = "gatehouse"
	// maxRecovery is how long the servers may take to work again after a round's actions, on a busy machine.
	maxRecovery = time.Minute
)

// world is the set of running programs: a pair of Postgres, two servers, two gateways and their Redis, and the proxies
// between them.
type world struct {
	dir      string
	report   *report
	mu       sync.Mutex // guards programs; held for one access
	programs [2]string  // the programs that the servers run when they are started next

	pair     *postgrespair.Pair
	redis    *supervised
	redisAt  string
	servers  [2]*server
	gateways [2]*gatewaystandin.Gateway
	// controlPort is the port of the control API that servers use: that of the first gateway, which keeps its port.
	controlPort string

	databases   [2][2]*proxy // of each server to each node
	replication [2]*proxy    // to each node, from the other
	redises     [2]*proxy    // of each server
	dashboards  [2]*proxy    // of each gateway to a server
}

// server is a gatehouse.
type server struct {
	*supervised

	name    string
	address string
	front   *proxy // between the clients and the server
}

// newWorld starts everything. It returns when the servers are ready.
func newWorld(ctx context.Context, dir, program string, report *report) (*world, error) {
	w := &world{dir: dir, programs: [2]string{program, program}, report: report}
	for _, start := range []func(context.Context) error{w.startPair, w.startRedis, w.startGateways, w.startServers} {
		if err := start(ctx); err != nil {
			return w, err
		}
	}
	return w, w.waitReady(ctx)
}

func (w *world) startPair(ctx context.Context) (err error) {
	via := func(node *postgrespair.Node) string {
		for i, each := range w.pair.Nodes() {
			if each == node && w.replication[i] != nil {
				return w.replication[i].address()
			}
		}
		return node.Address()
	}
	if w.pair, err = postgrespair.New(ctx, postgrespair.Config{Dir: w.dir, Via: via}); err != nil {
		return err
	}
	for i, node := range w.pair.Nodes() {
		if w.replication[i], err = newProxy(node.Address()); err != nil {
			return err
		}
	}
	if err := w.pair.Start(ctx); err != nil {
		return err
	}
	primary := w.pair.Primary()
	return errors.Join(primary.SQL(ctx, "postgres", "CREATE DATABASE "+database),
		primary.SQL(ctx, database, "CREATE EXTENSION amcheck"))
}

func (w *world) startRedis(context.Context) (err error) {
	logging.Disable() // go-redis logs to standard error when the Redis is killed
	if w.redisAt, err = testport.Address(); err != nil {
		return err
	}
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("redis-server is missing (make programs-to-test installs it): %w", err)
	}
	_, port, _ := net.SplitHostPort(w.redisAt)
	w.redis, err = supervise("redis", w.path("redis.log"), w.report, func() *exec.Cmd {
		cmd := exec.Command(program, "-")
		cmd.Dir = w.dir
		cmd.Stdin = strings.NewReader("bind 127.0.0.1\nport " + port + "\nsave \"\"\nappendonly no\n")
		return cmd
	})
	return err
}

// redisOptions returns the options of a client of the gateways' Redis.
func (w *world) redisOptions() *redis.Options {
	return &redis.Options{
		Addr:                     w.redisAt,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

func (w *world) startServers(context.Context) error {
	for i, s := range w.servers {
		var err error
		log := w.path("server-" + s.name + ".log")
		if s.supervised, err = supervise("server "+s.name, log, w.report, w.command(i)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) newServer(i int) (*server, error) {
	s := &server{name: string(rune('a' + i))}
	var err error
	if s.address, err = testport.Address(); err != nil {
		return nil, err
	}
	if s.front, err = newProxy(s.address); err != nil {
		return nil, err
	}
	for n, node := range w.pair.Nodes() {
		if w.databases[i][n], err = newProxy(node.Address()); err != nil {
			return nil, err
		}
	}
	if w.redises[i], err = newProxy(w.redisAt); err != nil {
		return nil, err
	}
	if w.dashboards[i], err = newProxy(s.address); err != nil {
		return nil, err
	}
	return s, nil
}

// command returns a function that makes the command of a server.
func (w *world) command(i int) func() *exec.Cmd {
	s := w.servers[i]
	host, port, _ := net.SplitHostPort(w.redises[i].address())
	return func() *exec.Cmd {
		cmd := exec.Command(w.program(i), "serve")
		cmd.Env = append(environment(),
			"DATABASE_URL="+w.pair.URL(database, w.databases[i][0].address(), w.databases[i][1].address()),
			"GATEHOUSE_LISTEN="+s.address, "GATEHOUSE_DATA_DIR="+w.path("data-"+s.name), "GATEHOUSE_SPOOL_DIR="+w.dir,
			"TYK_DB_ADMINSECRET="+adminSecret, "TYK_DB_NODESECRET="+nodeSecret,
			"TYK_DB_REDISHOST="+host, "TYK_DB_REDISPORT="+port,
			"TYK_DB_TYKAPI_HOST=http://127.0.0.1", "TYK_DB_TYKAPI_PORT="+w.controlPort, "TYK_DB_TYKAPI_SECRET="+controlSecret,
			"TYK_DB_AUDIT_ENABLED=false")
		return cmd
	}
}

func (w *world) program(i int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.programs[i]
}

// replace stops a server as a supervisor does, and starts another program in its place. It returns when that is ready.
func (w *world) replace(ctx context.Context, i int, program string) error {
	w.mu.Lock()
	w.programs[i] = program
	w.mu.Unlock()
	s := w.servers[i]
	if err := s.restart(); err != nil {
		return err
	}
	return w.waitReady(ctx)
}

// environment returns the environment of this process without the variables that configure a server.
func environment() []string {
	var env []string
	for _, each := range os.Environ() {
		own := func(prefix string) bool { return strings.HasPrefix(each, prefix) }
		if !slices.ContainsFunc([]string{"GATEHOUSE_", "TYK_DB_", "DATABASE_URL="}, own) {
			env = append(env, each)
		}
	}
	return env
}

// startGateways starts the gateways before the servers, whose configuration has the port of the control API. Gateways
// wait for their servers.
func (w *world) startGateways(ctx context.Context) error {
	for i := range w.servers {
		s, err := w.newServer(i)
		if err != nil {
			return err
		}
		w.servers[i] = s
	}
	for i := range w.gateways {
		log, err := os.Create(w.path("gateway-" + w.servers[i].name + ".log"))
		if err != nil {
			return err
		}
		// The log stays open until this process ends: the gateway is a part of it.
		w.gateways[i], err = gatewaystandin.Start(context.WithoutCancel(ctx), gatewaystandin.Config{
			DashboardURL: "http://" + w.dashboards[i].address(), NodeSecret: nodeSecret, ControlSecret: controlSecret,
			Version:  gatewaystandin.Versions()[i], // one of each
			Hostname: "gateway-" + w.servers[i].name, EnforceOrgQuotas: true,
			Redis: w.redisOptions(),
			Log:   slog.New(slog.NewTextHandler(log, nil)),
			// A tenth of the intervals of a real gateway, so that a round takes seconds.
			PingInterval: 200 * time.Millisecond, RetryInterval: 500 * time.Millisecond, RedisPause: time.Second,
			RecoveryWindow: time.Second, ReloadInterval: 100 * time.Millisecond,
		})
		if err != nil {
			return err
		}
	}
	var err error
	_, w.controlPort, err = net.SplitHostPort(strings.TrimPrefix(w.gateways[0].URL(), "http://"))
	return err
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// proxies returns all proxies.
func (w *world) proxies() (all []*proxy) {
	for i := range w.servers {
		all = append(all, w.databases[i][0], w.databases[i][1], w.replication[i], w.redises[i], w.dashboards[i])
		if w.servers[i] != nil {
			all = append(all, w.servers[i].front)
		}
	}
	return all
}

// heal ends all disturbances: connections work, all nodes and gateways run, and servers that were asked to stop have
// ended.
func (w *world) heal(ctx context.Context) error {
	for _, each := range w.proxies() {
		each.heal()
	}
	for _, node := range w.pair.Nodes() {
		if err := node.Thaw(); err != nil {
			return err
		}
	}
	if err := w.pair.Primary().Start(ctx); err != nil {
		return err
	}
	if err := w.pair.Standby().Start(ctx); err != nil {
		return err
	}
	if err := w.pair.WaitStreaming(ctx); err != nil {
		return err
	}
	for _, s := range w.servers {
		if _, err := s.waitTerminated(); err != nil {
			w.report.failf("%v", err)
		}
	}
	for _, gateway := range w.gateways {
		select {
		case <-gateway.Done():
			if err := gateway.Crashed(); err != nil {
				return fmt.Errorf("a gateway crashed: %w", err)
			}
			if err := gateway.Restart(); err != nil {
				return err
			}
		default:
		}
	}
	return nil
}

// waitReady waits until both servers are ready.
func (w *world) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxRecovery)
	defer cancel()
	return waitFor(ctx, func() error {
		for _, s := range w.servers {
			if err := s.ready(ctx); err != nil {
				return fmt.Errorf("server %s is not ready: %w", s.name, err)
			}
		}
		return nil
	})
}

// ready returns an error unless the server is ready. It does not use the proxy.
func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/ready", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		var body bytes.Buffer
		_, _ = body.ReadFrom(response.Body)
		return fmt.Errorf("%s: %.300s", response.Status, body.String())
	}
	return nil
}

// stop ends the servers with SIGTERM, which must succeed.
func (w *world) stop() error {
	var problems []error
	for _, s := range w.servers {
		problems = append(problems, s.stop())
	}
	return errors.Join(problems...)
}

// close kills all programs.
func (w *world) close() {
	for _, gateway := range w.gateways {
		if gateway != nil {
			gateway.Close()
		}
	}
	for _, s := range w.servers {
		if s != nil && s.supervised != nil {
			s.destroy()
		}
	}
	if w.redis != nil {
		w.redis.destroy()
	}
	for _, each := range w.proxies() {
		if each != nil {
			each.close()
		}
	}
	if w.pair != nil {
		_ = w.pair.Close()
	}
}
