package conformance

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"time"
)

//go:embed report.gohtml
var reportPage string

// htmlReport is what the page shows.
type htmlReport struct {
	URL, Started, Duration, Summary string
	Counts                          Counts
	Tags                            []htmlTag
	Failures                        []htmlFailure
	Fuzz                            *FuzzReport
	Leftovers                       []string
	Reasons                         []reason
}

type htmlTag struct {
	Name       string
	Operations []htmlOperation
}

type htmlOperation struct {
	*Operation

	Statuses []htmlStatus
}

type htmlStatus struct {
	Code     int
	Outcomes []htmlOutcome
}

type htmlOutcome struct {
	Name, Title string
	Class       string // driven, failed, fault or open
	// Anchor is the ID of the failure, "" if there is none.
	Anchor string
}

type htmlFailure struct {
	*Result

	Anchor, Script string
	Response       string
	Code           int
}

// WriteHTML writes the coverage as one page without references to others: operations, statuses and examples, and what
// failed.
func (r *Report) WriteHTML(w io.Writer) error {
	page, err := template.New("report").Parse(reportPage)
	if err != nil {
		return fmt.Errorf("parse the page: %w", err)
	}
	shown := htmlReport{
		URL: r.URL, Started: r.Started.UTC().Format(time.RFC3339), Duration: r.Duration.Round(time.Millisecond).String(),
		Summary: r.Summary(), Counts: r.Counts(), Leftovers: r.Leftovers(), Reasons: r.reasons(),
		Tags: r.htmlTags(), Fuzz: r.Fuzz,
	}
	for _, result := range r.Failures() {
		failure := htmlFailure{Result: result, Anchor: anchor(result), Script: result.Script()}
		if n := len(result.Exchanges); n > 0 {
			failure.Response, failure.Code = result.Exchanges[n-1].Response, result.Exchanges[n-1].Status
		}
		shown.Failures = append(shown.Failures, failure)
	}
	return page.Execute(w, shown)
}

func anchor(result *Result) string { return "failure-" + result.Scenario.ID() }

// htmlTags groups the outcomes by tag, operation and status.
func (r *Report) htmlTags() []htmlTag {
	byTag := map[string][]htmlOperation{}
	var current *Operation
	for _, o := range r.outcomes() {
		operations := byTag[o.op.Tag]
		if current != o.op {
			current = o.op
			operations = append(operations, htmlOperation{Operation: o.op})
			byTag[o.op.Tag] = operations
		}
		operations[len(operations)-1].add(o)
	}
	tags := make([]htmlTag, 0, len(byTag))
	for _, name := range slices.Sorted(maps.Keys(byTag)) {
		tags = append(tags, htmlTag{cmp.Or(name, "Without a tag"), byTag[name]})
	}
	return tags
}

// add adds an outcome. The outcomes of a status follow one another.
func (op *htmlOperation) add(o *outcome) {
	n := len(op.Statuses)
	if n == 0 || op.Statuses[n-1].Code != o.response.Status {
		op.Statuses = append(op.Statuses, htmlStatus{Code: o.response.Status})
		n++
	}
	name := cmp.Or(o.response.Outcome, "not in the contract")
	shown := htmlOutcome{Name: name, Class: string(o.status), Title: string(o.status)}
	for _, result := range o.results {
		switch result.Status {
		case StatusDriven:
		case StatusFailed:
			shown.Anchor = anchor(result)
		case StatusNotDriven:
			shown.Title, shown.Class = "not driven: "+result.Reason, "open"
			if result.Fault {
				shown.Class = "fault"
			}
		}
	}
	if o.status == StatusFailed {
		shown.Class, shown.Title = "failed", "failed"
	}
	op.Statuses[n-1].Outcomes = append(op.Statuses[n-1].Outcomes, shown)
}
