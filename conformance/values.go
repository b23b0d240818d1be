package conformance

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reference matches ${name}, ${name:upper} and ${response:/pointer}.
var reference = regexp.MustCompile(`\$\{([^}:]*)(?::([^}]*))?\}`)

// responseReference is the name that refers to the response of the call that is undone.
const responseReference = "response"

// isResponseReference reports whether a text is a reference to a value of the response of the call that is undone.
func isResponseReference(text string) bool {
	match := reference.FindStringSubmatch(text)
	return match != nil && match[0] == text && match[1] == responseReference
}

// Marks around the name of a variable: characters for private use, which no contract's example has.
const (
	markStart, markEnd = "\uE000", "\uE001"
)

// marked returns the name of a variable as curl recognises it.
func marked(variable string) string { return markStart + variable + markEnd }

// mark matches a marked variable, also in a path or a form.
var mark = regexp.MustCompile("(?:" + markStart + "|%EE%80%80)([A-Z0-9_]+)(?:" + markEnd + "|%EE%80%81)")

// story holds the values of one run of one scenario.
type story struct {
	suite  *Suite
	run    string // identifies the run, in recognisable names
	random io.Reader

	bound map[string]string
	// fromResponse are the values that a response has bound, with where it has them.
	fromResponse map[string]source
	// marking makes text write the names of variables instead of credentials and of values of responses.
	marking bool
}

// source is where a value comes from: a member of the response of an exchange.
type source struct {
	exchange int
	pointer  string
}

func newStory(suite *Suite, run string, random io.Reader) *story {
	return &story{suite: suite, run: run, random: random, bound: map[string]string{}, fromResponse: map[string]source{}}
}

// matcher finds references and the examples of values in texts. An expression with an alternative for each example
// would be most of the time that a check takes.
type matcher struct {
	// byFirst are the values by the first byte of their examples, the longest first: an example may begin with another
	// one.
	byFirst   [math.MaxUint8 + 1][]*storyValue
	byExample map[string]*storyValue
}

func newMatcher(values map[string]*storyValue) *matcher {
	m := &matcher{byExample: map[string]*storyValue{}}
	for _, v := range values {
		if v.example != "" {
			m.byFirst[v.example[0]] = append(m.byFirst[v.example[0]], v)
			m.byExample[v.example] = v
		}
	}
	for _, sharing := range m.byFirst {
		slices.SortFunc(sharing, func(a, b *storyValue) int { return cmp.Compare(len(b.example), len(a.example)) })
	}
	return m
}

// matchAt returns what a text begins with: a reference, an example, or "".
func (m *matcher) matchAt(text string) string {
	if strings.HasPrefix(text, "${") {
		if at := reference.FindStringIndex(text); at != nil && at[0] == 0 {
			return text[:at[1]]
		}
	}
	for _, v := range m.byFirst[text[0]] {
		if strings.HasPrefix(text, v.example) {
			return v.example
		}
	}
	return ""
}

// replace returns a text with each match replaced.
func (m *matcher) replace(text string, replacement func(match string) string) string {
	var replaced strings.Builder
	kept := 0 // the end of the last match
	for i := 0; i < len(text); {
		match := m.matchAt(text[i:])
		if match == "" {
			i++
			continue
		}
		replaced.WriteString(text[kept:i])
		replaced.WriteString(replacement(match))
		i += len(match)
		kept = i
	}
	if kept == 0 {
		return text
	}
	replaced.WriteString(text[kept:])
	return replaced.String()
}

// byExample returns the value that the examples write as text, or nil.
func (s *Suite) byExample(text string) *storyValue { return s.matcher.byExample[text] }

// lookup returns a value, which it makes if the value is one of the run's own. ok is false for a value that a response
// has yet to bind.
func (s *story) lookup(name string) (text string, ok bool) {
	if text, ok = s.bound[name]; ok {
		return text, true
	}
	v := s.suite.values[name]
	if v == nil || v.fresh == "" {
		return "", false
	}
	text = s.expand(v.fresh)
	s.bound[name] = text
	return text, true
}

const uuidBytes = 16

