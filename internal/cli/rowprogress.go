package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"gatehouse/internal/backup"
)

// rowProgress shows on a terminal how many rows have been read or written, and nothing elsewhere.
type rowProgress struct {
	bar     *progressbar.ProgressBar // nil unless there is a terminal
	pending int64                    // rows that the bar does not have yet
}

const (
	// redrawPause is the time between two updates of the bar, which a reader can still follow.
	redrawPause = 100 * time.Millisecond
	// rowsAtOnce are given to the bar together: it looks at the clock each time.
	rowsAtOnce = 100
)

func newRowProgress(log io.Writer, what string, rows int64) *rowProgress {
	file, isFile := log.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return &rowProgress{}
	}
	return &rowProgress{bar: progressbar.NewOptions64(rows, progressbar.OptionSetWriter(file),
		progressbar.OptionSetDescription(what), progressbar.OptionShowCount(), progressbar.OptionThrottle(redrawPause),
		progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())}
}

// add is called for each row.
func (p *rowProgress) add() {
	if p.bar == nil {
		return
	}
	if p.pending++; p.pending == rowsAtOnce {
		_ = p.bar.Add64(p.pending) // a terminal that is gone is no reason to end the command
		p.pending = 0
	}
}

// end removes the bar. p may be nil.
func (p *rowProgress) end() {
	if p != nil && p.bar != nil {
		_ = p.bar.Finish() // see add
	}
}

// describeTables says how many rows of each table there are.
func describeTables(tables []backup.Table) string {
	var parts []string
	for _, table := range tables {
		parts = append(parts, fmt.Sprintf("%d %s", table.Rows, tableNoun(table.Name)))
	}
	return strings.Join(parts, ", ")
}

// tableNoun is what the rows of a table are called.
func tableNoun(table string) string {
	if noun, ok := map[string]string{
		"user_groups": "user groups", "apis": "APIs", "objects": "other objects", "org_keys": "organisation keys",
		"released_apis": "IDs of former APIs", "released_policies": "IDs of former policies",
	}[table]; ok {
		return noun
	}
	return table
}
