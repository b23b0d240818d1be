package contractcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Timeouts of the servers. Bodies may take as long as they take: a proxy knows neither its clients nor its server.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// drainTimeout is how long requests in progress may run on after Ctrl-C.
	drainTimeout = 5 * time.Second
)

// listening serves requests until ctx ends.
type listening struct {
	address string
	handler http.Handler
	// announce is the format of the line that says where the server listens.
	announce string
	out      io.Writer
}

func (l listening) serve(ctx context.Context) error {
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	web := &http.Server{Handler: l.handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout}
	fmt.Fprintf(l.out, l.announce+"\n", "http://"+listener.Addr().String())
	serving := make(chan error, 1)
	var server sync.WaitGroup
	defer server.Wait()
	server.Go(func() { serving <- web.Serve(listener) })
	select {
	case err = <-serving:
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if web.Shutdown(drain) != nil { // requests that do not end are ended
		return errors.Join(err, web.Close())
	}
	return err
}

// checkMaxBody returns an error for a size that would leave all bodies unread.
func checkMaxBody(size int64) error {
	if size < 1 {
		return fmt.Errorf("--max-body: %d is less than 1", size)
	}
	return nil
}

// lines writes lines of several goroutines.
type lines struct {
	mu  sync.Mutex // guards out, for the time of one line
	out io.Writer
}

func (l *lines) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, format+"\n", args...)
}
