package importer

import (
	"strings"

	"gatehouse/internal/apidef"
)

// MalformedError is returned for a body that is not JSON, has an ID twice, or has no valid document.
type MalformedError struct {
	problems []apidef.Problem
	cause    error
}

// malformed returns the error for a body in which the value at a JSON pointer is wrong.
func malformed(path, reason string) error {
	return &MalformedError{problems: []apidef.Problem{{Path: path, Reason: reason}}}
}

// notJSON returns the error for a body that is not JSON.
func notJSON(reason string, cause error) error {
	return &MalformedError{problems: []apidef.Problem{{Reason: reason}}, cause: cause}
}

// Error implements error.
func (e *MalformedError) Error() string {
	if e.cause != nil {
		return e.cause.Error()
	}
	return Reasons(e.problems)
}

// Unwrap returns the cause.
func (e *MalformedError) Unwrap() error { return e.cause }

// Problems lists what is wrong with the body.
func (e *MalformedError) Problems() []apidef.Problem { return e.problems }

// NoneImportedError is returned for an import of which no document was imported.
type NoneImportedError struct{ problems []apidef.Problem }

// Error implements error.
func (e *NoneImportedError) Error() string { return "no document was imported: " + Reasons(e.problems) }

// Problems lists why the documents were refused.
func (e *NoneImportedError) Problems() []apidef.Problem { return e.problems }

// Reasons returns problems in one line.
func Reasons(problems []apidef.Problem) string {
	reasons := make([]string, 0, len(problems))
	for _, p := range problems {
		reasons = append(reasons, strings.TrimSpace(p.Path+" "+p.Reason))
	}
	return strings.Join(reasons, ", ")
}
