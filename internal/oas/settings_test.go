package oas

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// settingsData has what a gateway's own code makes of a document with one setting, for each value of each setting:
// OAS.ExtractTo of Tyk Gateway 5.14.0, after SetDisabledFlags and with IsOAS true. Its first line has a document
// without any setting, and the whole definition; each other line has an extension for that document, perhaps a security
// scheme, and what differs in the definition.
const settingsData = "testdata/settings.jsonl.gz"

// settingLine is a line of settingsData.
type settingLine struct {
	Setting   string
	Document  map[string]any
	Classic   map[string]any
	Extension map[string]any
	Scheme    map[string]any
	Changes   map[string]any
}

// readSettings returns the first line of settingsData, and the others.
func readSettings(t testing.TB) (base settingLine, lines []settingLine) {
	t.Helper()
	lines = readLines[settingLine](t, settingsData)
	return lines[0], lines[1:]
}

// readLines returns the lines of a compressed file, each an object.
func readLines[T any](t testing.TB, path string) (lines []T) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	uncompressed, err := gzip.NewReader(file)
	require.NoError(t, err)
	scanner := bufio.NewScanner(uncompressed)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line T
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &line))
		lines = append(lines, line)
	}
	require.NoError(t, scanner.Err())
	return lines
}

// document returns the document of a line.
func (l settingLine) document(t testing.TB, base settingLine) []byte {
	t.Helper()
	doc := copyOf(base.Document)
	doc[Extension] = l.Extension
	if l.Scheme != nil {
		doc["components"] = map[string]any{"securitySchemes": map[string]any{"scheme": l.Scheme}}
		doc["security"] = []any{map[string]any{"scheme": []any{}}}
	}
	encoded, err := json.Marshal(doc)
	require.NoError(t, err)
	return encoded
}

// classic returns the definition of a line.
func (l settingLine) classic(base settingLine) map[string]any {
	definition := copyOf(base.Classic)
	for pointer, value := range l.Changes {
		path := strings.Split(pointer, "/")[1:]
		at := definition
		for _, name := range path[:len(path)-1] {
			at = at[unescapePointer.Replace(name)].(map[string]any)
		}
		last := unescapePointer.Replace(path[len(path)-1])
		if changed, ok := value.(map[string]any); ok && changed["removed"] == true {
			delete(at, last)
		} else {
			at[last] = value
		}
	}
	return definition
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

// copyOf returns a copy of an object, of which every object can be changed.
func copyOf(object map[string]any) map[string]any {
	copied := maps.Clone(object)
	for name, value := range copied {
		if member, ok := value.(map[string]any); ok {
			copied[name] = copyOf(member)
		}
	}
	return copied
}

// withoutZeros returns a value without what is the same to a gateway as nothing: null, false, 0, "", {} and [] in an
// object. Members that say what is disabled count as they are.
func withoutZeros(value any) any {
	switch v := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, member := range v {
			member = withoutZeros(member)
			if !isZero(member) || strings.HasSuffix(name, "disabled") && member != nil {
				kept[name] = member
			}
		}
		return kept
	case []any:
		kept := make([]any, len(v))
		for i, element := range v {
			kept[i] = withoutZeros(element)
		}
		return kept
	}
	return value
}

func isZero(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return reflect.ValueOf(value).IsZero()
}

// definitionOf returns the definition that Convert makes of a document.
func definitionOf(t testing.TB, doc []byte) map[string]any {
	t.Helper()
	api, err := Convert(doc, Identity{}, Options{})
	require.NoError(t, err, "%s", doc)
	var definition map[string]any
	require.NoError(t, json.Unmarshal(api.Classic, &definition))
	return definition
}

