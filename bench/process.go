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

const (
	// stopLimit is how long a server may take to stop: longer than gatehouse's own patience with requests.
	stopLimit = 20 * time.Second
)

// process is a server that runs.
type process struct {
	name    string
	address string
	handle  *os.Process
	// idle is the resident memory in bytes after the first answer.
	idle   int64
	exited chan error
}

// announced is how a server tells its address on standard output.
var announced = regexp.MustCompile(`listens on http://(\S+)`)

// start runs a server on a database and returns when it has answered once.
func (b *bench) start(ctx context.Context, name, conn string) (*process, error) {
	cmd := b.command(name, conn)
	p, err := b.spawn(name, cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := p.firstAnswer(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not answer: %w: %s", name, err, b.logOf(name)), p.stop(ctx))
	}
	p.idle = residentMemory(p.handle.Pid)
	return p, nil
}

// command is how a server is run. gatehouse without a connection string starts a private Postgres.
func (b *bench) command(name, conn string) *exec.Cmd {
	if name != gatehouse {
		return exec.Command(b.executable(name), "-max-connections", strconv.Itoa(b.poolOf(name)), "-database-url", conn)
	}
	args := []string{"serve", "--listen=127.0.0.1:0", "--admin-secret=" + adminSecret, "--node-secret=" + nodeSecret, "--data-dir=" + filepath.Join(b.dir, "data")}
	if conn != "" {
		args = append(args, "--database-url="+conn)
	}
	return exec.Command(b.executable(gatehouse), args...)
}

// spawn starts a server that ends with this program, however this one ends, and reads its address. Its log goes to a
// file, as a supervisor would have it.
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
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = writer, log, tiedToUs()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	p := &process{name: name, exited: make(chan error, 1)}
	started := make(chan error)
	go func() {
		// The kernel ties the child to the thread that started it, so the thread must live as long as the child.
		runtime.LockOSThread()
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
		return nil, errors.Join(err, fmt.Errorf("%w: %s", <-p.exited, b.logOf(name)))
	}
	return p, nil
}

// readAddress finds the address in what a server prints, and reads the rest away until the server ends.
func readAddress(printed *os.File) (string, error) {
	lines := bufio.NewScanner(printed)
	for lines.Scan() {
		if found := announced.FindStringSubmatch(lines.Text()); found != nil {
			go func() {
				defer printed.Close()
				_, _ = io.Copy(io.Discard, printed)
			}()
			return found[1], nil
		}
	}
	return "", errors.Join(errors.New("it told no address"), lines.Err(), printed.Close())
}

// firstAnswer waits for the first 200.
func (p *process) firstAnswer(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/hello", nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext}).RoundTrip(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET /hello: %s", answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// stop asks a server to stop, and kills it if it takes too long.
func (p *process) stop(ctx context.Context) error {
	_ = p.handle.Signal(syscall.SIGTERM) // it may have ended by itself
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	select {
	case err := <-p.exited:
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		return nil
	case <-patience.Done():
		return errors.Join(fmt.Errorf("%s did not stop in %s", p.name, stopLimit), p.handle.Kill(), <-p.exited)
	}
}

// servers are the contenders on one database.
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

func (s servers) stop(ctx context.Context) error {
	var all []error
	for _, p := range s {
		all = append(all, p.stop(ctx))
	}
	return errors.Join(all...)
}

func (b *bench) logPath(name string) string { return filepath.Join(b.dir, name+".log") }

// logOf is the end of a server's log, for an error.
func (b *bench) logOf(name string) string {
	const tail = 2 << 10
	text, err := os.ReadFile(b.logPath(name))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-tail):])
}

// poolOf is the size of an alternative's pool: bare's best, and for stock pgx's own choice.
func (b *bench) poolOf(name string) int {
	if name == stock {
		return 0
	}
	return b.pool
}
