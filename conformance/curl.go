package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// curl returns a command line that repeats a request.
func curl(sent *request) string {
	r := sent.shown
	parts := []string{"curl -sS -X " + r.method, quoted(sent.base + r.target)}
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		for _, value := range r.header[name] {
			parts = append(parts, "-H", quoted(name+": "+value))
		}
	}
	transfer := r.call.transfer
	switch text := quoted(string(r.body)); {
	case transfer.repeat > 0:
		// curl reads a body of megabytes from its standard input: a command line would be too long.
		return fmt.Sprintf("yes %s | tr -d '\\n' | head -c %d | %s --data-binary @-",
			text, len(r.body)*transfer.repeat, strings.Join(parts, " "))
	case transfer.announce > 0:
		parts = append(parts, "-H", fmt.Sprintf("'Content-Length: %d'", transfer.announce), "--data-binary", text)
	case transfer.stall:
		return fmt.Sprintf("(printf %%s %s; sleep 60) | %s -H 'Transfer-Encoding: chunked' -T -",
			text, strings.Join(parts, " "))
	case len(r.body) > 0:
		parts = append(parts, "--data-binary", text)
	}
	return strings.Join(parts, " ")
}

// quoted quotes a text for a POSIX shell. Marked variables become references.
func quoted(text string) string {
	literal := func(text string) string {
		if text == "" {
			return ""
		}
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	var out strings.Builder
	end := 0
	for _, m := range mark.FindAllStringSubmatchIndex(text, -1) {
		out.WriteString(literal(text[end:m[0]]) + `"$` + text[m[2]:m[3]] + `"`)
		end = m[1]
	}
	out.WriteString(literal(text[end:]))
	if out.Len() == 0 {
		return "''"
	}
	return out.String()
}
