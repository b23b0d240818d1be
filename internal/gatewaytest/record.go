package gatewaytest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// record is a list that grows in one goroutine and is read in another.
type record[T any] struct {
	mu    sync.Mutex
	items []T
}

func (r *record[T]) add(item T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items = append(r.items, item)
}

func (r *record[T]) list() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.items)
}

// take empties the list and answers what was in it.
func (r *record[T]) take() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	items := r.items
	r.items = nil
	return items
}

// logbook is the gateway's log. It is shown after the test only, because t.Log must not be called from a goroutine
// that a finished test has left behind.
type logbook struct{ lines record[string] }

func (l *logbook) printf(format string, arguments ...any) {
	l.lines.add(time.Now().Format("15:04:05.000 ") + fmt.Sprintf(format, arguments...))
}

// String is the log, one entry a line.
func (l *logbook) String() string { return strings.Join(l.lines.list(), "\n") }
