package jsonlist_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/jsonlist"
)

const limit = 1 << 20

// all reads everything.
func all(src io.Reader, limit int) (docs []string, rest string, err error) {
	r := jsonlist.NewReader(src, "apis", limit)
	for {
		doc, err := r.Next()
		if errors.Is(err, io.EOF) {
			return docs, string(r.Rest()), nil
		}
		if err != nil {
			return docs, "", err
		}
		docs = append(docs, string(doc))
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body, rest string
		docs       []string
	}{
		{`{"apis":[]}`, `{"apis":[]}`, nil},
		{` { "apis" : [ {"a":"]}"} , [1,[2]] ,"x\"y", 5 ] , "pages" : 0 } `, `{"apis":[],"pages":0}`, []string{`{"a":"]}"}`, `[1,[2]]`, `"x\"y"`, `5`}},
		{`{"pages":{"apis":[1]},"apis":[true]}`, `{"pages":{"apis":[1]},"apis":[]}`, []string{`true`}},
		{`{"apis":null}`, `{"apis":null}`, nil},
		{`{"\u0061pis":[1]}`, `{"\u0061pis":[]}`, []string{`1`}},
		{`{}`, `{}`, nil},
		{`[1]`, `[1]`, nil},
		{`5`, `5`, nil},
		{`{"apis":["\\"]}`, `{"apis":[]}`, []string{`"\\"`}},
	} {
		for _, src := range []io.Reader{strings.NewReader(c.body), iotest.OneByteReader(strings.NewReader(c.body))} {
			docs, rest, err := all(src, limit)
			require.NoError(t, err, c.body)
			require.Equal(t, c.docs, docs, c.body)
			require.Equal(t, c.rest, rest, c.body)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{`, `{"apis"`, `{"apis":`, `{"apis":[`, `{"apis":[{`, `{"apis":[{}`, `{"apis":[{}]`, `{"apis":[,]}`, `{"apis":[1,]}`, `{"apis":[1 2]}`,
		`{"apis":[]}x`, `{"apis":[]}{}`, `{"apis":[1],"apis":[2]}`, `{"a":1 "b":2}`, `{,}`, `{"a":1,}`, `{1:2}`, `{"apis":[]]}`, `{"a":}`, `{"apis":[1:2]}`,
	} {
		_, _, err := all(strings.NewReader(body), limit)
		require.ErrorIs(t, err, jsonlist.ErrSyntax, body)
		_, _, err = all(iotest.OneByteReader(strings.NewReader(body)), limit)
		require.ErrorIs(t, err, jsonlist.ErrSyntax, body)
	}
	for _, body := range []string{``, " \n\t "} {
		_, _, err := all(strings.NewReader(body), limit)
		require.ErrorIs(t, err, jsonlist.ErrEmpty)
	}
	for _, body := range []string{`{"apis":["` + strings.Repeat("x", limit) + `"]}`, `{"more":"` + strings.Repeat("x", 2<<20) + `"}`} {
		_, _, err := all(strings.NewReader(body), limit)
		require.ErrorIs(t, err, jsonlist.ErrTooLarge)
	}
	broken := errors.New("broken")
	_, _, err := all(io.MultiReader(strings.NewReader(`{"apis":[1,`), iotest.ErrReader(broken)), limit)
	require.ErrorIs(t, err, broken)
}

func TestReaderNeedsLittleMemory(t *testing.T) { //nolint:paralleltest // it measures
	body := io.MultiReader(strings.NewReader(`{"apis":[`), bytes.NewReader(bytes.Repeat([]byte(`{"a":"`+strings.Repeat("b", 8000)+`"},`), 2000)), strings.NewReader(`1]}`))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := jsonlist.NewReader(body, "apis", limit)
	n := 0
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		n++
	}
	runtime.ReadMemStats(&after)
	require.Equal(t, 2001, n)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "of a body of 16 MB")
}

func FuzzReader(f *testing.F) {
	for _, seed := range []string{`{"apis":[{},1,"a\"]"],"x":[{"apis":[]}]}`, `{"apis":[[[]]]}`, `[]`, `{"apis":[1,]}`, `{"apis":"\\"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		docs, rest, err := all(bytes.NewReader(body), limit)
		slow, slowRest, slowErr := all(iotest.OneByteReader(bytes.NewReader(body)), limit)
		require.Equal(t, fmt.Sprint(docs, rest, err == nil), fmt.Sprint(slow, slowRest, slowErr == nil))
		if !json.Valid(body) {
			for _, doc := range docs {
				if !json.Valid([]byte(doc)) {
					return // whoever reads the document finds out
				}
			}
			require.True(t, err != nil || !json.Valid([]byte(rest)), "%q is not JSON", body)
			return
		}
		var object map[string]json.RawMessage
		var list []json.RawMessage
		if json.Unmarshal(body, &object) != nil || json.Unmarshal(object["apis"], &list) != nil || err != nil {
			return
		}
		require.Len(t, docs, len(list))
		for i := range list {
			require.Equal(t, string(list[i]), docs[i])
		}
	})
}

func BenchmarkReader(b *testing.B) {
	body := []byte(`{"apis":[` + strings.Repeat(`{"name":"value","list":[1,2,3],"nested":{"text":"some longer text that is not special"}},`, 10_000) + `1]}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, _, err := count(body); err != nil {
			b.Fatal(err)
		}
	}
}

func count(body []byte) (n int, rest []byte, err error) {
	r := jsonlist.NewReader(bytes.NewReader(body), "apis", limit)
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, r.Rest(), nil
		}
		if err != nil {
			return n, nil, err
		}
		n++
	}
}
