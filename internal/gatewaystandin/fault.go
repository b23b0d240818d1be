package gatewaystandin

import "sync"

// controlFault makes the control API fail. It outlives a restart.
type controlFault struct {
	mu      sync.Mutex // guards status and message
	status  int
	message string
}

// get returns the status and the message of every response; status 0 is no fault.
func (f *controlFault) get() (status int, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, f.message
}

func (f *controlFault) set(status int, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status, f.message = status, message
}
