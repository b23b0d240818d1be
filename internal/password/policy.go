package password

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Policy is what a password must have. Tyk Dashboard has these rules in its schemas/password.json.
type Policy struct {
	MinLength  int  // in characters
	MultiCase  bool // letters in upper and in lower case
	MinNumeric int  // digits
	MinSpecial int  // characters that are neither letters nor digits nor white space
	// DisableSequential refuses three letters or digits that follow one another, and three equal characters: abc, 123,
	// xxx.
	DisableSequential bool
}

// ParsePolicy decodes a JSON schema of a password. A rule that Policy does not have is an error: passwords would not be
// held to it.
func ParsePolicy(schema []byte) (Policy, error) {
	var known struct {
		Schema            string `json:"$schema"`
		Title             string `json:"title"`
		Description       string `json:"description"`
		Type              string `json:"type"`
		MinLength         int    `json:"minLength"`
		MultiCase         bool   `json:"multiCase"`
		MinNumeric        int    `json:"minNumeric"`
		MinSpecial        int    `json:"minSpecial"`
		DisableSequential bool   `json:"disableSequential"`
	}
	decoder := json.NewDecoder(bytes.NewReader(schema))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&known); err != nil {
		return Policy{}, fmt.Errorf("password schema: %w", err)
	}
	if decoder.More() {
		return Policy{}, errors.New("password schema: has more than one value")
	}
	if known.Type != "" && known.Type != "string" {
		return Policy{}, fmt.Errorf("password schema: type %q is not string", known.Type)
	}
	return Policy{
		MinLength: known.MinLength, MultiCase: known.MultiCase, MinNumeric: known.MinNumeric,
		MinSpecial: known.MinSpecial, DisableSequential: known.DisableSequential,
	}, nil
}

// Problems returns what a password lacks, and nothing for one that the policy allows.
func (p Policy) Problems(password string) []string {
	var upper, lower bool
	var digits, special int
	for _, r := range password {
		switch {
		case unicode.IsUpper(r):
			upper = true
		case unicode.IsLower(r):
			lower = true
		case unicode.IsDigit(r):
			digits++
		case !unicode.IsLetter(r) && !unicode.IsSpace(r):
			special++
		}
	}
	var problems []string
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	add(utf8.RuneCountInString(password) < p.MinLength, "minimum string length is %d", p.MinLength)
	add(p.MultiCase && (!upper || !lower), "must have upper and lower case letters")
	add(digits < p.MinNumeric, "must have digits, at least %d", p.MinNumeric)
	add(special < p.MinSpecial, "must have special characters, at least %d", p.MinSpecial)
	add(p.DisableSequential && hasSequence([]rune(password)), "must not have a sequence such as abc, 123 or xxx")
	return problems
}

// hasSequence reports whether three letters or digits in a row ascend by one, or three characters are the same.
func hasSequence(password []rune) bool {
	for i := 2; i < len(password); i++ {
		first, second, third := password[i-2], password[i-1], password[i]
		if first == second && second == third {
			return true
		}
		ascends := second == first+1 && third == second+1
		if ascends && (unicode.IsLetter(first) || unicode.IsDigit(first)) {
			return true
		}
	}
	return false
}
