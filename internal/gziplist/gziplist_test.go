package gziplist_test

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gziplist"
)

// table is rows whose elements name their position and version. Rows without an element have a version that 7 divides.
type table struct {
	rows []gziplist.Row
	read int // how many rows were read
}

func (t *table) source() gziplist.Source {
	read := func(first, last int64) iter.Seq2[gziplist.Element, error] {
		return func(yield func(gziplist.Element, error) bool) {
			var buffer []byte // as a reader of a database that uses its memory again
			for _, row := range t.rows {
				if row.Position < first || row.Position > last {
					continue
				}
				t.read++
				if row.Version%7 == 0 {
					continue
				}
				buffer = append(buffer[:0], elementOf(row)...)
				if !yield(gziplist.Element{Position: row.Position, JSON: buffer}, nil) {
					return
				}
			}
		}
	}
	return gziplist.Source{Rows: t.rows, Read: read, Limit: 64 << 20}
}

func elementOf(row gziplist.Row) string {
	return fmt.Sprintf(`{"position":%d,"version":%d,"text":%q}`, row.Position, row.Version, strings.Repeat("x", row.Size))
}

// want returns the elements, separated by commas.
func (t *table) want() string {
	var elements []string
	for _, row := range t.rows {
		if row.Version%7 != 0 {
			elements = append(elements, elementOf(row))
		}
	}
	return strings.Join(elements, ",")
}

// requireList requires a list to have the elements of a table, by the gzip of the standard library, too.
func (t *table) requireList(tb testing.TB, list *gziplist.List) {
	tb.Helper()
	want := t.want()
	var plain bytes.Buffer
	n, err := list.WriteTo(&plain)
	require.NoError(tb, err)
	require.Equal(tb, want, plain.String())
	require.EqualValues(tb, len(want), n)
	require.Equal(tb, len(want), list.Len())
	text := gziplist.AppendStored(nil, "[")
	text = append(text, list.Members()...)
	text = gziplist.AppendStored(text, "]")
	reader, err := stdgzip.NewReader(bytes.NewReader(text))
	require.NoError(tb, err)
	got, err := io.ReadAll(reader)
	require.NoError(tb, err)
	require.Equal(tb, "["+want+"]", string(got))
	require.True(tb, json.Valid(got))
}

// TestListHasTheElementsOfItsRows after any sequence of changes, however much of it was taken from the list before.
func TestListHasTheElementsOfItsRows(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	rows, list := &table{}, &gziplist.List{}
	rows.requireList(t, list)
	last, version := int64(-1<<40), uint32(1)
	for range 300 {
		for range random.IntN(20) {
			version++
			switch n := len(rows.rows); {
			case n == 0 || random.IntN(3) == 0:
				last += 1 + random.Int64N(1<<random.IntN(40))
				rows.rows = append(rows.rows, gziplist.Row{Position: last, Version: version, Size: random.IntN(2000)})
			case random.IntN(4) == 0:
				i := random.IntN(n)
				rows.rows = slices.Delete(rows.rows, i, i+1)
			default:
				rows.rows[random.IntN(n)].Version = version
			}
		}
		var err error
		list, err = list.Next(rows.source())
		require.NoError(t, err)
		rows.requireList(t, list)
	}
	rows.rows = nil
	list, err := list.Next(rows.source())
	require.NoError(t, err)
	rows.requireList(t, list)
}

// TestChangeOfARowReadsItsBlock and no other.
func TestChangeOfARowReadsItsBlock(t *testing.T) {
	t.Parallel()
	rows := &table{}
	for i := range 2000 {
		rows.rows = append(rows.rows, gziplist.Row{Position: int64(i), Version: 1, Size: 3000})
	}
	list, err := new(gziplist.List).Next(rows.source())
	require.NoError(t, err)
	require.Equal(t, 2000, rows.read)
	for name, change := range map[string]func(){
		"changed":  func() { rows.rows[1000].Version = 2 },
		"appended": func() { rows.rows = append(rows.rows, gziplist.Row{Position: 5000, Version: 1, Size: 3000}) },
		"deleted":  func() { rows.rows = slices.Delete(rows.rows, 500, 501) },
		"inserted": func() { rows.rows = slices.Insert(rows.rows, 0, gziplist.Row{Position: -1, Version: 1, Size: 3000}) },
		"nothing":  func() {},
	} {
		rows.read = 0
		change()
		list, err = list.Next(rows.source())
		require.NoError(t, err)
		require.LessOrEqual(t, rows.read, 150, name)
		require.Equal(t, name == "nothing", rows.read == 0, name)
		rows.requireList(t, list)
	}
}

// TestSizes: few large rows make a block, and a list has a limit.
func TestSizes(t *testing.T) {
	t.Parallel()
	rows := &table{}
	for i := range 40 {
		rows.rows = append(rows.rows, gziplist.Row{Position: int64(i), Version: 1, Size: 200_000})
	}
	list, err := new(gziplist.List).Next(rows.source())
	require.NoError(t, err)
	rows.rows[20].Version, rows.read = 2, 0
	list, err = list.Next(rows.source())
	require.NoError(t, err)
	require.LessOrEqual(t, rows.read, 3)
	source := rows.source()
	source.Limit = len(list.Members()) - 1
	_, err = list.Next(source)
	require.ErrorIs(t, err, gziplist.ErrTooLarge)
	_, err = new(gziplist.List).Next(source)
	require.ErrorIs(t, err, gziplist.ErrTooLarge)
}

// TestErrorsOfASource are returned.
func TestErrorsOfASource(t *testing.T) {
	t.Parallel()
	rows := &table{rows: []gziplist.Row{{Position: 1, Version: 1, Size: 10}}}
	failure := errors.New("failure")
	source := rows.source()
	source.Check = func(elements []byte) error {
		require.Equal(t, rows.want(), string(elements))
		return failure
	}
	_, err := new(gziplist.List).Next(source)
	require.ErrorIs(t, err, failure)
	source = rows.source()
	source.Read = func(int64, int64) iter.Seq2[gziplist.Element, error] {
		return func(yield func(gziplist.Element, error) bool) { yield(gziplist.Element{}, failure) }
	}
	_, err = new(gziplist.List).Next(source)
	require.ErrorIs(t, err, failure)
}

// TestStoredMembers are what a gzip reader reads.
func TestStoredMembers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", ",", strings.Repeat("é", 1000), strings.Repeat("x", 65_535)} {
		member := gziplist.AppendStored(nil, text)
		require.Len(t, member, len(text)+gziplist.StoredOverhead)
		reader, err := stdgzip.NewReader(bytes.NewReader(member))
		require.NoError(t, err)
		got, err := io.ReadAll(reader)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
	require.Panics(t, func() { gziplist.AppendStored(nil, strings.Repeat("x", 65_536)) })
}
