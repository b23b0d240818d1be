package conformance

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// sampleOfPattern returns a text that a regular expression matches, of at least so many characters. ok is false if the
// expression is not one of Go, or demands more than a text of its parts has, such as a word boundary.
func sampleOfPattern(pattern string, shortest int) (text string, ok bool) {
	expression, err := regexp.Compile(pattern)
	if err != nil {
		return "", false
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	parsed = parsed.Simplify()
	for repeats := 1; repeats <= max(1, shortest); repeats *= 2 {
		if text, ok = patternSample(parsed, repeats, shortest, expression); ok {
			return text, true
		}
	}
	return patternSample(parsed, max(1, shortest), shortest, expression)
}

// patternSample returns a text in which what may be repeated is, and whether it will do.
func patternSample(parsed *syntax.Regexp, repeats, shortest int, expression *regexp.Regexp) (text string, ok bool) {
	var out strings.Builder
	writePattern(&out, parsed, repeats)
	text = out.String()
	return text, utf8.RuneCountInString(text) >= shortest && out.Len() <= maxSampleLength && expression.MatchString(text)
}

func writePattern(out *strings.Builder, parsed *syntax.Regexp, repeats int) {
	if out.Len() > maxSampleLength {
		return
	}
	switch parsed.Op {
	case syntax.OpLiteral:
		out.WriteString(string(parsed.Rune))
	case syntax.OpCharClass:
		out.WriteRune(classSample(parsed.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		out.WriteByte('x')
	case syntax.OpCapture, syntax.OpConcat:
		for _, part := range parsed.Sub {
			writePattern(out, part, repeats)
		}
	case syntax.OpAlternate:
		writePattern(out, parsed.Sub[0], repeats)
	case syntax.OpPlus, syntax.OpStar:
		for range repeats {
			writePattern(out, parsed.Sub[0], 1)
		}
	case syntax.OpQuest:
		if repeats > 1 {
			writePattern(out, parsed.Sub[0], repeats)
		}
	default: // matches no character
	}
}

// classSample returns a character of a class, which is a list of ranges: a letter or a digit if it has one.
func classSample(ranges []rune) rune {
	for _, preferred := range "xX1-_" {
		for i := 0; i+1 < len(ranges); i += 2 {
			if ranges[i] <= preferred && preferred <= ranges[i+1] {
				return preferred
			}
		}
	}
	for i := 0; i+1 < len(ranges); i += 2 {
		if low := max(ranges[i], ' '); low <= ranges[i+1] {
			return low
		}
	}
	if len(ranges) == 0 {
		return utf8.RuneError
	}
	return ranges[0]
}
