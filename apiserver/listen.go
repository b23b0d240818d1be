package apiserver

import (
	"context"
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
	// stopTimeout is how long requests may take that run when ListenAndServe is stopped.
	stopTimeout = 15 * time.Second
)

// ListenAndServe serves HTTP on an address, such as 127.0.0.1:8080, until ctx ends. Then it accepts no more requests,
// and returns when those that run have ended, or after 15 seconds with an error. It is for programs without TLS or
// limits of connections; others use http.Server.
func ListenAndServe(ctx context.Context, address string, handler http.Handler, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	log.InfoContext(ctx, "listening", "url", "http://"+listener.Addr().String())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return server.Shutdown(stopping)
}
