package gatewaytest

import "sync"

// faults are what a test breaks on purpose. They outlive a restart.
type faults struct {
	mu      sync.Mutex
	status  int
	message string
}

func (f *faults) control() (status int, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, f.message
}

// SetControlError makes every call to the control API answer this status with this message in the gateway's own
// envelope; status 0 ends that. /hello, /ready and the served APIs are not touched.
func (g *Gateway) SetControlError(status int, message string) {
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	g.faults.status, g.faults.message = status, message
}

// SetControlDown takes the listener away, so that connections are refused, or brings it back on the same port. The
// gateway itself goes on: it keeps its node id, its heartbeats and its configuration. The served APIs share the
// listener and are unreachable too.
func (g *Gateway) SetControlDown(down bool) {
	g.t.Helper()
	p := g.process()
	if down {
		p.front.close()
		return
	}
	if _, err := p.front.open(p.ctx, p.front.address()); err != nil {
		g.t.Fatalf("gatewaytest: cannot listen again: %v", err)
	}
}
