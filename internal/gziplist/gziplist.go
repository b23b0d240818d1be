// Package gziplist keeps the elements of a JSON list as text that is compressed already, so that it can be sent any
// number of times, and made again with little work after some of the elements have changed.
//
// The text is a sequence of gzip members, which is a gzip file itself (RFC 1952, section 2.2). A member, here a block,
// has the elements of some hundred rows. Which rows belong together depends on their positions, sizes and versions
// only: a list that is built from rows of which few have changed takes the other blocks from the list before it.
package gziplist

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"

	"github.com/klauspost/compress/gzip"
)

const (
	// blockBits is the binary logarithm of the number of rows that a block has on average. A change of one row costs the
	// compression of a block; small blocks compress worse.
	blockBits = 7
	// maxBlock ends a block, in bytes of Row.Size.
	maxBlock = 512 << 10
	// level is the level of compression: higher ones take much longer (docs/performance.md).
	level = 6
	// copyBuffer is how many decompressed bytes are written at a time.
	copyBuffer = 64 << 10
)

// ErrTooLarge is returned for a list that would need more memory than it may have.
var ErrTooLarge = errors.New("the list is too large")

// Row is a version of a row of a table.
type Row struct {
	// Position is where in its list the row is.
	Position int64
	// Version is another one when the row has changed.
	Version uint32
	// Size is about how many bytes the row has.
	Size int
}

// Element is the JSON text that a list has of a row. It may be overwritten when the next one is requested.
type Element struct {
	Position int64
	JSON     []byte
}

// Source reads rows.
type Source struct {
	// Rows are all rows of the list, by their position.
	Rows []Row
	// Read yields the elements of the rows from one position up to another one, by their position. A row may have none.
	Read func(first, last int64) iter.Seq2[Element, error]
	// Check is called with the elements of each block that is made, separated by commas. It may be nil.
	Check func(elements []byte) error
	// Limit is how many bytes the list may have.
	Limit int
}

// List is the elements of a JSON list. It does not change, and its zero value has none.
type List struct {
	members []byte // all blocks, with a comma between two of them
	plain   int    // how many bytes members has when it is decompressed
	blocks  map[digest]block
}

// digest is that of the rows of a block.
type digest [sha256.Size]byte

// block is where a block is in the members of its list, and how long it is when it is decompressed. A block whose rows
// have no elements is empty.
type block struct{ start, end, plain int }

// Members returns the elements, separated by commas, as gzip members. The caller must not change them.
func (l *List) Members() []byte { return l.members }

// Len returns how many bytes the elements have, with the commas between them.
func (l *List) Len() int { return l.plain }

// WriteTo writes the elements, separated by commas. It implements io.WriterTo.
func (l *List) WriteTo(to io.Writer) (int64, error) {
	if l.plain == 0 {
		return 0, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(l.members))
	if err != nil {
		return 0, fmt.Errorf("decompress a list: %w", err)
	}
	n, err := io.CopyBuffer(to, reader, make([]byte, copyBuffer))
	if err != nil {
		return n, fmt.Errorf("decompress a list: %w", err)
	}
	return n, nil
}

// Next returns the list of the rows that a source has. It takes what has not changed from l. It returns ErrTooLarge if
// the list would be longer than the source allows, and the errors of the source.
func (l *List) Next(source Source) (*List, error) {
	b := &builder{source: source, before: l, list: &List{blocks: map[digest]block{}}}
	blocks := split(source.Rows)
	for len(blocks) > 0 {
		changed := 0
		for changed < len(blocks) && !l.has(blocks[changed]) {
			changed++
		}
		if changed > 0 {
			if err := b.read(blocks[:changed]); err != nil {
				return nil, err
			}
			blocks = blocks[changed:]
			continue
		}
		if err := b.take(blocks[0]); err != nil {
			return nil, err
		}
		blocks = blocks[1:]
	}
	return b.list, nil
}

func (l *List) has(rows rowBlock) bool {
	_, found := l.blocks[rows.digest]
	return found
}

// rowBlock is the rows of a block.
type rowBlock struct {
	first, last int64
	digest      digest
}

// split divides rows into blocks.
func split(rows []Row) []rowBlock {
	var blocks []rowBlock
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && size < maxBlock && (n == 0 || !begins(rows[n].Position)) {
			size += rows[n].Size
			n++
		}
		blocks = append(blocks, rowBlock{rows[0].Position, rows[n-1].Position, digestOf(rows[:n])})
		rows = rows[n:]
	}
	return blocks
}

// begins reports whether the row at a position is the first one of a block, whatever rows there are. Positions that
// follow one another are scattered by Fibonacci hashing, so that no pattern of them makes large or small blocks.
func begins(position int64) bool {
	const golden = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio
	return bits.LeadingZeros64(uint64(position)*golden) >= blockBits
}

func digestOf(rows []Row) digest {
	var text []byte
	for _, row := range rows {
		text = binary.LittleEndian.AppendUint64(text, uint64(row.Position))
		text = binary.LittleEndian.AppendUint32(text, row.Version)
	}
	return sha256.Sum256(text)
}

// builder makes a list.
type builder struct {
	source Source
	before *List
	list   *List

	text       bytes.Buffer // the elements of the block that is made
	compressed bytes.Buffer // the same, compressed
	writer     *gzip.Writer
}

// take adds a block of the list before.
func (b *builder) take(rows rowBlock) error {
	known := b.before.blocks[rows.digest]
	return b.add(rows, b.before.members[known.start:known.end], known.plain)
}

// read makes blocks that follow one another.
func (b *builder) read(blocks []rowBlock) error {
	current := 0
	for element, err := range b.source.Read(blocks[0].first, blocks[len(blocks)-1].last) {
		if err != nil {
			return err
		}
		for element.Position > blocks[current].last {
			if err := b.finish(blocks[current]); err != nil {
				return err
			}
			current++
		}
		if b.text.Len() > 0 {
			b.text.WriteByte(',')
		}
		b.text.Write(element.JSON)
	}
	for _, rows := range blocks[current:] {
		if err := b.finish(rows); err != nil {
			return err
		}
	}
	return nil
}

// finish adds the block that has been read.
func (b *builder) finish(rows rowBlock) error {
	defer b.text.Reset()
	defer b.compressed.Reset()
	if b.text.Len() == 0 {
		return b.add(rows, nil, 0)
	}
	if b.source.Check != nil {
		if err := b.source.Check(b.text.Bytes()); err != nil {
			return err
		}
	}
	if b.writer == nil {
		b.writer, _ = gzip.NewWriterLevel(nil, level) // the error is that of a level that does not exist
	}
	b.writer.Reset(&b.compressed)
	_, _ = b.writer.Write(b.text.Bytes()) // a bytes.Buffer returns no errors
	_ = b.writer.Close()
	return b.add(rows, b.compressed.Bytes(), b.text.Len())
}

// add adds a block.
func (b *builder) add(rows rowBlock, member []byte, plain int) error {
	l := b.list
	if plain > 0 && l.plain > 0 {
		l.members = append(l.members, comma...)
		l.plain++
	}
	start := len(l.members)
	if start+len(member) > b.source.Limit {
		return ErrTooLarge
	}
	l.members = append(l.members, member...)
	l.plain += plain
	l.blocks[rows.digest] = block{start, len(l.members), plain}
	return nil
}

// comma is a member that separates two blocks.
var comma = AppendStored(nil, ",")
