package gatewaystandin

import (
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

func (s *state) policyIDs() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := make([]string, 0, len(s.policies))
	for id := range s.policies {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
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
