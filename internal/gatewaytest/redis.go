package gatewaytest

import (
	"bytes"
	"context"
	"errors"
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

	"gatehouse/internal/testport"
	"gatehouse/internal/testprogram"
)

const (
	// redisStartTimeout is how long a redis-server may take to answer. It takes 50 ms on an idle machine.
	redisStartTimeout = time.Minute
	// redisPollInterval is the time between two checks of a starting redis-server.
	redisPollInterval = 10 * time.Millisecond
)

// Redis is a redis-server on a loopback port, without persistence, that ends with its test.
type Redis struct {
	t        testing.TB
	program  string
	dir      string
	port     int
	busPort  int // where the nodes of a cluster reach it; 0: it is in no cluster
	password string

	mu      sync.Mutex // guards running
	running *redisProcess
}

type redisProcess struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	exited chan struct{}
}

// RedisOption is an option of StartRedis.
type RedisOption func(*Redis)

// WithPassword sets the password of the server. It must not contain white space or quotes.
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
	if r.port, err = testport.Reserve(); err == nil {
		err = r.start()
	}
	if err != nil {
		t.Fatalf("redis-server did not start: %v", err)
	}
	return r
}

// Addr returns the address on which the server listens, also while it is killed.
func (r *Redis) Addr() (host string, port int) { return "127.0.0.1", r.port }

// Password returns the password of the server, or "".
func (r *Redis) Password() string { return r.password }

// Kill kills the server, if it runs: connections break and its data is lost.
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

// Restart kills the server, if it runs, and starts an empty one on the same port.
func (r *Redis) Restart() {
	r.t.Helper()
	r.Kill()
	if err := r.start(); err != nil {
		r.t.Fatalf("redis-server did not restart: %v", err)
	}
}

// Client returns a new client, which is closed at the end of the test.
func (r *Redis) Client() *redis.Client {
	client := redis.NewClient(r.Options())
	r.t.Cleanup(func() { _ = client.Close() })
	return client
}

// Options returns the options of a client, or nil for a nil Redis. They fail fast: a test that kills the server waits
// for the failure.
func (r *Redis) Options() *redis.Options {
	if r == nil {
		return nil
	}
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
	// Pass the configuration by stdin, so that the password is not in the list of processes.
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
	if r.busPort != 0 {
		fmt.Fprintf(&b, "cluster-enabled yes\ncluster-port %d\n", r.busPort)
	}
	return b.Bytes()
}

func (r *Redis) waitReady(process *redisProcess) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.t.Context()), redisStartTimeout)
	defer cancel()
	client := redis.NewClient(r.Options())
	defer func() { _ = client.Close() }()
	for {
		var info string
		err := dial(ctx, r.Options().Addr) // first: the client logs every refused connection
		if err == nil {
			info, err = client.Info(ctx, "server").Result()
		}
		// The server may be one of another test that took the port first.
		if err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", process.cmd.Process.Pid)) {
			return nil
		}
		select {
		case <-process.exited:
			return errors.Join(fmt.Errorf("redis-server on port %d ended", r.port), err)
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("redis-server on port %d does not answer", r.port), err)
		case <-time.After(redisPollInterval):
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
