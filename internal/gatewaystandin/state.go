package gatewaystandin

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// state is what a gateway's process has loaded and recorded since it started.
type state struct {
	cfg       Config
	startedAt time.Time

	mu       sync.RWMutex // guards the fields up to crash
	loaded   *configuration
	policies map[string]policy // by effective ID
	crash    error

	// started reports that the two reloads of a start are done, ready that a reload has succeeded.
	started, ready                      atomic.Bool
	deadlocked, subscribed, dashboardUp atomic.Bool
	registrations, reloads, purges      atomic.Int64
	// heartbeats counts those that the dashboard has answered since it registered the node.
	heartbeats atomic.Int64
	// beforeHeartbeat reports that the node deadlocked before the first of them.
	beforeHeartbeat atomic.Bool

	reloadErrors record[string]
	calls        record[Call]
	notices      record[Notice]
}

func newState(cfg Config) *state {
	return &state{cfg: cfg, startedAt: time.Now(), loaded: &configuration{}}
}

func (s *state) config() *configuration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.loaded
}

func (s *state) setConfig(c *configuration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = c
}

func (s *state) policy(id string) (policy, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, ok := s.policies[id]
	return found, ok
}

func (s *state) setPolicies(policies map[string]policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies = policies
}

// policyIDs returns the sorted effective IDs of the policies.
func (s *state) policyIDs() []string { return slices.Sorted(maps.Keys(s.policyNames())) }

// policyNames returns the names of the policies by effective ID.
func (s *state) policyNames() map[string]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := make(map[string]string, len(s.policies))
	for id, each := range s.policies {
		names[id] = each.Name
	}
	return names
}

func (s *state) crashed() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.crash
}

func (s *state) setCrash(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crash = err
}
