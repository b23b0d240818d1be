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

	"gatehouse/internal/located"
	"gatehouse/internal/remote"
)

// Place is a place in a file.
type Place = located.Place

// Document is the document of a desired object.
type Document struct {
	Kind         remote.Kind
	Organisation string // the ID; "" for a super user
	ID           string // as remote.IDOf returns it
	// JSON is the document without insignificant whitespace.
	JSON json.RawMessage

	// place returns the place of the value at a JSON pointer.
	place located.Locator
}

// Fault is an error in a file.
type Fault = located.Fault

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
	e.Faults = append(e.Faults, Fault{Place: place, Reason: fmt.Sprintf(format, args...)})
}

// orNil returns the error, or nil if there are no faults.
func (e *FaultsError) orNil() error {
	if len(e.Faults) == 0 {
		return nil
	}
	return e
}
