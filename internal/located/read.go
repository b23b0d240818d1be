package located

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"gatehouse/internal/jsondoc"
	"gatehouse/internal/oas"
)

// Options are how a text is read.
type Options struct {
	// File is the name in its places.
	File string
	// Limits bound each of its values.
	Limits jsondoc.Limits
	// MaxValues is how many values are read. 0 is no limit.
	MaxValues int
}

// reader reads a text.
type reader struct {
	Options

	values []Value
	faults []Fault
}

// full reports whether there are as many values as may be, and adds a fault at the next one then.
func (r *reader) full(at Place) bool {
	if r.MaxValues == 0 || len(r.values) < r.MaxValues {
		return false
	}
	r.faults = append(r.faults, Fault{at, "more than " + strconv.Itoa(r.MaxValues) + " documents: split the file"})
	return true
}

// JSON reads the values of a text, one after another, until the first fault.
func JSON(text []byte, options Options) ([]Value, []Fault) {
	r := reader{Options: options}
	c := newContent(r.File, text)
	decoder := json.NewDecoder(bytes.NewReader(text))
	for end := 0; ; end = int(decoder.InputOffset()) {
		start := end + len(text[end:]) - len(bytes.TrimLeft(text[end:], " \t\r\n"))
		if start == len(text) || r.full(c.place(start)) {
			return r.values, r.faults
		}
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		if err == nil {
			err = r.add(raw, inJSON(c, start, start+len(raw)))
		} else if _, precise := jsondoc.Normalise(text[start:], r.Limits); precise != nil {
			err = precise
		}
		if syntax, ok := errors.AsType[*jsondoc.SyntaxError](err); ok {
			r.faults = append(r.faults, Fault{c.place(start + int(syntax.Offset)), syntax.Reason})
			return r.values, r.faults
		}
		if err != nil {
			r.faults = append(r.faults, Fault{c.place(start), err.Error()})
			return r.values, r.faults
		}
	}
}

// add adds a value. The error is a *jsondoc.SyntaxError.
func (r *reader) add(raw json.RawMessage, in Value) error {
	compact, err := jsondoc.Normalise(raw, r.Limits)
	if err != nil {
		return err
	}
	in.JSON, in.Repeated = compact, repeated(raw)
	r.values = append(r.values, in)
	return nil
}

// repeated returns the pointer to the first member of a valid value whose name an earlier one of its object has.
func repeated(raw []byte) string {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(raw))
	for {
		_, err := decoder.ReadToken()
		if err == nil {
			continue
		}
		if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok && errors.Is(err, jsontext.ErrDuplicateName) {
			return string(syntax.JSONPointer)
		}
		if errors.Is(err, io.EOF) {
			return ""
		}
		return "" // not JSON, which Normalise has found before
	}
}

// marker matches the line between two documents of a YAML text.
var marker = regexp.MustCompile(`(?m)^(---|\.\.\.)(\s|$)`)

// YAML reads the documents of a text, those without a value excepted.
func YAML(text []byte, options Options) ([]Value, []Fault) {
	r := reader{Options: options}
	starts, lines, counted, most := []int{0}, 0, 0, -1
	if r.MaxValues > 0 {
		most = 2*r.MaxValues + 2 // a document may begin and end with a marker
	}
	for _, found := range marker.FindAllIndex(text, most) {
		starts = append(starts, found[0]+len("---"))
	}
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1] - len("---")
		}
		lines += bytes.Count(text[counted:start], []byte("\n"))
		counted = start
		if onlyComments.Match(text[start:end]) {
			continue // such as before the first marker; the parser returns an error for it
		}
		if r.full(Place{r.File, lines + 1, 1}) {
			break
		}
		r.addYAML(text[start:end], lines)
	}
	return r.values, r.faults
}

// onlyComments matches a document without a value.
var onlyComments = regexp.MustCompile(`^(\s*(#.*)?(\n|$))*$`)

// inYAMLMessage matches a message of the YAML parser, whose last place is that of the fault, or of package oas. The
// groups are line and column, or only the line, and the fault.
var inYAMLMessage = regexp.MustCompile(`^.*(?:L(\d+)\.C(\d+)|^line (\d+) of the YAML): (.*)$`)

// addYAML adds a document that begins after linesBefore lines.
func (r *reader) addYAML(text []byte, linesBefore int) {
	node, err := oas.ParseYAML(text)
	if err == nil && (node.Kind == 0 || len(node.Content) == 0 || node.Content[0].ShortTag() == "!!null") {
		return // only comments
	}
	var raw json.RawMessage
	if err == nil {
		raw, err = oas.YAMLNodeToJSON(node)
	}
	if err == nil {
		err = r.add(raw, inYAML(r.File, node, linesBefore))
	}
	if err == nil {
		return
	}
	place, reason := Place{r.File, linesBefore + 1, 1}, strings.ReplaceAll(err.Error(), "\n", " ")
	reason = strings.TrimPrefix(reason, oas.NotYAML)
	if found := inYAMLMessage.FindStringSubmatch(reason); found != nil {
		line, _ := strconv.Atoi(found[1] + found[3]) // digits, of one of the two
		place.Line, reason = linesBefore+line, found[4]
		if column, err := strconv.Atoi(found[2]); err == nil {
			place.Column = column
		}
	}
	r.faults = append(r.faults, Fault{place, "the document is not valid YAML: " + reason})
}
