package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// TestMergedPortalDocumentsAreBounded: what is added to a document of the portal, one body after another, does not make
// it larger than a body may be.
func TestMergedPortalDocumentsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	own := asUser(b.user(b.org(), "a@example.org", map[string]string{"portal": "write"}).AccessKey)
	for path, limit := range map[string]int{
		"catalogue": 1 << 20, "configuration": 256 << 10, "menus": 256 << 10, "css": 256 << 10,
	} {
		part := `"` + strings.Repeat("y", limit/2) + `"`
		b.do("POST", "/api/portal/"+path, `{"a":`+part+`}`, own).is(200)
		refused := b.do("POST", "/api/portal/"+path, `{"b":`+part+`}`, own).message(403, "Request body malformed.").body
		require.Contains(t, refused, "is too large together with the members that are stored", path)
		b.do("POST", "/api/portal/"+path, `{"a":"small"}`, own).is(200)
		b.do("POST", "/api/portal/"+path, `{"b":`+part+`}`, own).is(200)
		b.do("POST", "/api/portal/"+path, `{"b":`+part+`}`, own).is(200)
		stored := b.do("GET", "/api/portal/"+path, nil, own).is(200).body
		require.Equal(t, "small", gjson.Get(stored, "a").String())
		require.Len(t, gjson.Get(stored, "b").String(), limit/2)
	}
}
