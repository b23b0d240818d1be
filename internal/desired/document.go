// Package desired compares a desired state, as files in the format of exports, with the state of a server of the Admin
// API, changes the server to match, and writes such files.
//
// Load reads and validates all files, NewPlan compares them with the server and returns the changes, and Plan.Apply
// makes them. Documents are compared as JSON values, without members that servers set, and stored as in the files.
package desired

import (
	"encoding/json"
	"fmt"
	"strings"

	"gatehouse/internal/remote"
)

// Place is a place in a file. Lines and columns count from 1; a column is a byte.
type Place struct {
	File   string
	Line   int
	Column int
}

// String returns the place as editors and compilers write it.
func (p Place) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Document is the document of a desired object.
type Document struct {
	Kind         remote.Kind
	Organisation string // the ID; "" for a super user
	ID           string // as remote.IDOf returns it
	// JSON is the document without insignificant whitespace.
	JSON json.RawMessage

	// place returns the place of the value at a JSON pointer.
	place func(pointer string) Place
}

// Fault is an error in a file.
type Fault struct {
	Place  Place
	Reason string
}

// FaultsError is returned for files that have faults. Nothing has been changed.
type FaultsError struct{ Faults []Fault }

// Error implements error.
func (e *FaultsError) Error() string {
	lines := make([]string, 0, len(e.Faults)+1)
	for _, fault := range e.Faults {
		lines = append(lines, fmt.Sprintf("%s: %s", fault.Place, fault.Reason))
	}
	return strings.Join(append(lines, "nothing was changed"), "\n")
}

// addf adds a fault.
func (e *FaultsError) addf(place Place, format string, args ...any) {
	e.Faults = append(e.Faults, Fault{place, fmt.Sprintf(format, args...)})
}

// orNil returns the error, or nil if there are no faults.
func (e *FaultsError) orNil() error {
	if len(e.Faults) == 0 {
		return nil
	}
	return e
}
