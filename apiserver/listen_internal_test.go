package apiserver

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStopEndsConnections: a request that lasts too long is broken off when the server has stopped, so that it does not
// use what the program closes next.
func TestStopEndsConnections(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	running, ended := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(running)
		<-r.Context().Done()
		close(ended)
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stopped := make(chan error)
	go func() {
		stopped <- serve(ctx, listener, &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}, time.Millisecond)
	}()
	go func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String(), nil)
		if err != nil {
			return
		}
		if response, err := http.DefaultTransport.RoundTrip(request); err == nil {
			_ = response.Body.Close()
		}
	}()
	<-running
	stop()
	require.ErrorContains(t, <-stopped, "requests were still running")
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("the request runs on")
	}
}
