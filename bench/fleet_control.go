package main

import (
	"context"
	"net"
	"net/http"
	"time"
)

// controlSecret is the secret of the control API of the simulated gateways.
const controlSecret = "bench-control-secret"

// controlAPI is the control API of one of the simulated gateways, through which the server notifies all of them.
type controlAPI struct {
	listener net.Listener
	server   *http.Server
}

// startControlAPI starts a control API on a free port of loopback. It calls notify for a notice.
func startControlAPI(ctx context.Context, notify func(time.Time)) (*controlAPI, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, text string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(text)) // the server repeats a request that fails
	}
	mux.HandleFunc("GET /tyk/reload/group", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Tyk-Authorization") != controlSecret {
			http.Error(w, `{"status":"error","message":"Attempted administrative access with invalid or missing key!"}`,
				http.StatusForbidden)
			return
		}
		notify(time.Now())
		answer(w, `{"status":"ok","message":""}`)
	})
	// There are no keys.
	mux.HandleFunc("GET /tyk/org/keys", func(w http.ResponseWriter, _ *http.Request) { answer(w, `{"keys":[]}`) })
	c := &controlAPI{listener: listener, server: &http.Server{Handler: mux}}
	go func() { _ = c.server.Serve(listener) }() // returns http.ErrServerClosed
	return c, nil
}

func (c *controlAPI) close() error { return c.server.Close() }

// flags returns the settings with which a server notifies the gateways.
func (c *controlAPI) flags() []string {
	_, port, _ := net.SplitHostPort(c.listener.Addr().String()) // an address of net
	return []string{"--gateway-host=http://127.0.0.1", "--gateway-port=" + port, "--gateway-secret=" + controlSecret}
}
