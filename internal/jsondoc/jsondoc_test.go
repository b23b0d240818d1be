package jsondoc_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/jsondoc"
)

func TestFill(t *testing.T) {
	t.Parallel()
	fields := jsondoc.Members(json.RawMessage(`{"id":"","a":0,"b":[]}`))
	for doc, want := range map[string]string{
		`{}`:                               `{"id":"x","a":0,"b":[]}`,
		`{"id":"x","a":1,"b":2}`:           `{"id":"x","a":1,"b":2}`,
		`{"b":2,"more":{"a":1},"a":1}`:     `{"id":"x","b":2,"more":{"a":1},"a":1}`,
		`{"\u0061":1,"b":null,"id":"y"}`:   `{"\u0061":1,"b":null,"id":"y"}`,
		`{"more":1}`:                       `{"id":"x","a":0,"b":[],"more":1}`,
		`{"more":1,"id":"x","rest":2}`:     `{"more":1,"id":"x","a":0,"b":[],"rest":2}`,
		`{"a":1,"a":{"b":[","]},"rest":2}`: `{"id":"x","a":1,"a":{"b":[","]},"b":[],"rest":2}`,
		`{"b":"}","id":1}`:                 `{"b":"}","id":1,"a":0}`,
	} {
		require.Equal(t, want, string(jsondoc.Fill(json.RawMessage(doc), fields, json.RawMessage(`"x"`))), doc)
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	doc := json.RawMessage(`{"z":1.10,"\u0061":"\u003c","n":{"a":[1e3]},"dup":1,"dup":2}`)
	set := func(name, value string) string { return string(jsondoc.Set(doc, name, json.RawMessage(value))) }
	require.Equal(t, `{"z":2,"\u0061":"\u003c","n":{"a":[1e3]},"dup":1,"dup":2}`, set("z", "2"))
	require.Equal(t, `{"z":1.10,"\u0061":2,"n":{"a":[1e3]},"dup":1,"dup":2}`, set("a", "2"), "a name with an escape")
	require.Equal(t, `{"z":1.10,"\u0061":"\u003c","n":{"a":[1e3]},"dup":3,"dup":3}`, set("dup", "3"))
	require.Equal(t, `{"new":2,"z":1.10,"\u0061":"\u003c","n":{"a":[1e3]},"dup":1,"dup":2}`, set("new", "2"))
	require.Equal(t, `{"z":1.10,"n":{"a":[1e3]},"dup":1,"dup":2}`, string(jsondoc.Without(doc, "a")))
	require.Equal(t, string(doc), string(jsondoc.Without(doc, "none")))
	got, ok := jsondoc.Get(doc, "dup")
	require.True(t, ok)
	require.Equal(t, "2", string(got), "the last counts")
	got, _ = jsondoc.Get(doc, "n", "a")
	require.Equal(t, "[1e3]", string(got))
	require.Equal(t, "<", jsondoc.String(doc, "a"))
	require.Empty(t, jsondoc.String(doc, "z"))
	require.True(t, jsondoc.Bool(doc, true, "none"))
	require.Empty(t, jsondoc.Members(json.RawMessage(`[1]`)))
	require.Equal(t, `"<&> \"é"`, string(jsondoc.Quote(`<&> "é`)))
	_, err := jsondoc.Compact([]byte("{\"\xff\":1}"))
	require.ErrorIs(t, err, jsondoc.ErrNotJSON)
}

// FuzzDocument compares what is read and edited with what encoding/json makes of it.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{`{"a":1,"a":2}`, `{"\u0061":{"b":[]}}`, `[]`, `{}`, `{"a":"\ud83d\ude00"}`, `{"":1}`, `{"a":12E2222}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := jsondoc.Compact(raw)
		var decoded map[string]json.RawMessage
		if err != nil || json.Unmarshal(doc, &decoded) != nil || bytes.Contains(doc, []byte("\\u")) || bytes.ContainsRune(doc, '\uFFFD') {
			return // lone surrogates become one name for encoding/json
		}
		for name, value := range decoded {
			got, ok := jsondoc.Get(doc, name)
			require.True(t, ok)
			require.Equal(t, string(value), string(got))
		}
		var edited map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(jsondoc.Set(doc, "a", json.RawMessage("true")), &edited))
		require.Equal(t, "true", string(edited["a"]))
		var without map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(jsondoc.Without(doc, "a"), &without))
		require.NotContains(t, without, "a")
		var filled map[string]json.RawMessage
		fields := jsondoc.Members(json.RawMessage(`{"a":0,"b":1,"":2}`))
		require.NoError(t, json.Unmarshal(jsondoc.Fill(doc, fields, json.RawMessage("3")), &filled))
		for name, value := range map[string]string{"a": "3", "b": "1", "": "2"} {
			if _, ok := decoded[name]; !ok {
				decoded[name] = json.RawMessage(value)
			}
		}
		require.Equal(t, decoded, filled)
	})
}
