package gatewaystandin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	keyPrefix = "apikey-" // followed by the key, or its hash with HashKeys
	orgPrefix = "orgkey." // followed by the organisation's ID
	// scanCount is the number of keys that Redis looks at per SCAN.
	scanCount = 100
	// sessionCacheTTL is the lifetime of a session in a gateway's local cache.
	sessionCacheTTL = 10 * time.Second
)

// keyStore stores keys and organisation keys: in Redis under their real names, or in memory. It outlives a restart of
// the gateway, but not the loss of Redis.
type keyStore struct {
	redis    *redis.Client // nil is memory
	hashKeys bool

	mu     sync.Mutex // guards memory
	memory map[string][]byte
}

func newKeyStore(cfg Config) *keyStore {
	s := &keyStore{memory: map[string][]byte{}, hashKeys: cfg.HashKeys}
	if cfg.Redis != nil {
		s.redis = redis.NewClient(cfg.Redis)
	}
	return s
}

func (s *keyStore) close() {
	if s.redis != nil {
		_ = s.redis.Close()
	}
}

// name returns the name under which a key is stored.
func (s *keyStore) name(key string) string {
	if s.hashKeys {
		key = hashKey(key)
	}
	return keyPrefix + key
}

// hashKey returns 16 hexadecimal digits, like a gateway's murmur64. It is FNV: clients do not compute the hash.
func hashKey(key string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return fmt.Sprintf("%016x", h.Sum64())
}

// get returns a session. It reports false if there is none, or if it cannot be read: a gateway does not distinguish.
func (s *keyStore) get(ctx context.Context, name string) (session, bool) {
	var found session
	data, ok := s.read(ctx, name)
	if !ok || json.Unmarshal(data, &found) != nil {
		return session{}, false
	}
	return found, true
}

// find returns the session of a key, and the name under which it is stored. Unless the key states the organisation, it
// is looked up as the name of a key of the organisation first.
func (s *keyStore) find(ctx context.Context, orgID, key string) (name string, found session, ok bool) {
	candidates := []string{namedKey(orgID, key), key}
	if keyOrg(key) == orgID {
		candidates = candidates[1:]
	}
	for _, candidate := range candidates {
		if found, ok := s.get(ctx, s.name(candidate)); ok {
			return s.name(candidate), found, true
		}
	}
	return "", session{}, false
}

// namedKey returns the key that an organisation has by a name: base64 of a JSON object, in which a gateway escapes
// nothing.
func namedKey(orgID, name string) string {
	name = strings.TrimPrefix(name, orgID)
	return base64.StdEncoding.EncodeToString([]byte(`{"org":"` + orgID + `","id":"` + name + `","h":"murmur64"}`))
}

// keyOrg returns the organisation that a key states, "" if it states none.
func keyOrg(key string) string {
	var stated struct{ Org string }
	if text, err := base64.StdEncoding.DecodeString(key); err != nil || json.Unmarshal(text, &stated) != nil {
		return ""
	}
	return stated.Org
}

func (s *keyStore) read(ctx context.Context, name string) ([]byte, bool) {
	if s.redis != nil {
		data, err := s.redis.Get(ctx, name).Bytes()
		return data, err == nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.memory[name]
	return data, ok
}

func (s *keyStore) set(ctx context.Context, name string, value session) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.write(ctx, name, data)
}

// write stores what is not a session, such as a certificate, too.
func (s *keyStore) write(ctx context.Context, name string, data []byte) error {
	if s.redis != nil {
		return s.redis.Set(ctx, name, data, 0).Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory[name] = data
	return nil
}

// remove deletes a session and reports whether there was one.
func (s *keyStore) remove(ctx context.Context, name string) bool {
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

// names returns the sorted names that begin with prefix and filter, without prefix.
func (s *keyStore) names(ctx context.Context, prefix, filter string) []string {
	names := []string{}
	for _, name := range s.all(ctx, prefix) {
		if rest, ok := strings.CutPrefix(name, prefix); ok && strings.HasPrefix(rest, filter) {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *keyStore) all(ctx context.Context, prefix string) []string {
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

// reachable reports whether the keys can be read.
func (s *keyStore) reachable(ctx context.Context) bool {
	return s.redis == nil || s.redis.Ping(ctx).Err() == nil
}

// sessionCache is the gateway's copy of organisation sessions, which takes precedence over Redis
// (docs/behaviour.md#gateway-keys-and-cache, trap 2).
type sessionCache struct {
	mu    sync.Mutex // guards items
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
