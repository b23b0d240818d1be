// Package contractdiff compares two versions of an OpenAPI 3.0 contract and describes what changed for its clients.
package contractdiff

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	"github.com/oasdiff/oasdiff/load"

	"gatehouse/contract"
)

// Change is one difference between two versions of a contract.
type Change struct {
	// Breaking reports whether a client of the old version may fail with the new one.
	Breaking bool
	// Check names the kind of change, such as request-property-removed.
	Check string
	// Method and Path are those of the operation; empty for a change outside of operations.
	Method, Path string
	// OperationID may be empty.
	OperationID string
	// Text describes the change in words.
	Text string
	// File and Line are where the new version has what changed, or the old version what is gone. Line is 0 if unknown.
	File string
	Line int
}

// String returns check, method, path and text, separated by spaces.
func (c Change) String() string {
	return strings.Join([]string{c.Check, c.Method, c.Path, c.Text}, " ")
}

// alsoBreaking lists checks whose changes oasdiff does not consider breaking, although clients notice them: they have
// code for a status, read optional properties, and are generated with names of operation IDs.
var alsoBreaking = map[string]checker.Level{
	checker.APIOperationIdRemovedId:           checker.ERR,
	checker.ResponseNonSuccessStatusRemovedId: checker.ERR,
	checker.ResponseOptionalPropertyRemovedId: checker.ERR,
}

// versionNotBumped is the check of info.version. That of a contract here is the version of the original that it
// follows.
const versionNotBumped = "api-version-not-bumped"

var pathParameter = regexp.MustCompile(`\{[^}]*\}`)

// Load reads a contract with the files that it refers to. source is a path, or REVISION:PATH for a file in the Git
// repository of the working directory, with a path that is relative to the root of the repository.
func Load(source string) (*openapi3.T, error) {
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = true
	loader.IncludeOrigin = true
	loader.ReadFromURIFunc = contract.ReadLocal
	info, err := load.NewSpecInfo(loader, load.NewSource(source))
	if err != nil {
		return nil, &loadError{source, err}
	}
	if err := contract.CheckDocument(info.Spec); err != nil {
		return nil, &loadError{source, err}
	}
	return info.Spec, nil
}

// loadError is an error of oasdiff without its advice, which follows a blank line and is about flags that the commands
// of gatehouse do not have.
type loadError struct {
	source string
	cause  error
}

// Error implements error.
func (e *loadError) Error() string {
	reason, _, _ := strings.Cut(e.cause.Error(), "\n\n")
	return fmt.Sprintf("load %s: %s", e.source, strings.TrimSpace(reason))
}

// Unwrap returns the error of oasdiff.
func (e *loadError) Unwrap() error { return e.cause }

// Compare lists the changes from one version of a contract to another: breaking ones first, and each group by path,
// method and text.
func Compare(before, after *openapi3.T) ([]Change, error) {
	report, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(),
		&load.SpecInfo{Spec: before}, &load.SpecInfo{Spec: after})
	if err != nil {
		return nil, fmt.Errorf("compare contracts: %w", err)
	}
	config := checker.NewConfig(checker.GetAllChecks(), checker.WithSeverityLevels(alsoBreaking))
	words := checker.NewDefaultLocalizer()
	var changes []Change
	for _, found := range checker.CheckBackwardCompatibilityUntilLevel(config, report, sources, checker.INFO) {
		if found.GetId() != versionNotBumped {
			changes = append(changes, describe(found, words))
		}
	}
	changes = append(changes, compareOwn(before, after)...)
	slices.SortStableFunc(changes, func(a, b Change) int {
		return cmp.Or(-compareBools(a.Breaking, b.Breaking), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method),
			cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(changes), nil
}

// describe makes a Change of one of oasdiff's.
func describe(found checker.Change, words checker.Localizer) Change {
	if change, ok := found.(checker.ApiChange); ok {
		change.Args = argumentsAsJSON(change.Args)
		found = change
	}
	change := Change{
		Breaking:    found.IsBreaking(),
		Check:       found.GetId(),
		Method:      found.GetOperation(),
		Path:        found.GetPath(),
		OperationID: found.GetOperationId(),
		Text:        found.GetUncolorizedText(words),
	}
	at := found.GetRevisionSource()
	if at == nil {
		at = found.GetBaseSource()
	}
	if at != nil {
		change.File, change.Line = at.File, at.Line
	}
	return change
}

// argumentsAsJSON returns the values in the text of a change as JSON. oasdiff prints an object as Go does: map[].
func argumentsAsJSON(args []any) []any {
	shown := slices.Clone(args)
	for i, arg := range args {
		switch arg.(type) {
		case map[string]any, []any:
		default:
			if arg != "" { // an empty text would be nothing between two quotation marks
				continue
			}
		}
		if text, err := json.Marshal(arg); err == nil {
			shown[i] = string(text)
		}
	}
	return shown
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}
