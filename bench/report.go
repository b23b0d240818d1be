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

// report is what was seen, by name. A name says the contender first (gatehouse's own has none), then the operation,
// then what was measured, then the size where it is not the one that the name without a size stands for.
type report struct {
	about string // the machine
	order []string
	seen  map[string]*series
	notes []string
}

// series is one number, as each round gave it.
type series struct {
	unit   string
	values []float64
}

func newReport() *report { return &report{seen: map[string]*series{}} }

// add notes what a round gave.
func (r *report) add(name, unit string, value float64) {
	s, ok := r.seen[name]
	if !ok {
		s = &series{unit: unit}
		r.seen[name], r.order = s, append(r.order, name)
	}
	s.values = append(s.values, value)
}

// ratio notes one contender's number over another's of the same round.
func (r *report) ratio(name string, over, under float64) {
	if under > 0 {
		r.add(name, "ratio", over/under)
	}
}

// note says something that no number says.
func (r *report) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(r.notes, text) {
		r.notes = append(r.notes, text)
	}
}

// result is a series as it is written to the JSON file.
type result struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	// Target is null where there is none; Better says on which side of it the median should be.
	Target *float64 `json:"target"`
	Unit   string   `json:"unit"`
	Better string   `json:"better,omitempty"`
}

func (r *report) result(name string) result {
	s := r.seen[name]
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

// verdict says whether the median reaches the target; "" where there is none.
func (out result) verdict() string {
	switch {
	case out.Target == nil:
		return ""
	case out.Better == higher && out.Median >= *out.Target, out.Better == lower && out.Median <= *out.Target:
		return "reached"
	}
	return "missed"
}

// print writes everything as a table: first what has a target, then the rest in the order in which it was measured.
func (r *report) print(out io.Writer) {
	fmt.Fprintf(out, "%s\n\n", r.about)
	var aimed, others []string
	for _, name := range r.order {
		if _, ok := targetOf(name); ok {
			aimed = append(aimed, name)
		} else {
			others = append(others, name)
		}
	}
	r.table(out, aimed)
	fmt.Fprintln(out)
	r.table(out, others)
	for _, note := range r.notes {
		fmt.Fprintf(out, "\nnote: %s\n", note)
	}
}

func (r *report) table(out io.Writer, names []string) {
	const gap = 2
	w := tabwriter.NewWriter(out, 0, 0, gap, ' ', 0)
	fmt.Fprintln(w, "\tmin\tmedian\tmax\tunit\ttarget")
	for _, name := range names {
		s := r.result(name)
		target := ""
		if s.Target != nil {
			target = map[string]string{higher: "≥ ", lower: "≤ "}[s.Better] + number(*s.Target) + " " + s.verdict()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", name, number(s.Min), number(s.Median), number(s.Max), s.Unit, target)
	}
	_ = w.Flush() // standard output is closed: there is nobody to tell
}

// number writes a number with three digits that count.
func number(v float64) string {
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

// writeJSON writes everything to a file, if it is named.
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
	return os.WriteFile(file, append(text, '\n'), 0o644) // results are for everybody
}

// alias gives a series a second name, which an earlier one loses; nothing happens if there is no such series.
func (r *report) alias(name, of string) {
	s, ok := r.seen[of]
	if !ok {
		return
	}
	if _, known := r.seen[name]; !known {
		r.order = append(r.order, name)
	}
	r.seen[name] = s
}