// placeholder matches what is replaced in the pattern of a fresh value.
var placeholder = regexp.MustCompile(`\{(run|uuid|certificate|hex:\d+)\}`)

func (s *story) expand(pattern string) string {
	return placeholder.ReplaceAllStringFunc(pattern, func(match string) string {
		switch kind := match[1 : len(match)-1]; kind {
		case "run":
			return s.run
		case "certificate":
			return s.certificate()
		case "uuid":
			h := s.hex(2 * uuidBytes)
			// Version 4, variant 1.
			return fmt.Sprintf("%s-%s-4%s-8%s-%s", h[:8], h[8:12], h[13:16], h[17:20], h[20:])
		default:
			n, _ := strconv.Atoi(strings.TrimPrefix(kind, "hex:")) // the expression allows digits only
			return s.hex(n)
		}
	})
}

// hex returns n random hexadecimal digits.
func (s *story) hex(n int) string {
	raw := make([]byte, (n+1)/2)
	if _, err := io.ReadFull(s.random, raw); err != nil {
		panic(fmt.Sprintf("conformance: read random bytes: %v", err)) // crypto/rand does not fail
	}
	return hex.EncodeToString(raw)[:n]
}

// certificateSerialDigits are the hexadecimal digits of a certificate's serial number.
const certificateSerialDigits = 32

// The validity of a certificate: longer than any check.
var (
	certificateBegins = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	certificateEnds   = time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)
)

// certificate returns a new certificate that signs itself, in PEM.
func (s *story) certificate() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), s.random)
	if err != nil {
		panic(fmt.Sprintf("conformance: make a key: %v", err)) // crypto/rand does not fail
	}
	serial, ok := new(big.Int).SetString("0x"+s.hex(certificateSerialDigits), 0)
	if !ok {
		panic("conformance: no serial number of hexadecimal digits")
	}
	name := "gatehouse-check-" + s.run
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: certificateBegins, NotAfter: certificateEnds,
	}
	der, err := x509.CreateCertificate(s.random, template, template, &key.PublicKey, key)
	if err != nil {
		panic(fmt.Sprintf("conformance: make a certificate: %v", err)) // the template is valid
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// text replaces references and examples by values. as renames values; response resolves ${response:/pointer}.
func (s *story) text(text string, as map[string]string, response any) string {
	return s.suite.matcher.replace(text, func(match string) string {
		name, filter := s.suite.nameOf(match, as)
		if name == responseReference {
			return textAt(response, filter)
		}
		value, ok := s.lookup(name)
		_, assigned := s.fromResponse[name]
		switch {
		case s.marking && assigned && filter == "":
			value = marked(strings.ToUpper(name))
		case !ok && s.suite.values[name] != nil:
			value = s.suite.values[name].example
		case filter == "upper":
			value = strings.ToUpper(value)
		}
		return value
	})
}

// nameOf returns the name and the filter of a reference, or the name of the value that an example stands for.
func (s *Suite) nameOf(match string, as map[string]string) (name, filter string) {
	if groups := reference.FindStringSubmatch(match); groups != nil && groups[0] == match {
		return groups[1], groups[2]
	}
	name = s.byExample(match).name
	if renamed, ok := as[name]; ok {
		name = renamed
	}
	return name, ""
}

// value replaces the texts in a JSON value, those of member names included.
func (s *story) value(v any, as map[string]string, response any) any {
	switch v := v.(type) {
	case string:
		return s.text(v, as, response)
	case []any:
		list := make([]any, len(v))
		for i, each := range v {
			list[i] = s.value(each, as, response)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			object[s.text(name, as, response)] = s.value(v[name], as, response)
		}
		return object
	}
	return v
}

// unbound returns the name of the value that an example stands for, if a response has yet to bind it.
func (s *story) unbound(example string, as map[string]string) (name string, ok bool) {
	v := s.suite.byExample(example)
	if v == nil {
		return "", false
	}
	name = v.name
	if renamed, ok := as[name]; ok {
		name = renamed
	}
	_, known := s.lookup(name)
	return name, !known
}
