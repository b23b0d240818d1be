package conformance

import (
	"fmt"
	"strings"
	"time"
)

// Status is what became of a scenario.
type Status string

// The statuses of a Result.
const (
	// StatusDriven means that the outcome happened, as documented.
	StatusDriven Status = "driven"
	// StatusFailed means that it did not, or not as documented.
	StatusFailed Status = "failed"
	// StatusNotDriven means that the scenario did not run; Reason says why.
	StatusNotDriven Status = "not driven"
)

// Result is the result of one scenario.
type Result struct {
	Scenario *Scenario
	Status   Status
	// Reason says why the scenario was not driven, or at which call it failed.
	Reason string
	// Fault reports whether the scenario was not driven because it needs a fault that only a test in process can provide.
	Fault bool
	// Differences are between the example and the response.
	Differences []Difference
	// Exchanges are the requests that were sent, with their responses: first those that prepare, then the scenario's own.
	Exchanges []Exchange
	// Leftovers name what could not be removed.
	Leftovers []string
	Started   time.Time
	Duration  time.Duration
}

// Exchange is a request and its response. Secrets are replaced by the names of variables.
type Exchange struct {
	Operation string
	Request   string // the request line
	// Curl repeats the request. The script of a Result sets the variables.
	Curl     string
	Status   int
	Response string
	Duration time.Duration

	assigns []assignment
}

// assignment is a shell variable that has a value of a response.
type assignment struct{ variable, pointer string }

// Script returns shell commands that repeat the scenario: the requests that prepare it, with the values that later
// requests need, and its own. It needs curl, and jq if a response has such a value.
func (r *Result) Script() string {
	var out strings.Builder
	for _, e := range r.Exchanges {
		if len(e.assigns) == 0 {
			out.WriteString(e.Curl + "\n")
			continue
		}
		out.WriteString("RESPONSE=$(" + e.Curl + ")\n")
		for _, a := range e.assigns {
			fmt.Fprintf(&out, "%s=$(printf %%s \"$RESPONSE\" | jq -r '%s')\n", a.variable, jqPath(a.pointer))
		}
	}
	return out.String()
}

// jqPath returns the filter of jq for a JSON pointer.
func jqPath(pointer string) string {
	if pointer == "" {
		return "."
	}
	var path strings.Builder
	path.WriteByte('.')
	for _, name := range splitPointer(pointer) {
		if strings.Trim(name, "0123456789") == "" {
			path.WriteString("[" + name + "]")
		} else {
			fmt.Fprintf(&path, "[%q]", name)
		}
	}
	return path.String()
}
