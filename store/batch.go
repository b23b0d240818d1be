package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/jackc/pgx/v5"
)

const (
	// batchRows and batchBytes bound what is written at once: past a few hundred rows the round trips no longer count
	// (docs/performance.md), and two batches are in memory.
	batchRows  = 500
	batchBytes = 2 << 20
)

// COPY's binary format is a header of a signature, flags and the length of an extension, then rows, then a row of -1
// columns.
const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// document is one that is imported.
type document struct {
	id, other, orgID string
	active           *bool // nil: the table does not have it
	text             []byte
	digest           []byte // SHA-256 of text
	row              []byte // as COPY takes it
}

// batch is documents that are written at once.
type batch struct {
	checkedBy string
	documents []document
	rows      []byte // of all, one after another, behind COPY's header
}

func newBatch(checkedBy string) *batch {
	const oneMore = 64 << 10 // the last document may go beyond batchBytes
	b := &batch{checkedBy: checkedBy, rows: make([]byte, 0, batchBytes+oneMore)}
	b.clear()
	return b
}

func (b *batch) full() bool { return len(b.documents) >= batchRows || len(b.rows) >= batchBytes }

func (b *batch) clear() { b.documents, b.rows = b.documents[:0], append(b.rows[:0], copyHeader...) }

// add adds a document, whose text need be good only until add returns. Its columns are those of an importing, in their
// order.
func (b *batch) add(d document) {
	const columns = 7
	sum := sha256.Sum256(d.text)
	start, fields := len(b.rows), uint16(columns)
	if d.active != nil {
		fields++
	}
	b.rows = binary.BigEndian.AppendUint16(b.rows, fields)
	for _, text := range []string{d.id, d.other, d.orgID} {
		addField(b, text)
	}
	if d.active != nil {
		addField(b, boolField(*d.active))
	}
	addField(b, d.text)
	text := len(b.rows) - len(d.text)
	addField(b, boolField(true)) // loadable
	addField(b, b.checkedBy)
	addField(b, sum[:])
	// What is cut out here stays good also when rows grows and moves.
	end := len(b.rows)
	d.text, d.digest, d.row = b.rows[text:text+len(d.text):end], b.rows[end-len(sum):end:end], b.rows[start:end:end]
	b.documents = append(b.documents, d)
}

func addField[T string | []byte](b *batch, field T) {
	b.rows = binary.BigEndian.AppendUint32(b.rows, uint32(len(field)))
	b.rows = append(b.rows, field...)
}

func boolField(v bool) string {
	if v {
		return "\x01"
	}
	return "\x00"
}

// copyTo copies some of the documents, in their order, into a table. The batch is good for nothing else after it.
func (b *batch) copyTo(ctx context.Context, tx pgx.Tx, kind importing, documents []document) error {
	if len(documents) == 0 {
		return nil
	}
	if len(documents) < len(b.documents) {
		b.rows = b.rows[:len(copyHeader)]
		for _, d := range documents {
			b.rows = append(b.rows, d.row...) // it moves to the front, if at all
		}
	}
	b.rows = append(b.rows, copyTrailer...)
	_, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(b.rows),
		`COPY `+kind.table+` (`+strings.Join(kind.columns, ", ")+`) FROM STDIN (FORMAT binary)`)
	return err
}
