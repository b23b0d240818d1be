package contractdiff

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// Result is what Diff finds.
type Result struct {
	// Changes are ordered as Compare orders them.
	Changes []Change
	// Left is what is left to do in this repository; empty elsewhere.
	Left []Task
}

// Diff compares the contracts that Load reads from two sources, and lists what is left to do for the new one in the
// repository at root.
func Diff(before, after, root string) (Result, error) {
	old, err := Load(before)
	if err != nil {
		return Result{}, err
	}
	updated, err := Load(after)
	if err != nil {
		return Result{}, err
	}
	changes, err := Compare(old, updated)
	if err != nil {
		return Result{}, err
	}
	left, err := leftOf(root, baseName(after), old, updated)
	return Result{changes, left}, err
}

// baseName returns the file name in a source: admin.yaml of HEAD~1:openapi/admin.yaml.
func baseName(source string) string {
	return filepath.Base(source[strings.LastIndexByte(source, ':')+1:])
}

// Breaking returns the number of breaking changes.
func (r Result) Breaking() int {
	n := 0
	for _, change := range r.Changes {
		if change.Breaking {
			n++
		}
	}
	return n
}

// Write writes the changes by operation, breaking ones first, and what is left to do.
func (r Result) Write(w io.Writer) error {
	out := bufio.NewWriter(w)
	breaking := r.Breaking()
	writeChanges(out, "Breaking changes:", r.Changes[:breaking])
	writeChanges(out, "Other changes:", r.Changes[breaking:])
	if len(r.Left) > 0 {
		fmt.Fprintln(out, "Left to do in this repository, after go generate ./...:")
		fmt.Fprintln(out)
		for _, task := range r.Left {
			fmt.Fprintf(out, "  %s\n", task)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "%s, %s", count(breaking, "breaking change"), count(len(r.Changes)-breaking, "other change"))
	if len(r.Left) > 0 {
		fmt.Fprintf(out, ", %d left to do", len(r.Left))
	}
	fmt.Fprintln(out, ".")
	return out.Flush()
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func writeChanges(out io.Writer, title string, changes []Change) {
	if len(changes) == 0 {
		return
	}
	fmt.Fprintf(out, "%s\n\n", title)
	last := ""
	for _, g := range group(changes) {
		if heading := g.heading(); heading != last {
			fmt.Fprintf(out, "  %s\n", heading)
			last = heading
		}
		fmt.Fprintf(out, "    %s%s\n", g.text(), g.changes[0].position())
		if g.isShared() {
			writeWrapped(out, "      ", g.names)
		}
	}
	fmt.Fprintln(out)
}

// lineWidth is the number of columns of the lists of operations.
const lineWidth = 100

func writeWrapped(out io.Writer, indent string, words []string) {
	line := indent + words[0]
	for _, word := range words[1:] {
		if len(line)+len(", ")+len(word) > lineWidth {
			fmt.Fprintln(out, line+",")
			line = indent + word
			continue
		}
		line += ", " + word
	}
	fmt.Fprintln(out, line)
}

// heading names what changed: an operation, or the contract as a whole.
func (c Change) heading() string {
	switch {
	case c.Path == "":
		return "the contract"
	case c.OperationID == "":
		return c.Method + " " + c.Path
	default:
		return fmt.Sprintf("%s %s (%s)", c.Method, c.Path, c.OperationID)
	}
}

func (c Change) position() string {
	if c.Line == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s:%d)", c.File, c.Line)
}
