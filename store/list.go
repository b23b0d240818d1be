package store

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// A list is read in chunks, each with a statement of its own, so that it holds no connection while its client reads.
// While the rows of one chunk are sent, the next is read. So a list has two chunks in memory, however long it is.
//
// What a list has of changes that are made while it is sent: the rows that exist when it begins, each at most once and
// as it was committed at some time before it was sent. A row that is deleted meanwhile may be missing. Rows that are
// added meanwhile are not in the list (lastPosition), so that a list ends, and an ID that is deleted and stored again
// is not in it twice.
const (
	// chunkBytes is the size of a chunk in bytes. With larger ones a list is hardly faster (docs/performance.md), and a
	// client that does not read occupies two of them.
	chunkBytes = 256 << 10
	// firstRows is the number of rows of the first chunk, whose documents may have any size. Most lists end within it.
	firstRows = 64
	// maxRows is the number of rows of a chunk at most.
	maxRows = 1000
	// maxGrowth bounds how much longer a chunk is than the one before it, in rows: the documents may be larger.
	maxGrowth = 4
	// maxChunk ends a chunk before it has all of its rows, because the documents are larger than those before them. The
	// others belong to the next chunk.
	maxChunk = 4 * chunkBytes
	// maxSkipped is how much of these others, in bytes, Postgres may send. After that the statement is cancelled, which
	// costs the connection.
	maxSkipped = 8 << 20
)

// Page is a part of a list.
type Page struct {
	// Number counts from 1. The whole list is 0, or less.
	Number int
	// Size is how many rows a page has.
	Size int
}

// Pages returns how many pages a list of so many rows has, or 0 if p is the whole list.
func (p Page) Pages(total int) int {
	if p.Number < 1 {
		return 0
	}
	return (total + p.Size - 1) / p.Size
}

// Row is a stored document and its ID. In a list, the document is valid until the next row is requested.
type Row struct {
	ID       string
	Document json.RawMessage
}

// listQuery selects the rows of a list.
type listQuery[T any] struct {
	// operation is what errors name.
	operation string
	// columns are the columns that scan reads, in table.
	columns, table string
	where          conditions
	args           pgx.StrictNamedArgs
	page           Page
	// order is what the rows are sorted by, before their position; "" is their position only.
	order string
	// scan reads a row. The columns of place follow those of the list.
	scan func(row pgx.Rows, memory *chunkMemory, at *place) (T, error)
}

// statement selects a chunk: the next rows behind the cursor.
func (q listQuery[T]) statement(at cursor) (sql string, args pgx.StrictNamedArgs) {
	if q.order != "" {
		return `SELECT ` + q.columns + `, position, position AS last_position FROM ` + q.table + `
			WHERE position = ANY (@wanted) ORDER BY array_position(@wanted, position)`,
			pgx.StrictNamedArgs{"wanted": at.sorted[:at.limit()]}
	}
	args = pgx.StrictNamedArgs{"after": at.after, "last": at.last, "limit": at.limit(), "offset": at.offset}
	maps.Copy(args, q.args)
	where := append(conditions{`position > @after`, `position <= @last`}, q.where...)
	return `SELECT ` + q.columns + `, position, (SELECT max(position) FROM ` + q.table + `) AS last_position
		FROM ` + q.table + where.sql() + ` ORDER BY position LIMIT @limit OFFSET @offset`, args
}

// sorted returns the positions of the rows of a page in their order. A list that is not sorted by position is read by
// them: it is sorted once, whatever changes while it is sent, and needs eight bytes a row.
func (q listQuery[T]) sorted(ctx context.Context, db *pool) ([]int64, error) {
	args := pgx.StrictNamedArgs{"limit": nil, "offset": q.page.start().offset}
	if q.page.Number >= 1 {
		args["limit"] = q.page.Size
	}
	maps.Copy(args, q.args)
	return queryColumn[int64](ctx, db, `SELECT position FROM `+q.table+q.where.sql()+`
		ORDER BY `+q.order+`, position LIMIT @limit OFFSET @offset`, args)
}

// place is where in its table a row is.
type place struct {
	Position int64
	// LastPosition is the position of the last row of the table.
	LastPosition int64
}

// cursor is where in its list a chunk begins.
type cursor struct {
	// after is the position of the row before the chunk, and last that of the last row of the list.
	after, last int64
	// offset is how many more rows are left out.
	offset int64
	// rows is how many rows fit into a chunk, and left how many the page still has; negative is the whole list.
	rows, left int
	// sorted are the positions of the rows of a list that is not sorted by position.
	sorted []int64
}

// limit is how many rows the chunk may have.
func (c cursor) limit() int {
	if c.left < 0 {
		return c.rows
	}
	return min(c.rows, c.left)
}

