package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func ifMatch(etag string) with { return header("If-Match", etag) }

// editable are the documents that are replaced with If-Match: the path of each, its document with a name, and a request
// that stores it first.
var editable = map[string]struct {
	create, path string
	document     func(name string) string
}{
	"classic API": {"/api/apis", "/api/apis/tides", func(name string) string {
		return `{"api_definition":{"api_id":"tides","name":"` + name + `"}}`
	}},
	"OAS API": {"/api/apis/oas", "/api/apis/oas/tides", func(name string) string {
		return strings.Replace(oasOf(`"id":"tides",`, "/tides/"), `"name":"Tides"`, `"name":"`+name+`"`, 1)
	}},
	"policy": {"/api/portal/policies", "/api/portal/policies/61df10078f11dd00097cb55f", func(name string) string {
		return `{"_id":"61df10078f11dd00097cb55f","name":"` + name + `"}`
	}},
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	for name, kind := range editable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthor(t)
			a.send("POST", kind.create, kind.document("first")).is(200)
			read := a.send("GET", kind.path, nil).is(200)
			etag := read.header.Get("ETag")
			require.Regexp(t, `^"[0-9a-f]{32}"$`, etag)
			require.Equal(t, etag, a.send("HEAD", kind.path, nil).is(200).header.Get("ETag"))

			t.Log("the document is still the one that was read")
			a.send("PUT", kind.path, kind.document("second"), ifMatch(`"x", W/`+etag)).is(200)
			second := a.send("GET", kind.path, nil)
			require.Contains(t, second.body, `"second"`)
			require.NotEqual(t, etag, second.header.Get("ETag"))

			t.Log("it has been changed")
			for _, stale := range []string{etag, `"x"`, `"x",` + etag, "second"} {
				a.send("PUT", kind.path, kind.document("third"), ifMatch(stale)).
					message(412, "the stored document has been changed since it was read")
			}
			require.Equal(t, second.body, a.send("GET", kind.path, nil).body, "nothing was stored")

			t.Log("any document, and no header")
			a.send("PUT", kind.path, kind.document("fourth"), ifMatch("*")).is(200)
			a.send("PUT", kind.path, kind.document("fifth")).is(200)
			require.Contains(t, a.send("GET", kind.path, nil).body, `"fifth"`)
			a.send("PUT", strings.TrimSuffix(kind.path, "s")+"nope", kind.document("x"), ifMatch("*")).is(404)
		})
	}
}

// TestIfMatchOfConcurrentWriters has many replace what all of them have read: one does, and all others are told.
func TestIfMatchOfConcurrentWriters(t *testing.T) {
	t.Parallel()
	for name, kind := range editable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthor(t)
			a.send("POST", kind.create, kind.document("first")).is(200)
			for round := range 5 {
				etag := a.send("GET", kind.path, nil).is(200).header.Get("ETag")
				const writers = 8
				replies := make([]reply, writers)
				var running sync.WaitGroup
				for i := range writers {
					running.Go(func() {
						replies[i] = a.send("PUT", kind.path, kind.document(fmt.Sprint("writer ", round, i)), ifMatch(etag))
					})
				}
				running.Wait()
				stored := -1
				for i, r := range replies {
					if r.status == 412 {
						continue
					}
					r.is(200)
					require.Equal(t, -1, stored, "two have replaced the document that both have read")
					stored = i
				}
				require.GreaterOrEqual(t, stored, 0, "one has")
				require.Contains(t, a.send("GET", kind.path, nil).body, fmt.Sprint("writer ", round, stored))
			}
		})
	}
}
