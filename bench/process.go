package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// stopTimeout is how long a server may take to stop. It is longer than gatehouse waits for requests in progress.
const stopTimeout = 20 * time.Second

// process is a running server.
type process struct {
	name    string
	address string
	handle  *os.Process
	// idle is the resident memory in bytes after the first response.
	idle int64
	// exited receives the result of the process.
	exited chan error
}

// listenPattern matches the address of a server in its standard output.
var listenPattern = regexp.MustCompile(`listens on http://(\S+)`)

// start starts a server on a database and waits for its first response.
func (b *bench) start(ctx context.Context, name, conn string) (*process, error) {
	return b.startCommand(ctx, name, b.command(name, conn))
}

// startCommand starts a server with a command and waits for its first response.
func (b *bench) startCommand(ctx context.Context, name string, cmd *exec.Cmd) (*process, error) {
	p, err := b.spawn(name, cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := p.awaitHello(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not respond: %w: %s", name, err, b.logTail(name)), p.stop(ctx))
	}
	p.idle = residentMemory(p.handle.Pid)
	return p, nil
}

// command returns the command that runs a server. gatehouse without a connection string starts a private Postgres.
func (b *bench) command(name, conn string) *exec.Cmd {
	if name != gatehouse {
		pool := strconv.Itoa(b.poolSize(name))
		return exec.Command(b.executable(name), "-max-connections", pool, "-database-url", conn)
	}
	args := []string{
		"serve", "--listen=127.0.0.1:0", "--admin-secret=" + adminSecret, "--node-secret=" + nodeSecret,
		"--data-dir=" + filepath.Join(b.dir, "data"),
	}
	if conn != "" {
		args = append(args, "--database-url="+conn)
	}
	return exec.Command(b.executable(gatehouse), args...)
}

// spawn starts a server and reads its address. The server ends when this program ends, even if it is killed (on Linux).
// Its log is written to a file, as a supervisor does.
func (b *bench) spawn(name string, cmd *exec.Cmd) (*process, error) {
	log, err := os.OpenFile(b.logPath(name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = writer, log, endWithParent()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	p := &process{name: name, exited: make(chan error, 1)}
	started := make(chan error)
	go func() {
		// The kernel ends the child when the thread that started it ends, so keep the thread. Afterwards it is given back:
		// other children may be its own, too.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- errors.Join(err, writer.Close())
		if err == nil {
			p.exited <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	p.handle = cmd.Process
	if p.address, err = readAddress(reader); err != nil {
		return nil, errors.Join(err, fmt.Errorf("%w: %s", <-p.exited, b.logTail(name)))
	}
	return p, nil
}

// readAddress returns the address in the output of a server, and discards the rest of the output until the server ends.
func readAddress(printed *os.File) (string, error) {
	lines := bufio.NewScanner(printed)
	for lines.Scan() {
		if found := listenPattern.FindStringSubmatch(lines.Text()); found != nil {
			go func() {
				defer printed.Close()
				_, _ = io.Copy(io.Discard, printed)
			}()
			return found[1], nil
		}
	}
	return "", errors.Join(errors.New("no address in its output"), lines.Err(), printed.Close())
}

// awaitHello sends GET /hello until the server listens.
func (p *process) awaitHello(ctx context.Context) error {
	const limit, pause = 10 * time.Second, 5 * time.Millisecond
	for started := time.Now(); ; {
		err := p.requestHello(ctx)
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(started) > limit || !sleep(ctx, pause) {
			return err
		}
	}
}

// requestHello sends GET /hello, and returns an error unless the response has status 200.
func (p *process) requestHello(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/hello", nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET /hello: %s", response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// stop ends a server with SIGTERM, and with SIGKILL if it has not ended after stopTimeout.
func (p *process) stop(ctx context.Context) error {
	_ = p.handle.Signal(syscall.SIGTERM) // fails if it has ended
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	select {
	case err := <-p.exited:
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		return nil
	case <-limit.Done():
		return errors.Join(fmt.Errorf("%s did not stop in %s", p.name, stopTimeout), p.handle.Kill(), <-p.exited)
	}
}

// servers holds running servers by name.
type servers map[string]*process

// startAll starts the named servers on a database.
func (b *bench) startAll(ctx context.Context, conn string, names ...string) (servers, error) {
	running := servers{}
	for _, name := range names {
		p, err := b.start(ctx, name, conn)
		if err != nil {
			return nil, errors.Join(err, running.stop(ctx))
		}
		running[name] = p
	}
	return running, nil
}

// stop stops all servers.
func (s servers) stop(ctx context.Context) error {
	var all []error
	for _, p := range s {
		all = append(all, p.stop(ctx))
	}
	return errors.Join(all...)
}

// executable returns the path of a server's executable.
func (b *bench) executable(name string) string { return filepath.Join(b.programs, name) }

func (b *bench) logPath(name string) string { return filepath.Join(b.dir, name+".log") }

// logTail returns the end of the log of a server, for an error message.
func (b *bench) logTail(name string) string {
	const tail = 2 << 10
	text, err := os.ReadFile(b.logPath(name))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-tail):])
}

// poolSize returns the size of the connection pool of a server: 0, pgx's default, for stock, and otherwise the size at
// which bare is fastest.
func (b *bench) poolSize(name string) int {
	if name == stock {
		return 0
	}
	return b.pool
}
