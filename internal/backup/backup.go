// Package backup reads and writes the files of backups, which docs/backup.md describes: a line of JSON for the header
// and one for each row, compressed with zstd, and the SHA-256 of that. It knows the names of tables and columns only
// from the header, and nothing of a database.
package backup

import (
	"errors"
	"time"
)

// Format is the version of the format that this package writes. It reads this one and all before it.
const Format = 1

// The errors of a file. None of them is followed by rows that may be used.
var (
	// ErrNoBackup is returned for a file that is something else.
	ErrNoBackup = errors.New("not a backup of gatehouse")
	// ErrDamaged is returned for a file that is not as Writer has written it: it was cut off, or altered.
	ErrDamaged = errors.New("the backup is cut off or was altered")
	// ErrNewer is returned for a file of a format that this package does not know.
	ErrNewer = errors.New("the backup has a newer format")
)

// Header is the beginning of a backup.
type Header struct {
	Format int `json:"gatehouse_backup"`
	// Version is that of the program that made the backup.
	Version string `json:"version"`
	// Schema is the version of the database's schema.
	Schema  int       `json:"schema"`
	Created time.Time `json:"created"`
	// Organisation is the ID of the only organisation in the backup; "" if it has all.
	Organisation string  `json:"organisation,omitempty"`
	Tables       []Table `json:"tables"`
}

// Rows returns the number of rows of all tables.
func (h Header) Rows() (n int64) {
	for _, table := range h.Tables {
		n += table.Rows
	}
	return n
}

// Table is a table of a backup.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	// Kinds are those of the columns. Only Writer needs them.
	Kinds []Kind `json:"-"`
	Rows  int64  `json:"rows"`
}

// Kind is how the text of a value is written.
type Kind int

// The kinds of values. Text has no other kind.
const (
	Text Kind = iota
	Number
	Boolean // "t" or "f"
	JSON
)

// A backup ends with a frame that decoders of zstd skip. It has the SHA-256 of everything before it, in hexadecimal
// digits.
const (
	trailerMagic = "\x5a\x2a\x4d\x18" + "\x40\x00\x00\x00" // the number of such a frame, and the size of what follows
	trailerSize  = len(trailerMagic) + 64
	zstdMagic    = "\x28\xb5\x2f\xfd"
)