// TestSettings converts a document for each value of each setting.
func TestSettings(t *testing.T) {
	t.Parallel()
	base, lines := readSettings(t)
	require.Len(t, lines, 1447)
	for _, line := range lines {
		doc := line.document(t, base)
		want := withoutZeros(line.classic(base))
		got := withoutZeros(definitionOf(t, doc))
		if !reflect.DeepEqual(want, got) {
			require.Equal(t, want, got, "%s\n%s", line.Setting, doc)
		}
	}
}

// TestWholeDefinition compares each member of a definition, zero values included, but for those that are null.
func TestWholeDefinition(t *testing.T) {
	t.Parallel()
	base, _ := readSettings(t)
	doc, err := json.Marshal(base.Document)
	require.NoError(t, err)
	require.Equal(t, withoutNulls(base.Classic), any(definitionOf(t, doc)))
}

func withoutNulls(value any) any {
	object, ok := value.(map[string]any)
	if !ok {
		return value
	}
	kept := map[string]any{}
	for name, member := range object {
		if member != nil {
			kept[name] = withoutNulls(member)
		}
	}
	return kept
}

// depends are the settings whose effect depends on other settings. TestAuthentication has them.
var depends = map[string]bool{
	"server/authentication/securityProcessingMode": true,
	"server/authentication/certificateAuth":        true,
}

// TestCombinedSettings converts documents with several settings of different parts of the extension: what each of them
// changes in the definition is changed there.
func TestCombinedSettings(t *testing.T) {
	t.Parallel()
	base, lines := readSettings(t)
	random := rand.New(rand.NewPCG(1, 2))
	combined := 0
	for range 1000 {
		all, some := settingLine{Extension: copyOf(base.Document[Extension].(map[string]any))}, map[string]bool{}
		all.Changes = map[string]any{}
		for range 1 + random.IntN(12) {
			line := lines[random.IntN(len(lines))]
			part := line.part()
			if some[part] || depends[part] || line.Scheme != nil && all.Scheme != nil || !all.adds(line) ||
				!agree(all.Extension, line.Extension) {
				continue
			}
			some[part] = true
			combined++
			if line.Scheme != nil {
				all.Scheme = line.Scheme
			}
			maps.Copy(all.Changes, line.Changes)
			all.Extension = merge(all.Extension, line.Extension).(map[string]any)
		}
		doc := all.document(t, base)
		require.Equal(t, withoutZeros(all.classic(base)), withoutZeros(definitionOf(t, doc)), "%s", doc)
	}
	require.Greater(t, combined, 3000)
}

// part returns the names of the part of the extension that a setting is in.
func (l settingLine) part() string {
	names := strings.Split(l.Setting+"///", "/")
	switch {
	case names[1] == "operations":
		return strings.Join(names[:4], "/")
	case names[1] == "global" || names[1] == "authentication" && names[0] == "server":
		return strings.Join(names[:3], "/")
	}
	return strings.Join(names[:2], "/")
}

// adds reports whether the changes of a line are none that the line has, or the same.
func (l settingLine) adds(line settingLine) bool {
	for pointer, value := range line.Changes {
		for other, changed := range l.Changes {
			if pointer == other && !reflect.DeepEqual(value, changed) ||
				strings.HasPrefix(pointer, other+"/") || strings.HasPrefix(other, pointer+"/") {
				return false
			}
		}
	}
	return true
}

// agree reports whether two values have no member with different values.
func agree(a, b any) bool {
	x, isObject := a.(map[string]any)
	y, areObjects := b.(map[string]any)
	if !isObject || !areObjects {
		return reflect.DeepEqual(a, b)
	}
	for name, value := range y {
		if other, ok := x[name]; ok && !agree(other, value) {
			return false
		}
	}
	return true
}

// merge returns the members of two values that agree.
func merge(a, b any) any {
	x, isObject := a.(map[string]any)
	if !isObject {
		return a
	}
	merged := maps.Clone(x)
	for name, value := range b.(map[string]any) {
		if other, ok := merged[name]; ok {
			value = merge(other, value)
		}
		merged[name] = value
	}
	return merged
}
