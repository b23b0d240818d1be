package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// report holds the results by name. A name consists of the contender (nothing for gatehouse), the operation, the
// measured quantity and, unless it is the default, the size or the number of connections.
type report struct {
	machine string
	order   []string // names in the order in which they were added
	series  map[string]*series
	notes   []string
}

// series holds the values of a result, one for each round.
type series struct {
	unit   string
	values []float64
}

func newReport() *report { return &report{series: map[string]*series{}} }

// add adds a value to a series.
func (r *report) add(name, unit string, value float64) {
	s, ok := r.series[name]
	if !ok {
		s = &series{unit: unit}
		r.series[name], r.order = s, append(r.order, name)
	}
	s.values = append(s.values, value)
}

// ratio adds the ratio of two values of a round to a series.
func (r *report) ratio(name string, numerator, denominator float64) {
	if denominator > 0 {
		r.add(name, "ratio", numerator/denominator)
	}
}

// note adds a remark, unless the report has it.
func (r *report) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(r.notes, text) {
		r.notes = append(r.notes, text)
	}
}

// result is a series in the JSON file.
type result struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	// Target is null if the result has no target. Better says whether a higher or a lower median is better.
	Target *float64 `json:"target"`
	Unit   string   `json:"unit"`
	Better string   `json:"better,omitempty"`
}

// result returns a result by name, which must exist.
func (r *report) result(name string) result {
	s := r.series[name]
	sorted := slices.Sorted(slices.Values(s.values))
	out := result{Min: sorted[0], Median: sorted[len(sorted)/2], Max: sorted[len(sorted)-1], Unit: s.unit}
	if len(sorted)%2 == 0 {
		out.Median = (sorted[len(sorted)/2-1] + out.Median) / 2
	}
	if target, ok := targetOf(name); ok {
		out.Target, out.Better = &target.value, target.better
	}
	return out
}

// targetStatus reports whether the median reaches the target: "reached", "missed", or "" without a target.
func (res result) targetStatus() string {
	switch {
	case res.Target == nil:
		return ""
	case res.Better == higher && res.Median >= *res.Target, res.Better == lower && res.Median <= *res.Target:
		return "reached"
	}
	return "missed"
}

// print writes a table of the results with a target, one of all others, and the notes.
func (r *report) print(out io.Writer) {
	fmt.Fprintf(out, "%s\n\n", r.machine)
	var withTarget, others []string
	for _, name := range r.order {
		if _, ok := targetOf(name); ok {
			withTarget = append(withTarget, name)
		} else {
			others = append(others, name)
		}
	}
	r.table(out, withTarget)
	fmt.Fprintln(out)
	r.table(out, others)
	for _, note := range r.notes {
		fmt.Fprintf(out, "\nnote: %s\n", note)
	}
}

// table writes the results of these names as a table.
func (r *report) table(out io.Writer, names []string) {
	const gap = 2
	w := tabwriter.NewWriter(out, 0, 0, gap, ' ', 0)
	fmt.Fprintln(w, "\tmin\tmedian\tmax\tunit\ttarget")
	for _, name := range names {
		s := r.result(name)
		target := ""
		if s.Target != nil {
			sign := map[string]string{higher: "≥ ", lower: "≤ "}[s.Better]
			target = sign + formatNumber(*s.Target) + " " + s.targetStatus()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n",
			name, formatNumber(s.Min), formatNumber(s.Median), formatNumber(s.Max), s.Unit, target)
	}
	_ = w.Flush() // fails only if standard output is closed
}

// formatNumber formats a number with three significant digits.
func formatNumber(v float64) string {
	const digits, whole = 3, 100
	if v >= whole || v <= -whole {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	text := strconv.FormatFloat(v, 'g', digits, 64)
	if strings.Contains(text, "e") {
		text = strconv.FormatFloat(v, 'f', digits, 64)
	}
	return text
}

// writeJSON writes the results to a file. It does nothing if file is empty.
func (r *report) writeJSON(file string) error {
	if file == "" {
		return nil
	}
	all := make(map[string]result, len(r.order))
	for _, name := range r.order {
		all[name] = r.result(name)
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644) // readable by everyone
}

// alias adds a series under a second name, and replaces an earlier one of that name. It does nothing if there is no
// series called original.
func (r *report) alias(name, original string) {
	s, ok := r.series[original]
	if !ok {
		return
	}
	if _, exists := r.series[name]; !exists {
		r.order = append(r.order, name)
	}
	r.series[name] = s
}
