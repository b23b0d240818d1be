package gatewaytest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// reopenWithin is how long a port may take to be free again after its listener was closed.
	reopenWithin = 2 * time.Second
	// readHeaderTimeout ends clients that connect and say nothing.
	readHeaderTimeout = 10 * time.Second
)

// front is the one listener of a gateway: control API and served APIs.
type front struct {
	handler http.Handler

	mu     sync.Mutex
	addr   string
	server *http.Server
	ended  bool
}

// open listens on address and serves; it answers the address with the port that was chosen. What is open stays so.
func (f *front) open(ctx context.Context, address string) (string, error) {
	if f.isOpen() {
		return f.address(), nil
	}
	var listener net.Listener
	err := errors.New("not tried")
	_ = poll(ctx, reopenWithin, func() bool {
		listener, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
		return err == nil
	})
	if err != nil {
		return address, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		_ = listener.Close()
		return address, errEnded
	}
	f.addr = listener.Addr().String()
	f.server = &http.Server{
		Handler:           f.handler,
		ReadHeaderTimeout: readHeaderTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	go func(server *http.Server) { _ = server.Serve(listener) }(f.server)
	return f.addr, nil
}

// close refuses new connections and breaks the open ones.
func (f *front) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		_ = f.server.Close()
		f.server = nil
	}
}

// end is close for good.
func (f *front) end() {
	f.close()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
}

func (f *front) isOpen() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.server != nil
}

func (f *front) address() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addr
}
