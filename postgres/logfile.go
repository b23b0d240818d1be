package postgres

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

const (
	// maxLogSize is the size in bytes above which a start renames the log and begins a new one. The log grows slowly
	// (see settings), and no disk misses the room of two.
	maxLogSize = 1 << 20
	// maxQuote and maxQuoteLines limit what an error quotes of a log, in bytes and lines. The last lines name the cause.
	maxQuote      = 4 << 10
	maxQuoteLines = 5
)

// errBackendsLeft is returned when a postmaster refuses to start because backends of a dead one are still running.
var errBackendsLeft = errors.New("processes of an earlier postgres are still running")

// openLog opens the log for appending, so that it still tells of a crash after the restart.
func openLog(path string) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && info.Size() > maxLogSize {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
}

// addLog adds to err what Postgres logged after the offset began. The result wraps errBackendsLeft if that was the
// cause.
func addLog(err error, log *os.File, began int64) error {
	end, seekErr := log.Seek(0, io.SeekEnd)
	began = max(began, end-maxQuote)
	text, readErr := io.ReadAll(io.NewSectionReader(log, began, end-began))
	if seekErr != nil || readErr != nil || len(text) == 0 {
		return err
	}
	if strings.Contains(string(text), "pre-existing shared memory block") {
		return fmt.Errorf("%w: %w", errBackendsLeft, err)
	}
	return fmt.Errorf("%w: %s", err, lastLines(string(text)))
}

// lastLines returns the end of a log as one line.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-maxQuoteLines):], " | ")
}
