package gatewaytest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"gatehouse/internal/testprogram"
)

const (
	// redisStartWithin is how long a redis-server may take to answer its first INFO; it takes some 50 ms on an idle
	// machine, the rest is for a busy one.
	redisStartWithin = 15 * time.Second
	// redisStartAttempts bounds the races for a free port that another process won.
	redisStartAttempts = 5
	// redisPollEvery is how often a starting redis-server is asked.
	redisPollEvery = 10 * time.Millisecond
)

// Redis is a redis-server of one test: on a loopback port, without persistence, gone with the test.
type Redis struct {
	t        testing.TB
	program  string
	dir      string
	port     int
	password string

	mu      sync.Mutex
	running *redisProcess
}

type redisProcess struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	exited chan struct{}
}

// RedisOption changes how StartRedis sets the server up.
type RedisOption func(*Redis)

// WithPassword makes the server ask for a password. It must not contain white space or quotes.
func WithPassword(password string) RedisOption {
	return func(r *Redis) { r.password = password }
}

// StartRedis starts a redis-server and waits until it answers. Without redis-server on the machine the test is skipped,
// or fails in CI: see testprogram.Need.
func StartRedis(t testing.TB, options ...RedisOption) *Redis {
	t.Helper()
	r := &Redis{t: t, program: testprogram.Need(t, "redis-server"), dir: t.TempDir()}
	for _, option := range options {
		option(r)
	}
	t.Cleanup(r.Kill)
	var err error
	for range redisStartAttempts {
		r.port = freePort(t)
		if err = r.start(); err == nil {
			return r
		}
	}
	t.Fatalf("redis-server did not start: %v", err)
	return nil
}

// Addr is where the server listens, also while it is killed.
func (r *Redis) Addr() (host string, port int) { return "127.0.0.1", r.port }

// Password is what the server asks for; empty if nothing.
func (r *Redis) Password() string { return r.password }

// Kill ends the server with SIGKILL: connections break, data is lost. Killing a dead server does nothing.
func (r *Redis) Kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		return
	}
	_ = r.running.cmd.Process.Kill()
	<-r.running.exited
	r.running = nil
}

// Restart kills the server if it runs and starts an empty one on the same port.
func (r *Redis) Restart() {
	r.t.Helper()
	r.Kill()
	if err := r.start(); err != nil {
		r.t.Fatalf("redis-server did not restart: %v", err)
	}
}

// Client is a new client of this server, closed with the test.
func (r *Redis) Client() *redis.Client {
	client := redis.NewClient(r.options())
	r.t.Cleanup(func() { _ = client.Close() })
	return client
}

// options fail fast: a test that takes Redis away waits for the failure.
func (r *Redis) options() *redis.Options {
	return &redis.Options{
		Addr:                     net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)),
		Password:                 r.password,
		MaxRetries:               1,
		DialerRetries:            1,
		DialTimeout:              time.Second,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

func (r *Redis) start() error {
	process := &redisProcess{exited: make(chan struct{})}
	// The configuration goes in by stdin, so that the password is not in the process list.
	process.cmd = exec.Command(r.program, "-")
	process.cmd.Dir = r.dir
	process.cmd.Stdin = bytes.NewReader(r.configuration())
	process.cmd.Stdout = &process.output
	process.cmd.Stderr = &process.output
	process.cmd.SysProcAttr = dieWithParent()
	if err := process.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = process.cmd.Wait()
		close(process.exited)
	}()
	if err := r.waitReady(process); err != nil {
		_ = process.cmd.Process.Kill()
		<-process.exited
		return fmt.Errorf("%w\n%s", err, process.output.String())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = process
	return nil
}

func (r *Redis) configuration() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "bind 127.0.0.1\nport %d\nsave \"\"\nappendonly no\ndaemonize no\n", r.port)
	if r.password != "" {
		fmt.Fprintf(&b, "requirepass %s\n", r.password)
	}
	return b.Bytes()
}

func (r *Redis) waitReady(process *redisProcess) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.t.Context()), redisStartWithin)
	defer cancel()
	client := redis.NewClient(r.options())
	defer func() { _ = client.Close() }()
	for {
		var info string
		err := dial(ctx, r.options().Addr) // first, because the client writes a line to stderr for every refusal
		if err == nil {
			info, err = client.Info(ctx, "server").Result()
		}
		// Another test's server may have won the port: only ours counts.
		if err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", process.cmd.Process.Pid)) {
			return nil
		}
		select {
		case <-process.exited:
			return fmt.Errorf("redis-server on port %d ended: %v", r.port, err)
		case <-ctx.Done():
			return fmt.Errorf("redis-server on port %d does not answer: %v", r.port, err)
		case <-time.After(redisPollEvery):
		}
	}
}

func dial(ctx context.Context, address string) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return connection.Close()
}

// freePort is a loopback port that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("no free loopback port: %v", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}
