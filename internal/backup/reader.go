package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"
)

// Verify reads a backup from its beginning to its end, without decompressing it, and returns ErrNoBackup or ErrDamaged
// if it is not as it was written.
func Verify(backup io.Reader) error {
	in := newBody(backup)
	magic, err := in.file.Peek(len(zstdMagic))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case string(magic) != zstdMagic[:len(magic)]:
		return ErrNoBackup
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// body reads a backup without its trailer. At the end it compares that with what was read, and returns ErrDamaged
// instead of io.EOF if it does not fit.
type body struct {
	file *bufio.Reader
	hash hash.Hash
}

func newBody(file io.Reader) *body {
	const buffer = 256 << 10
	return &body{file: bufio.NewReaderSize(file, buffer), hash: sha256.New()}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	ahead, err := b.file.Peek(trailerSize + 1)
	switch {
	case errors.Is(err, io.EOF) && string(ahead) == trailerMagic+hex.EncodeToString(b.hash.Sum(nil)):
		return 0, io.EOF
	case errors.Is(err, io.EOF):
		return 0, ErrDamaged
	case err != nil:
		return 0, &fileError{err}
	}
	n, err := b.file.Read(p[:min(len(p), b.file.Buffered()-trailerSize)])
	b.hash.Write(p[:n])
	return n, err
}

// fileError is an error of reading a file, whatever it has.
type fileError struct{ error }

// Unwrap returns the error of the file.
func (e *fileError) Unwrap() error { return e.error }

// maxLine limits a line, of which the reader holds a value at a time: a few kilobytes of zstd can be terabytes of text.
// Postgres has no value of more than 1 GiB, and COPY no row.
const maxLine = 1 << 30

// errLongLine is returned for a line of more than maxLine bytes.
var errLongLine = errors.New("a row is longer than Postgres has any")

// lineLimit limits how much of a text is read for a line.
type lineLimit struct {
	text      io.Reader
	max, left int64
}

// Read implements io.Reader.
func (l *lineLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errLongLine
	}
	n, err := l.text.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// Reader reads a backup.
type Reader struct {
	Header Header

	decompressed *zstd.Decoder
	limit        *lineLimit
	rows         *jsontext.Decoder
	tables       []table
	at           int   // the table that is read
	read         int64 // rows of that table
	values       [][]byte
	texts        []byte // of all values
}

// readerOptions accept all that Postgres does.
func readerOptions() []jsontext.Options {
	return []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
}

// NewReader reads a header. It returns ErrNoBackup, ErrDamaged or ErrNewer. The caller closes the reader.
func NewReader(file io.Reader) (*Reader, error) { return newReader(file, maxLine) }

func newReader(file io.Reader, maxLine int64) (*Reader, error) {
	decompressed, err := zstd.NewReader(newBody(file), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	limit := &lineLimit{text: decompressed, max: maxLine, left: maxLine}
	r := &Reader{decompressed: decompressed, limit: limit, rows: jsontext.NewDecoder(limit, readerOptions()...)}
	if err := r.readHeader(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reader) readHeader() error {
	line, err := r.rows.ReadValue()
	if err != nil {
		return failed(err)
	}
	if err := json.Unmarshal(line, &r.Header); err != nil || r.Header.Format < 1 {
		return ErrNoBackup
	}
	if r.Header.Format > Format {
		return fmt.Errorf("%w: it is of gatehouse %s", ErrNewer, r.Header.Version)
	}
	for _, each := range r.Header.Tables {
		t, err := newTable(each)
		if err != nil {
			return failed(err)
		}
		r.tables = append(r.tables, t)
	}
	return nil
}

// failed returns the error of a backup that cannot be read, or whose content is not what Writer has written.
func failed(err error) error {
	var file *fileError
	switch {
	case errors.As(err, &file):
		return file
	case errors.Is(err, zstd.ErrMagicMismatch):
		return ErrNoBackup
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// Row is a row of a backup.
type Row struct {
	// Table is the table's index in the header.
	Table int
	// Values are the texts of the columns of the header; nil is NULL. They are valid until the next row is read.
	Values [][]byte
}

// Next returns the next row, or io.EOF after the last one. It returns ErrDamaged if the file is not as it was written.
func (r *Reader) Next() (Row, error) {
	for r.at < len(r.tables) && r.read == r.tables[r.at].Rows {
		r.at, r.read = r.at+1, 0
	}
	if r.at == len(r.tables) {
		switch _, err := r.rows.ReadToken(); {
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return Row{}, io.EOF
		case err != nil:
			return Row{}, failed(err)
		}
		return Row{}, failed(errLine)
	}
	if err := r.readRow(r.tables[r.at]); err != nil {
		return Row{}, failed(err)
	}
	r.read++
	return Row{r.at, r.values}, nil
}

// errLine is returned for a line that is not one of the table.
var errLine = errors.New("a row is not one of its table")

func (r *Reader) readRow(t table) error {
	r.limit.left = r.limit.max
	r.values, r.texts = r.values[:0], r.texts[:0]
	if err := r.begin(t.begin[1 : len(t.begin)-2]); err != nil {
		return err
	}
	for _, name := range t.names {
		if err := r.expect(name); err != nil {
			return err
		}
		value, err := r.rows.ReadValue()
		if err != nil {
			return err
		}
		if err := r.add(value); err != nil {
			return err
		}
	}
	for range 2 {
		if token, err := r.rows.ReadToken(); err != nil || token.Kind() != '}' {
			return orLine(err)
		}
	}
	return nil
}

// begin reads the beginning of a line, up to the columns.
func (r *Reader) begin(name []byte) error {
	if token, err := r.rows.ReadToken(); err != nil || token.Kind() != '{' {
		return orLine(err)
	}
	if err := r.expect(name); err != nil {
		return err
	}
	token, err := r.rows.ReadToken()
	if err != nil || token.Kind() != '{' {
		return orLine(err)
	}
	return nil
}

func orLine(err error) error {
	if err == nil {
		err = errLine
	}
	return err
}

func (r *Reader) expect(name []byte) error {
	value, err := r.rows.ReadValue()
	if err != nil || !bytes.Equal(value, name) {
		return orLine(err)
	}
	return nil
}

// add adds the text of a value to the row.
func (r *Reader) add(value jsontext.Value) (err error) {
	start := len(r.texts)
	switch value.Kind() {
	case 'n':
		r.values = append(r.values, nil)
		return nil
	case '"':
		if r.texts, err = jsontext.AppendUnquote(r.texts, value); err != nil {
			return err
		}
	default:
		r.texts = append(r.texts, value...)
	}
	// If texts has grown, earlier values keep the memory that they are in.
	r.values = append(r.values, r.texts[start:len(r.texts):len(r.texts)])
	return nil
}

// Close releases what the reader holds, except the file.
func (r *Reader) Close() { r.decompressed.Close() }
