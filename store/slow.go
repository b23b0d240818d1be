package store

import (
	"context"
	"regexp"
	"strings"
	"time"
)

// SlowStatement is a statement that took long. It has no values: the text of a statement refers to them as $1, or by
// name.
type SlowStatement struct {
	// Name is the verb of the statement and the table that it names first, such as "UPDATE users".
	Name string
	// Text is the statement on one line, as far as maxStatementText.
	Text string
	Took time.Duration
}

// maxStatementText is the maximum length of the text of a statement, in bytes. Longer ones differ earlier.
const maxStatementText = 1000

// slowStatements reports statements that take at least as long as a threshold.
type slowStatements struct {
	threshold time.Duration // 0 or less: none is slow
	report    func(context.Context, SlowStatement)
}

// check reports an execution that ends now, if it was slow.
func (s slowStatements) check(e *execution) {
	if s.threshold <= 0 || s.report == nil {
		return
	}
	if took := time.Since(e.started); took >= s.threshold {
		s.report(e, SlowStatement{Name: nameOf(e.sql), Text: textOf(e.sql), Took: took})
	}
}

// textOf returns a statement on one line, as far as maxStatementText.
func textOf(sql string) string {
	text := strings.Join(strings.Fields(sql), " ")
	return strings.ToValidUTF8(text[:min(len(text), maxStatementText)], "")
}

// namedTable matches what precedes the name of a table, and the name. A function in FROM is none.
var namedTable = regexp.MustCompile(
	`(?i)\b(?:FROM|INTO|UPDATE|TABLE|COPY|JOIN)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?"?([a-z_]\w*)"?(?:[^\w(]|$)`)

// nameOf returns the verb of a statement and the table that it names first. The number of names is bounded by the
// number of statements in this package.
func nameOf(sql string) string {
	verb := verbOf(sql)
	if table := namedTable.FindStringSubmatch(sql); table != nil {
		return verb + " " + table[1]
	}
	return verb
}
