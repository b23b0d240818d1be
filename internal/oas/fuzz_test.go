package oas

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// FuzzConvert converts any document. What Convert returns is JSON, and the document apart from its identity.
func FuzzConvert(f *testing.F) {
	base, lines := readSettings(f)
	for i := 0; i < len(lines); i += 25 {
		f.Add(lines[i].document(f, base))
	}
	f.Add(secured(`[{"key":[],"jwt":["a"]},{"basic":[]}]`, `{"enabled":true,"securityProcessingMode":"compliant","security":[["hmac","jwt"]]}`))
	f.Add([]byte(petstore))
	identity := Identity{ID: "i", DBID: "5fa2db834e07444f760b7ceb", OrgID: "53ac07777cbb8c2d53000002"}
	f.Fuzz(func(t *testing.T, document []byte) {
		before := bytes.Clone(document)
		for _, options := range []Options{{}, {AllowUnknown: true}} {
			api, err := Convert(document, identity, options)
			require.Equal(t, before, document)
			if err != nil {
				var fault *Error
				require.ErrorAs(t, err, &fault)
				continue
			}
			require.True(t, json.Valid(api.Classic), "%s", api.Classic)
			require.True(t, json.Valid(api.Document), "%s", api.Document)
			require.Equal(t, "i", gjson.GetBytes(api.Classic, "api_id").Str)
			public, err := Public(api.Document)
			require.NoError(t, err)
			rest, err := Public(document)
			require.NoError(t, err)
			require.Equal(t, string(rest), string(public))
			again, err := Convert(api.Document, identity, options)
			require.NoError(t, err)
			require.Equal(t, api, again)
		}
		if _, err := Extend(document, ImportOptions{UpstreamURL: "http://u"}); err != nil {
			var fault *Error
			require.ErrorAs(t, err, &fault)
		}
	})
}

// FuzzYAML converts any text to JSON, and that to YAML, in pieces of several sizes, and back.
func FuzzYAML(f *testing.F) {
	f.Add([]byte("a: &a {x: 1}\nb: {<<: *a}\nc: [1.5, ~, yes, 'x', 2024-01-01, 0x1F]"))
	f.Add([]byte(petstore))
	f.Fuzz(func(t *testing.T, document []byte) {
		converted, err := FromYAML(document)
		if err != nil {
			return
		}
		require.True(t, json.Valid(converted), "%s", converted)
		for _, piece := range []int{1, 30, yamlPiece} {
			text, err := toYAML(converted, piece)
			require.NoError(t, err)
			if yamlSeparators(text) > maxYAMLSeparators {
				continue
			}
			back, err := FromYAML(text)
			require.NoError(t, err, "%s\n%s", converted, text)
			require.JSONEq(t, string(converted), string(back), "%s", text)
		}
	})
}
