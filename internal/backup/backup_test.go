package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/backup"
	"gatehouse/internal/testprogram"
)

// values are values of each kind, as text.
func values() []struct {
	kind backup.Kind
	text string
} {
	return []struct {
		kind backup.Kind
		text string
	}{
		{backup.Text, ""},
		{backup.Text, "null"},
		{backup.Text, "a\tb\n\"\\ \u2028 é 🂡 \x01"},
		{backup.Number, "-9223372036854775808"},
		{backup.JSON, `{"a":1.0e5,"a":"\ud800\u0000"}`},
		{backup.JSON, "{\n  \"a\" : [ ]\t}"},
		{backup.JSON, " {} "},
		{backup.JSON, "[]\n"},
		{backup.JSON, `"text"`},
		{backup.JSON, `null`},
		{backup.JSON, `1e400`},
		{backup.JSON, strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000)},
		{backup.JSON, strings.Repeat(`{"":`, 20_000) + `0` + strings.Repeat(`}`, 20_000)},
		{backup.JSON, `[` + strings.Repeat(`[],`, 20_000) + `{}]`},
	}
}

func tables(rows int64) []backup.Table {
	table := backup.Table{Name: "all \"kinds\"", Rows: rows}
	for i, value := range values() {
		table.Columns, table.Kinds = append(table.Columns, fmt.Sprint("column ", i)), append(table.Kinds, value.kind)
	}
	return []backup.Table{
		{Name: "empty", Columns: []string{"id"}, Kinds: []backup.Kind{backup.Text}},
		table,
		{Name: "flags", Columns: []string{"yes", "no"}, Kinds: []backup.Kind{backup.Boolean, backup.Boolean}, Rows: 1},
	}
}

// written returns a backup with a number of rows of all values, and one with NULLs.
func written(t testing.TB, rows int) []byte {
	t.Helper()
	var file bytes.Buffer
	header := backup.Header{Version: "v1", Schema: 3, Created: time.Unix(1e9, 0).UTC(), Tables: tables(int64(rows) + 1)}
	w, err := backup.NewWriter(&file, header)
	require.NoError(t, err)
	var row [][]byte
	for _, value := range values() {
		row = append(row, []byte(value.text))
	}
	for range rows {
		require.NoError(t, w.Write(header.Tables[1].Name, row))
	}
	require.NoError(t, w.Write(header.Tables[1].Name, make([][]byte, len(row))))
	require.NoError(t, w.Write("flags", [][]byte{[]byte("t"), []byte("f")}))
	require.NoError(t, w.Close())
	return file.Bytes()
}

// read reads a backup as a restore does, and returns its rows as text.
func read(file []byte) (rows []string, err error) {
	if err := backup.Verify(bytes.NewReader(file)); err != nil {
		return nil, err
	}
	return readUnverified(file)
}

func readUnverified(file []byte) (rows []string, err error) {
	r, err := backup.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		text := []string{strconv.Itoa(row.Table)}
		for _, value := range row.Values {
			text = append(text, fmt.Sprintf("%t%s", value == nil, value))
		}
		rows = append(rows, strings.Join(text, "|"))
	}
}

func TestValuesAreKept(t *testing.T) {
	t.Parallel()
	rows, err := read(written(t, 2))
	require.NoError(t, err)
	full, null := "1", "1"
	for _, value := range values() {
		full, null = full+"|false"+value.text, null+"|true"
	}
	require.Equal(t, []string{full, full, null, "2|falsetrue|falsefalse"}, rows)
}

// TestDamage: whatever is cut off or altered, neither pass over the file accepts it.
func TestDamage(t *testing.T) {
	t.Parallel()
	file := written(t, 1)
	refused := func(what string, damaged []byte) {
		t.Helper()
		for pass, of := range map[string]func([]byte) error{
			"Verify": func(file []byte) error { return backup.Verify(bytes.NewReader(file)) },
			"Reader": func(file []byte) error { _, err := readUnverified(file); return err },
		} {
			err := of(damaged)
			require.True(t, errors.Is(err, backup.ErrDamaged) || errors.Is(err, backup.ErrNoBackup), "%s of %s: %v", pass, what, err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for n := range file {
		refused(fmt.Sprintf("a backup cut off at %d of %d", n, len(file)), file[:n])
		altered := bytes.Clone(file)
		altered[n] ^= byte(1 + random.IntN(255))
		refused(fmt.Sprintf("a backup altered at %d of %d", n, len(file)), altered)
	}
	refused("a backup that goes on", append(bytes.Clone(file), 0))
	refused("two backups", append(bytes.Clone(file), file...))
	refused("no backup", bytes.Repeat([]byte("PGDMP"), 100))
}

// TestUnreadableFile: an error of the disk is no damage of the backup.
func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	file, broken := written(t, 1), errors.New("input/output error")
	for n := range file {
		reader := func() io.Reader { return io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken)) }
		require.ErrorIs(t, backup.Verify(reader()), broken)
		r, err := backup.NewReader(reader())
		for err == nil {
			_, err = r.Next()
		}
		require.ErrorIs(t, err, broken)
		require.NotErrorIs(t, err, backup.ErrDamaged)
	}
}

