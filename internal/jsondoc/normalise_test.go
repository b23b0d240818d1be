package jsondoc_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/jsondoc"
)

func TestNormalise(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		" { \"b\" : [ 1 , 2.0 ] ,\n\t\"a\" : \"<\\u0041\" } ": `{"b":[1,2.0],"a":"<\u0041"}`,
		`[]`: `[]`, `{}`: `{}`, `null`: `null`, ` -0 `: `-0`, `"\ud83d\ude00"`: `"\ud83d\ude00"`,
		`{"a":1,"b":2,"a":3}`:                              `{"b":2,"a":3}`,
		`{"a":{"x":1},"a":{"y":2}}`:                        `{"a":{"y":2}}`,
		`{"a":1,"\u0061":2}`:                               `{"\u0061":2}`,
		`[{"a":1,"a":2},{"c":{"d":1,"d":2,"e":3}, "c":4}]`: `[{"a":2},{"c":4}]`,
		`{"c":{"d":1,"d":[{"x":1,"x":2}],"e":3}}`:          `{"c":{"d":[{"x":2}],"e":3}}`,
		`{"a":1,"A":2}`:                                    `{"a":1,"A":2}`,
	} {
		got, err := jsondoc.Normalise([]byte(raw), jsondoc.Limits{})
		require.NoError(t, err, raw)
		require.Equal(t, want, string(got))
	}
}

func TestSyntaxErrorsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	limits := jsondoc.Limits{Depth: 3, Values: 8}
	for raw, want := range map[string]string{
		``:                     "ends before its JSON value is complete: at byte 0, line 1, column 1",
		"{\"a\":1,\n \"b\":":   "ends before its JSON value is complete: at byte 13, line 2, column 6",
		"{\"a\":1,\n}":         "not one JSON value in UTF-8: at byte 6, line 1, column 7",
		"{\n\"é\": nul}":       "not one JSON value in UTF-8: at byte 11, line 2, column 10",
		`{"a":1} x`:            "not one JSON value in UTF-8: at byte 8, line 1, column 9",
		`{"a":1} {}`:           "more than one JSON value: at byte 8, line 1, column 9",
		"{\"a\":\"x\xff\"}":    "not UTF-8: at byte 7, line 1, column 8",
		`{"a":"x\ud800"}`:      "half of a surrogate pair: at byte 7, line 1, column 8",
		`{"a":"\udc00\ud800"}`: "half of a surrogate pair: at byte 6, line 1, column 7",
		`{"a": 1e400}`:         "number is out of the range of a 64-bit float: at byte 6, line 1, column 7",
		`[[[0],[[1]]]]`:        "nested deeper than 3: at byte 7, line 1, column 8",
		`[0,1,2,3,4,5,6,7]`:    "more than 8 values: at byte 15, line 1, column 16",
		`{'a':1}`:              "not one JSON value in UTF-8: at byte 1, line 1, column 2",
		"{\"a\":\"\x01\"}":     "not one JSON value in UTF-8: at byte 6, line 1, column 7",
	} {
		_, err := jsondoc.Normalise([]byte(raw), limits)
		require.EqualError(t, err, want, "%q", raw)
		require.ErrorIs(t, err, jsondoc.ErrNotJSON)
	}
}

// FuzzNormalise compares with encoding/json: what is accepted is equal to it, and does not change again.
func FuzzNormalise(f *testing.F) {
	for _, seed := range []string{`{"a":1,"a":{"b":[1e400,"\ud800"]}}`, `[1,{"x":null,"x":1},2]`, ` "\u0000" `, `{"a":`, "\ufeff{}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := jsondoc.Normalise([]byte(raw), jsondoc.Limits{})
		if err != nil {
			var syntax *jsondoc.SyntaxError
			require.ErrorAs(t, err, &syntax)
			require.LessOrEqual(t, syntax.Offset, int64(len(raw)))
			return
		}
		require.True(t, json.Valid([]byte(raw)))
		again, err := jsondoc.Normalise(got, jsondoc.Limits{})
		require.NoError(t, err)
		require.Equal(t, string(got), string(again))
		var want, is any
		require.NoError(t, json.Unmarshal([]byte(raw), &want))
		require.NoError(t, json.Unmarshal(got, &is))
		require.Equal(t, want, is)
	})
}

func BenchmarkNormalise(b *testing.B) {
	doc := []byte(`{"email_address":"a@b.example","first_name":"A","active":true,"user_permissions":{"IsAdmin":"admin"},"tags":[` +
		strings.Repeat(`"x",`, 20) + `1]}`)
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if _, err := jsondoc.Normalise(doc, jsondoc.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestManyRepeatedMembers would take a minute if each object with a repeated member copied what is before it.
func TestManyRepeatedMembers(t *testing.T) {
	t.Parallel()
	const objects = 200_000
	got, err := jsondoc.Compact([]byte(`[` + strings.Repeat(`{"a":1,"b":2,"a":3},`, objects) + `0]`))
	require.NoError(t, err)
	require.Equal(t, `[`+strings.Repeat(`{"b":2,"a":3},`, objects)+`0]`, string(got))
}
