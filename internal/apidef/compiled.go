package apidef

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// What gateways compile when they load an API, of all organisations in one process, is bounded by what it becomes: a
// pattern of twenty kilobytes can take hundreds of megabytes, and code that nests deeply ends the process.
const (
	// maxRepeats bounds the instructions that the repetitions in the patterns of an API definition add, such as 9 for
	// x{10}. Each takes some 70 bytes.
	maxRepeats = 100_000
	// maxOASRepeats bounds those of the OpenAPI document, whose patterns are compiled when they are used: schemas have
	// many like ^.{1,255}$.
	maxOASRepeats = 1_000_000
	// maxCode is the maximum size of JavaScript in bytes, and maxNesting that of its brackets and those of a GraphQL
	// schema: parsers of gateways recurse.
	maxCode    = 256 << 10
	maxNesting = 1000
)

// codeMembers are the members of an API definition that have JavaScript, in base64, and schemaMembers those that have
// GraphQL schemas.
var (
	codeMembers   = []string{"function_source_uri"}
	schemaMembers = []string{"schema", "sdl", "merged_sdl"}
)

// CompiledProblems returns what gateways should not compile in an API that they can decode.
func CompiledProblems(api json.RawMessage) (problems []Problem) {
	for _, part := range []struct {
		name    string
		repeats int
	}{{definitionMember, maxRepeats}, {"oas", maxOASRepeats}} {
		visit(api, []string{part.name}, "", func(pointer string, value json.RawMessage) {
			scan := compiledScan{left: part.repeats, isDefinition: part.name == definitionMember}
			if at, reason := scan.problem(value); reason != "" {
				problems = append(problems, Problem{Path: pointer + at, Reason: reason})
			}
		})
	}
	return problems
}

// compiledScan looks at the texts of a part of an API.
type compiledScan struct {
	left         int // repetitions that the part may still have
	isDefinition bool
}

// problem returns the place and the reason of the first problem; the reason is "" if there is none.
func (s *compiledScan) problem(doc json.RawMessage) (pointer, reason string) {
	in := jsontext.NewDecoder(bytes.NewReader(doc))
	for {
		value, err := readScalar(in, in.PeekKind())
		if err != nil { // the end
			return "", ""
		}
		if len(value) == 0 {
			continue
		}
		if reason := s.textProblem(in, value); reason != "" {
			return string(in.StackPointer()), reason
		}
	}
}

// textProblem returns what is wrong with a text that was just read, which may also be the name of a member.
func (s *compiledScan) textProblem(in *jsontext.Decoder, value json.RawMessage) string {
	if repeat.Match(value) {
		if s.left -= repeats(textOf(value)); s.left < 0 {
			return "has patterns that repeat too much"
		}
	}
	if len(value) <= maxNesting || !s.isDefinition {
		return ""
	}
	name := in.StackPointer().LastToken()
	switch {
	case containsFold(codeMembers, name):
		code, err := base64.StdEncoding.DecodeString(textOf(value))
		switch {
		case err != nil: // the name of a file
		case len(code) > maxCode:
			return fmt.Sprintf("has more than %d KiB of code", maxCode>>10)
		case nesting(code) > maxNesting:
			return fmt.Sprintf("nests deeper than %d levels", maxNesting)
		}
	case containsFold(schemaMembers, name) && nesting(value) > maxNesting:
		return fmt.Sprintf("nests deeper than %d levels", maxNesting)
	}
	return ""
}

func containsFold(names []string, name string) bool {
	for _, each := range names {
		if strings.EqualFold(each, name) {
			return true
		}
	}
	return false
}

// repeat is a repetition that is worth counting, in the JSON of a text.
var repeat = regexp.MustCompile(`\{\d*,?\d{2}`)

// repeats returns how many instructions the repetitions of a pattern add, which is 0 for a text that is no pattern.
func repeats(pattern string) int {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	var fault *syntax.Error
	switch {
	case errors.As(err, &fault) && fault.Code == syntax.ErrLarge:
		return maxOASRepeats + 1
	case err != nil:
		return 0
	}
	return max(0, instructions(parsed)-len(pattern))
}

// instructions returns how many instructions a pattern has, more or less, and at most a little more than are too many.
func instructions(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	}
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, maxOASRepeats+len(re.Sub)+1)
}

// nesting returns how deep the brackets of a text nest.
func nesting(text []byte) int {
	depth, deepest := 0, 0
	for _, c := range text {
		switch c {
		case '(', '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ')', ']', '}':
			depth = max(0, depth-1)
		}
	}
	return deepest
}
