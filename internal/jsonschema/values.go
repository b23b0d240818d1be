package jsonschema

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// String returns the first type of the set, with its article.
func (k kind) String() string {
	for _, each := range []struct {
		kind kind
		name string
	}{
		{object, "an object"},
		{array, "an array"},
		{text, "a string"},
		{integer, "an integer"},
		{number, "a number"},
		{boolean, "a boolean"},
	} {
		if k&each.kind != 0 {
			return each.name
		}
	}
	return "null"
}

// verbatim reports whether a gateway reads the string as it is written, without decoding escapes.
func (n *node) verbatim() bool { return n.objectID || n.duration || n.instant }

func (n *node) restrictsText() bool {
	return n.enum != nil || n.minLength > 0 || n.maxLength != nil || n.format != nil || n.verbatim()
}

// textProblem returns the reason why a string does not match n, "" if it does.
func (n *node) textProblem(value []byte) string {
	length := uint64(utf8.RuneCount(value))
	switch {
	case n.enum != nil && !slices.ContainsFunc(n.enum, func(word string) bool { return word == string(value) }):
		return "is not one of the values that the contract allows"
	case length < n.minLength:
		return "minimum string length is " + strconv.FormatUint(n.minLength, 10)
	case n.maxLength != nil && length > *n.maxLength:
		return "maximum string length is " + strconv.FormatUint(*n.maxLength, 10)
	case n.format != nil && n.format(value) != nil:
		return "does not meet the contract's format"
	case n.objectID && len(value) > 0 && !isObjectID(value):
		return "must be 24 hexadecimal digits"
	}
	return ""
}

func isObjectID(value []byte) bool {
	const length = 24
	for _, c := range value {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return len(value) == length
}

// isPlainString reports whether a text is a JSON string without an escape.
func isPlainString(raw []byte) bool {
	return len(raw) >= len(`""`) && raw[0] == '"' && bytes.IndexByte(raw[1:], '"') == len(raw)-2 && !hasEscape(raw)
}

func hasEscape(raw []byte) bool { return bytes.IndexByte(raw, '\\') >= 0 }

// unquote returns the text of a valid JSON string.
func unquote(raw []byte) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

// asInteger returns a whole number written as an integer. Other numbers, and those that a float64 may round, stay as
// they are.
func asInteger(raw []byte) (number []byte, whole bool) {
	const exact = 1 << 53
	if v, err := strconv.ParseFloat(string(raw), 64); err == nil && v == math.Trunc(v) && math.Abs(v) < exact {
		return strconv.AppendInt(nil, int64(v), 10), true
	}
	return raw, false
}

// fitsFloat reports whether a number is in the range of a float64.
func fitsFloat(raw []byte) bool {
	const short = 300 // digits: without an exponent, a number this short is in range
	if len(raw) < short && !bytes.ContainsAny(raw, "eE") {
		return true
	}
	_, err := strconv.ParseFloat(string(raw), 64)
	return err == nil
}

const tooSmall = "number is less than the contract's minimum"

// numberProblem returns the reason why a number does not match n, "" if it does. whole: it is written as an integer.
func (n *node) numberProblem(raw []byte, whole bool) string {
	if n.types&number == 0 {
		if !whole {
			return "value must be an integer, written as one"
		}
		if _, err := strconv.ParseInt(string(raw), 10, 64); err != nil {
			return "integer is out of range"
		}
		if n.min != nil && *n.min >= 0 && raw[0] == '-' { // Go does not decode -0 as an unsigned integer
			return tooSmall
		}
	}
	return n.boundsProblem(raw)
}

// lenientNumberProblem is numberProblem for a lenient schema.
func (n *node) lenientNumberProblem(raw []byte, whole bool) string {
	const exactDigits = 15 // a float64 holds integers of so many digits exactly, and an int64 holds them
	if n.types&number == 0 && (!whole || len(raw) > exactDigits || n.largestInt < math.MaxInt64) {
		v, _ := strconv.ParseFloat(string(raw), 64) // it is in range
		switch {
		case v != math.Trunc(v):
			return "value must be an integer"
		case v < n.leastInt || v > n.largestInt:
			return "integer is out of range"
		}
	}
	return n.boundsProblem(raw)
}

func (n *node) boundsProblem(raw []byte) string {
	if n.min == nil && n.max == nil {
		return ""
	}
	switch v, _ := strconv.ParseFloat(string(raw), 64); { // it is in range
	case n.min != nil && v < *n.min:
		return tooSmall
	case n.max != nil && v > *n.max:
		return "number is more than the contract's maximum"
	}
	return ""
}