// start returns the beginning of a list.
func (p Page) start() cursor {
	c := cursor{after: math.MinInt64, last: math.MaxInt64, rows: firstRows, left: -1}
	if p.Number >= 1 {
		number := min(int64(p.Number)-1, math.MaxInt64/int64(p.Size)) // no list is that long
		c.offset, c.left = number*int64(p.Size), p.Size
	}
	return c
}

// chunk is rows of a list that follow one another, and memory that is used again for others.
type chunk[T any] struct {
	rows   []T
	bytes  int
	memory chunkMemory
	// more reports whether rows may follow.
	more bool
}

// chunkMemory has the documents of a chunk.
type chunkMemory struct{ text []byte }

// clone copies a document.
func (m *chunkMemory) clone(document []byte) json.RawMessage {
	start := len(m.text)
	// If text grows, earlier documents keep the memory that they are in.
	m.text = append(m.text, document...)
	return m.text[start:len(m.text):len(m.text)]
}

// rows lists the rows. A row is valid until the next one is requested.
func (q listQuery[T]) rows(ctx context.Context, db *pool) iter.Seq2[T, error] {
	ctx = mayTakeLong(ctx)
	return func(yield func(T, error) bool) {
		at, current, following := q.page.start(), new(chunk[T]), new(chunk[T])
		err := q.begin(ctx, db, &at, current)
		var reading sync.WaitGroup
		defer reading.Wait()
		for err == nil {
			var next error
			if current.more {
				reading.Go(func() { next = q.read(ctx, db, &at, following) })
			}
			for _, row := range current.rows {
				if !yield(row, nil) {
					return
				}
			}
			if !current.more {
				return
			}
			reading.Wait()
			current, following, err = following, current, next
		}
		wrap(q.operation, &err)
		yield(*new(T), err)
	}
}

// begin reads the first chunk of a list.
func (q listQuery[T]) begin(ctx context.Context, db *pool, at *cursor, c *chunk[T]) (err error) {
	if q.order != "" {
		at.sorted, err = q.sorted(ctx, db)
		if at.left = len(at.sorted); err != nil || at.left == 0 {
			return err
		}
	}
	return q.read(ctx, db, at, c)
}

// read reads the chunk at a cursor, and moves the cursor behind it.
func (q listQuery[T]) read(ctx context.Context, db *pool, at *cursor, c *chunk[T]) error {
	limit, start := at.limit(), *at
	var all bool
	err := db.repeat(ctx, true, func() (err error) {
		*at = start
		c.rows, c.bytes, c.memory.text = c.rows[:0], 0, c.memory.text[:0]
		all, err = q.readRows(ctx, db, at, c)
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case q.order != "":
		read := limit // some of them may have been deleted
		if !all {
			read = slices.Index(at.sorted, at.after) + 1
		}
		at.sorted = at.sorted[read:]
		at.left = len(at.sorted)
		c.more = at.left > 0
	case at.left >= 0:
		at.left -= len(c.rows)
		fallthrough
	default:
		c.more = (!all || len(c.rows) == limit) && at.left != 0
	}
	at.rows = max(1, min(chunkBytes*len(c.rows)/max(1, c.bytes), limit*maxGrowth, maxRows))
	return nil
}

// readRows reads the rows at a cursor, and moves the cursor behind them. all is false if the chunk was full before it
// had all that it may have.
func (q listQuery[T]) readRows(ctx context.Context, db *pool, at *cursor, c *chunk[T]) (all bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sql, args := q.statement(*at)
	rows, err := db.Query(ctx, sql, args)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	skipped := 0
	for rows.Next() {
		size := 0
		for _, value := range rows.RawValues() {
			size += len(value)
		}
		if c.bytes >= maxChunk {
			if skipped += size; skipped > maxSkipped {
				cancel()
				return false, nil
			}
			continue
		}
		var found place
		row, err := q.scan(rows, &c.memory, &found)
		if err != nil {
			return false, err
		}
		c.rows, c.bytes = append(c.rows, row), c.bytes+size
		at.after, at.last, at.offset = found.Position, min(at.last, found.LastPosition), 0
	}
	return skipped == 0, rows.Err()
}

// scanRow reads an ID and a document.
func scanRow(row pgx.Rows, memory *chunkMemory, at *place) (r Row, err error) {
	var document pgtype.DriverBytes
	err = row.Scan(&r.ID, &document, &at.Position, &at.LastPosition)
	r.Document = memory.clone(document)
	return r, err
}

// ofOrganisation returns the condition that a row is one of an organisation, and its arguments. Nil is all
// organisations.
func ofOrganisation(orgID *string) (conditions, pgx.StrictNamedArgs) {
	if orgID == nil {
		return nil, pgx.StrictNamedArgs{}
	}
	return conditions{`org_id = @org_id`}, pgx.StrictNamedArgs{"org_id": *orgID}
}
