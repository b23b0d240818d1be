package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// headerTimeout is how long a client may take to send the headers of a request, and idleTimeout how long it may be
	// silent between two requests.
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// requestTimeout is how long a request may take with its response. Bodies and lists, which may take longer, extend it
	// as long as their client sends or reads at the minimum rate (Limits.BodyTimeout).
	requestTimeout = 10 * time.Minute
	// stopTimeout is how long requests may take that run when ListenAndServe is stopped.
	stopTimeout = 15 * time.Second
)

// ListenAndServe serves HTTP on an address, such as 127.0.0.1:8080, until ctx ends. Then it accepts no more requests,
// and returns when those that run have ended. After 15 seconds, it closes the connections of those that still run, and
// returns an error. It is for programs without TLS or limits of connections; others use http.Server.
func ListenAndServe(ctx context.Context, address string, handler http.Handler, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "listening", "url", "http://"+listener.Addr().String())
	return serve(ctx, listener, &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}, stopTimeout)
}

// serve serves until ctx ends. Requests that run then have so much time.
func serve(ctx context.Context, listener net.Listener, server *http.Server, timeout time.Duration) error {
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	err := server.Shutdown(stopping)
	if err != nil {
		err = fmt.Errorf("requests were still running, and are broken off: %w", err)
	}
	return errors.Join(err, server.Close())
}
