package gatewaytest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	keyPrefix = "apikey-" // + key, or its hash with HashKeys
	orgPrefix = "orgkey." // + organisation id
	// scanCount is a hint to Redis: how many keys one SCAN looks at.
	scanCount = 100
	// sessionCacheTTL is a real gateway's local session cache: 10 s.
	sessionCacheTTL = 10 * time.Second
)

// store holds keys and org keys: in Redis under the real names if there is one, else in memory. It outlives a restart
// of the gateway, as Redis does, but not the loss of Redis.
type store struct {
	redis *redis.Client // nil: memory

	mu     sync.Mutex
	memory map[string][]byte
}

func newStore(server *Redis) *store {
	s := &store{memory: map[string][]byte{}}
	if server != nil {
		s.redis = redis.NewClient(server.options())
	}
	return s
}

func (s *store) close() {
	if s.redis != nil {
		_ = s.redis.Close()
	}
}

// get answers false for what is not there, cannot be read or cannot be reached: a gateway makes no difference.
func (s *store) get(ctx context.Context, name string) (session, bool) {
	var found session
	data, ok := s.read(ctx, name)
	if !ok || json.Unmarshal(data, &found) != nil {
		return session{}, false
	}
	return found, true
}

func (s *store) read(ctx context.Context, name string) ([]byte, bool) {
	if s.redis != nil {
		data, err := s.redis.Get(ctx, name).Bytes()
		return data, err == nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.memory[name]
	return data, ok
}

func (s *store) set(ctx context.Context, name string, value session) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if s.redis != nil {
		return s.redis.Set(ctx, name, data, 0).Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory[name] = data
	return nil
}

// remove says whether there was something to remove.
func (s *store) remove(ctx context.Context, name string) bool {
	if s.redis != nil {
		n, err := s.redis.Del(ctx, name).Result()
		return err == nil && n > 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.memory[name]
	delete(s.memory, name)
	return ok
}

// names are those that begin with prefix and filter, without prefix, sorted.
func (s *store) names(ctx context.Context, prefix, filter string) []string {
	names := []string{}
	for _, name := range s.all(ctx, prefix) {
		if rest, ok := strings.CutPrefix(name, prefix); ok && strings.HasPrefix(rest, filter) {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *store) all(ctx context.Context, prefix string) []string {
	var names []string
	if s.redis != nil {
		scan := s.redis.Scan(ctx, 0, prefix+"*", scanCount).Iterator()
		for scan.Next(ctx) {
			names = append(names, scan.Val())
		}
		return names
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.memory {
		names = append(names, name)
	}
	return names
}

// alive says whether the keys can be reached.
func (s *store) alive(ctx context.Context) bool {
	return s.redis == nil || s.redis.Ping(ctx).Err() == nil
}

// sessionCache is the gateway's own copy of the org sessions that it has used, which it believes more than Redis
// (facts §6, trap b).
type sessionCache struct {
	mu    sync.Mutex
	items map[string]cachedSession
}

type cachedSession struct {
	value   session
	expires time.Time
}

func newSessionCache() *sessionCache { return &sessionCache{items: map[string]cachedSession{}} }

func (c *sessionCache) get(name string) (session, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	item, ok := c.items[name]
	return item.value, ok && time.Now().Before(item.expires)
}

func (c *sessionCache) set(name string, value session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.items[name] = cachedSession{value: value, expires: time.Now().Add(sessionCacheTTL)}
}

func (c *sessionCache) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.items, name)
}
