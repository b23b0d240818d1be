package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/connlimit"
	"gatehouse/internal/remoteaddr"
	"gatehouse/server"
)

// listeners are where the server is reached.
type listeners struct {
	main net.Listener
	// diagnostics is for metrics and profiles; nil if they are served with everything else.
	diagnostics net.Listener
}

// listen opens the listeners.
func listen(cfg config.Server) (l listeners, err error) {
	if l.main, err = net.Listen("tcp", cfg.Address()); err != nil {
		return l, fmt.Errorf("listen: %w", err)
	}
	if cfg.AdminListen == "" {
		return l, nil
	}
	if l.diagnostics, err = net.Listen("tcp", cfg.AdminListen); err != nil {
		l.close()
		return l, fmt.Errorf("listen for metrics and profiles: %w", err)
	}
	return l, nil
}

// close closes listeners that no site has closed.
func (l listeners) close() {
	_ = l.main.Close()
	if l.diagnostics != nil {
		_ = l.diagnostics.Close()
	}
}

// sites returns the sites of a server.
func (l listeners) sites(handler *server.Server, c siteConfig) []*site {
	all := []*site{newSite(l.main, handler, c)}
	if l.diagnostics != nil {
		c.opened = func(int) {}
		all = append(all, newSite(l.diagnostics, handler.Diagnostics(), c))
	}
	return all
}

// site is an address at which the server is reached.
type site struct {
	listener *connlimit.Listener
	web      *http.Server
}

// siteConfig is what the sites of a server have in common.
type siteConfig struct {
	cfg *config.Config
	tls *tls.Config // nil without TLS
	// listed reports whether a line about a client is written to the log.
	listed func(client netip.Prefix) bool
	// opened is called with the number of connections to the main listener, as connlimit.Config says.
	opened func(connections int)
	log    *slog.Logger
}

// newSite returns a site that serves the requests of a listener.
func newSite(l net.Listener, handler http.Handler, c siteConfig) *site {
	limited := limitConnections(l, c)
	return &site{
		listener: limited,
		web: &http.Server{
			Handler: connlimit.Requests(handler, http.HandlerFunc(refuseRequest)), HTTP2: http2Limits(),
			ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
			IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, TLSConfig: c.tls,
			ConnState: limited.ConnState, ConnContext: limited.ConnContext,
			ErrorLog:                     slog.NewLogLogger(clientLines{c.log.Handler(), c.listed}, slog.LevelWarn),
			DisableGeneralOptionsHandler: true, // OPTIONS * is an unknown request like any other
		},
	}
}

// Limits of a connection of HTTP/2. Go's defaults are a megabyte for the body of each request that nobody reads yet, a
// megabyte for the frame that is read, and 250 requests: a client without a credential could fill gigabytes.
const (
	// maxConcurrentRequests is the least that RFC 9113 recommends.
	maxConcurrentRequests = 100
	// receiveBuffer is how many bytes of bodies a connection holds that nobody has read. A client sends as much in a round
	// trip: 6 MB a second with one of 20 ms. 512 connections hold 64 MiB.
	receiveBuffer = 128 << 10
	// maxFrame is the least that HTTP/2 allows.
	maxFrame = 16 << 10
)

func http2Limits() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams: maxConcurrentRequests, MaxReadFrameSize: maxFrame,
		MaxReceiveBufferPerConnection: receiveBuffer, MaxReceiveBufferPerStream: receiveBuffer,
	}
}

// refuseRequest responds to a request of HTTP/2 of a client that has too many in progress. It has neither read nor done
// anything. The response has no body, so that it ends although the client receives no more.
func refuseRequest(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
}

// serve serves requests until the site is shut down, or its listener fails.
func (s *site) serve() error {
	if s.web.TLSConfig != nil {
		return s.web.ServeTLS(s.listener, "", "")
	}
	return s.web.Serve(s.listener)
}

// shutDown waits for the requests in progress until ctx ends, which is after the timeout, and for those that are not
// authenticated for strangersTimeout.
func (s *site) shutDown(ctx context.Context, timeout time.Duration) error {
	strangersCtx, stopWaiting := context.WithTimeout(ctx, strangersTimeout)
	var closing sync.WaitGroup
	defer closing.Wait()
	defer stopWaiting()
	closing.Go(func() { <-strangersCtx.Done(); s.listener.CloseStrangers() })
	if err := s.web.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests still in progress after %s: %w", timeout, err), s.web.Close())
	}
	return nil
}

// limitConnections returns a listener with the limits of the configuration.
func limitConnections(l net.Listener, c siteConfig) *connlimit.Listener {
	proxies, limits := remoteaddr.Proxies(c.cfg.Server.TrustedProxies), c.cfg.Limits
	return connlimit.NewListener(l, connlimit.Config{
		Total: limits.MaxConnections, PerClient: limits.MaxConnectionsPerAddress, Opened: c.opened,
		Log: c.log, Now: time.Now,
		Client: func(remote net.Addr) (client netip.Prefix, exempt bool) {
			address := remoteaddr.OfConn(remote)
			return remoteaddr.Network(address), proxies.Contains(address)
		},
	})
}