func TestNewerFormat(t *testing.T) {
	t.Parallel()
	content, err := zstd.NewReader(bytes.NewReader(written(t, 0)))
	require.NoError(t, err)
	defer content.Close()
	text, err := io.ReadAll(content)
	require.NoError(t, err)
	encoder, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	newer := encoder.EncodeAll(bytes.Replace(text, []byte(`"gatehouse_backup":1`), []byte(`"gatehouse_backup":2`), 1), nil)
	_, err = backup.NewReader(bytes.NewReader(append(newer, make([]byte, 72)...)))
	require.ErrorIs(t, err, backup.ErrNewer)
	require.ErrorContains(t, err, "v1")
}

// TestLongLine: a file of a few bytes that says that a row has gigabytes does not fill the memory.
func TestLongLine(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	for name, long := range map[string]string{
		"a value": `{"a":{"b":"` + strings.Repeat("x", 64<<20) + `"}}`, "white space": strings.Repeat(" ", 64<<20) + `{"a":{"b":"x"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			encoder, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<20))
			require.NoError(t, err)
			header := `{"gatehouse_backup":1,"tables":[{"name":"a","columns":["b"],"rows":1}]}` + "\n"
			file := append(encoder.EncodeAll([]byte(header+long), nil), make([]byte, 72)...)
			r, err := backup.NewLimitedReader(bytes.NewReader(file), limit)
			require.NoError(t, err)
			defer r.Close()
			_, err = r.Next()
			require.ErrorIs(t, err, backup.ErrDamaged)
			require.ErrorContains(t, err, "a row is longer than")
		})
	}
	// The limit is for each row, not for all of them.
	r, err := backup.NewLimitedReader(bytes.NewReader(written(t, 100)), limit)
	require.NoError(t, err)
	defer r.Close()
	for range 102 {
		_, err := r.Next()
		require.NoError(t, err)
	}
}

// TestWriterCounts: a table with more or fewer rows than the header says is an error, not a backup.
func TestWriterCounts(t *testing.T) {
	t.Parallel()
	w, err := backup.NewWriter(io.Discard, backup.Header{Tables: tables(1)})
	require.NoError(t, err)
	require.ErrorContains(t, w.Write("flags", [][]byte{nil, nil}), "0 rows")
	require.ErrorContains(t, w.Close(), "0 rows")
}

// TestOtherPrograms reads a backup as docs/backup.md says that others can.
func TestOtherPrograms(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"zstd", "jq", "sha256sum"} {
		testprogram.Need(t, program)
	}
	file := written(t, 0)
	run := func(script string) string {
		cmd := exec.Command("sh", "-ec", script)
		cmd.Stdin, cmd.Dir = bytes.NewReader(file), t.TempDir()
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, string(output))
		return strings.TrimSpace(string(output))
	}
	require.Equal(t, `{"yes":true,"no":false}`, run(`zstd -dc | jq -c '.flags // empty'`))
	require.Equal(t, run(`tail -c 64`), run(`head -c -72 | sha256sum | cut -d ' ' -f 1`))
}

func FuzzReader(f *testing.F) {
	f.Add(written(f, 1))
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"gatehouse_backup":1,"tables":[{"name":"a","columns":["b"],"rows":1}]}` + "\n" + `{"a":{"b":[1]}}`))
	encoder, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<20))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, content []byte) {
		_, _ = read(content)
		// Behind the checksums of zstd, where a fuzzer does not get by itself: the rows must not be more than the header
		// says.
		file := encoder.EncodeAll(content, nil)
		rows, err := readUnverified(append(file, make([]byte, 72)...))
		require.Error(t, err, "the trailer does not fit, but %d rows were accepted", len(rows))
	})
}

// BenchmarkRows writes, and reads, rows with a document of 2 KB each.
func BenchmarkRows(b *testing.B) {
	header := backup.Header{Tables: []backup.Table{{
		Name: "documents", Columns: []string{"id", "position", "document"},
		Kinds: []backup.Kind{backup.Text, backup.Number, backup.JSON}, Rows: 10_000,
	}}}
	random := rand.New(rand.NewPCG(1, 2))
	var document strings.Builder
	row := func() [][]byte {
		document.Reset()
		for document.WriteString(`{"paths":[`); document.Len() < 2000; {
			fmt.Fprintf(&document, `{"path":"/ports/%016x","methods":["GET","HEAD"],"limit":null},`, random.Uint64())
		}
		document.WriteString(`null]}`)
		return [][]byte{fmt.Appendf(nil, "%024x", random.Uint64()), []byte("1"), []byte(document.String())}
	}
	rows := make([][][]byte, header.Tables[0].Rows)
	for i := range rows {
		rows[i] = row()
	}
	var file bytes.Buffer
	write := func() {
		file.Reset()
		w, err := backup.NewWriter(&file, header)
		require.NoError(b, err)
		for _, each := range rows {
			require.NoError(b, w.Write("documents", each))
		}
		require.NoError(b, w.Close())
	}
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(rows) * document.Len()))
		for b.Loop() {
			write()
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(rows) * document.Len()))
		for b.Loop() {
			r, err := backup.NewReader(bytes.NewReader(file.Bytes()))
			for err == nil {
				_, err = r.Next()
			}
			require.ErrorIs(b, err, io.EOF)
			r.Close()
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.SetBytes(int64(len(rows) * document.Len()))
		for b.Loop() {
			require.NoError(b, backup.Verify(bytes.NewReader(file.Bytes())))
		}
	})
}
