package server_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPoliciesOfKeysAreNotReadWhole: to store a key takes no memory for what its policies have besides rights, and it
// has a hundred policies at most.
//
//nolint:paralleltest // it measures what the process allocates
func TestPoliciesOfKeysAreNotReadWhole(t *testing.T) {
	_, withControl := startControlAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"key":"k","status":"ok","action":"added"}`)
	})
	b := setup(t, withControl)
	org := b.org()
	own := asUser(b.user(org, "a@example.org", map[string]string{"apis": "write", "policies": "write", "keys": "write"}).AccessKey)
	b.do("POST", "/api/apis", classic("granted", ""), own).is(200)
	const size = 900 << 10
	var ids []string
	for n := range 20 {
		ids = append(ids, fmt.Sprintf("policy-%d", n))
		b.do("POST", "/api/portal/policies", `{"id":"`+ids[n]+`","name":"`+ids[n]+`","rate":1,"per":1,"access_rights":{"granted":{"api_id":"granted","versions":["Default"]}},
			"x":"`+strings.Repeat("x", size)+`"}`, own).is(200)
	}
	session := func(ids []string) string { return `{"apply_policies":["` + strings.Join(ids, `","`) + `"]}` }
	b.do("POST", "/api/keys", session(ids), own).is(200)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.do("POST", "/api/keys", session(ids), own).is(200)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(len(ids)*size/2))

	many := make([]string, 101)
	for n := range many {
		many[n] = ids[0]
	}
	require.Contains(t, b.do("POST", "/api/keys", session(many), own).is(403).body, "has more than 100 policies")
	b.do("POST", "/api/keys", session(many[1:]), own).is(200)
}
