package gatewaystandin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// reopenTimeout is how long a port may take to become free after its listener was closed.
	reopenTimeout = 10 * time.Second
	// readHeaderTimeout disconnects clients that send no request.
	readHeaderTimeout = 10 * time.Second
)

// errProcessEnded is returned when the gateway's process has ended.
var errProcessEnded = errors.New("the gateway's process has ended")

// listener is the one listener of a gateway, for control API and served APIs.
type listener struct {
	handler http.Handler

	mu     sync.Mutex // guards the fields below
	addr   string
	server *http.Server
	served sync.WaitGroup
	ended  bool
}

// open listens on address, serves, and returns the address with its port. An open listener stays as it is. timeout is
// how long the port may take to become free; 0 is one attempt.
func (l *listener) open(ctx context.Context, address string, timeout time.Duration) (string, error) {
	if l.isOpen() {
		return l.address(), nil
	}
	var socket net.Listener
	var err error
	if !poll(ctx, timeout, func() bool {
		socket, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
		return err == nil
	}) {
		return address, fmt.Errorf("listen on %s: %w", address, errors.Join(err, ctx.Err()))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		_ = socket.Close()
		return address, errProcessEnded
	}
	l.addr = socket.Addr().String()
	server := &http.Server{
		Handler:           l.handler,
		ReadHeaderTimeout: readHeaderTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	l.server = server
	l.served.Go(func() { _ = server.Serve(socket) })
	return l.addr, nil
}

// close refuses new connections and breaks open ones.
func (l *listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.server != nil {
		_ = l.server.Close()
		l.server = nil
	}
}

// end closes the listener and does not open it again.
func (l *listener) end() {
	l.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// wait waits until the goroutine that accepts connections has returned.
func (l *listener) wait() { l.served.Wait() }

func (l *listener) isOpen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.server != nil
}

func (l *listener) address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addr
}
