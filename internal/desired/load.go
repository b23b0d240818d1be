package desired

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"gatehouse/internal/jsondoc"
	"gatehouse/internal/oas"
	"gatehouse/internal/remote"
)

// loader reads files.
type loader struct {
	documents []*Document
	faults    FaultsError
	files     int
	folders   []folder // that have been read
}

// folder is a folder that has been read.
type folder struct {
	path string
	info fs.FileInfo
}

// Load reads the documents of a file, or of all files of a folder and its sub-folders, and checks them. The names of
// the files end in .json, .yaml or .yml, and do not begin with a dot. Links are followed: the objects of a sub-folder
// that was skipped could be deleted. The error is a *FaultsError if files have faults.
func Load(path string, checks *Checks) ([]*Document, error) {
	var l loader
	if err := l.read(path); err != nil {
		return nil, err
	}
	if l.files == 0 {
		return nil, fmt.Errorf("%s: there is no file whose name ends in .json, .yaml or .yml", path)
	}
	checks.check(l.documents, &l.faults)
	return l.documents, l.faults.orNil()
}

// read reads a file, or all files of a folder.
func (l *loader) read(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return l.readFolder(path, info)
	}
	parse := parserOf(path)
	switch {
	case parse == nil:
		return nil
	case !info.Mode().IsRegular(): // reading a pipe would block until another program writes to it
		return fmt.Errorf("%s is not a regular file", path)
	}
	l.files++
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	parse(l, path, bytes.TrimPrefix(text, []byte("\uFEFF")))
	return nil
}

// readFolder reads all files of a folder. It returns an error if links lead to the same folder twice.
func (l *loader) readFolder(path string, info fs.FileInfo) error {
	for _, before := range l.folders {
		if os.SameFile(before.info, info) {
			return fmt.Errorf("%s leads to the folder %s, which has been read already", path, before.path)
		}
	}
	l.folders = append(l.folders, folder{path, info})
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if err := l.read(filepath.Join(path, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// parserOf returns the function that parses a file, or nil for the name of a file that is not read.
func parserOf(file string) func(l *loader, file string, text []byte) {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".json":
		return (*loader).readJSON
	case ".yaml", ".yml":
		return (*loader).readYAML
	}
	return nil
}

// readJSON reads the values of a file, one after another.
func (l *loader) readJSON(file string, text []byte) {
	c := newContent(file, text)
	decoder := json.NewDecoder(bytes.NewReader(text))
	for end := 0; ; end = int(decoder.InputOffset()) {
		start := end + len(text[end:]) - len(bytes.TrimLeft(text[end:], " \t\r\n"))
		if start == len(text) {
			return
		}
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		if err == nil {
			err = l.addJSON(raw, inJSON(c, start))
		} else if _, precise := jsondoc.Compact(text[start:]); precise != nil {
			err = precise
		}
		if syntax, ok := errors.AsType[*jsondoc.SyntaxError](err); ok {
			l.faults.addf(c.place(start+int(syntax.Offset)), "%s", syntax.Reason)
			return
		}
		if err != nil {
			l.faults.addf(c.place(start), "%s", err)
			return
		}
	}
}

// addJSON adds a value of a file. The error is a *jsondoc.SyntaxError.
func (l *loader) addJSON(raw json.RawMessage, in value) error {
	compact, err := jsondoc.Compact(raw)
	if err == nil {
		l.add(compact, in)
	}
	return err
}

// marker matches the line between two documents of a YAML file.
var marker = regexp.MustCompile(`(?m)^(---|\.\.\.)(\s|$)`)

// readYAML reads the documents of a file.
func (l *loader) readYAML(file string, text []byte) {
	starts, lines, counted := []int{0}, 0, 0
	for _, found := range marker.FindAllIndex(text, -1) {
		starts = append(starts, found[0]+len("---"))
	}
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1] - len("---")
		}
		lines += bytes.Count(text[counted:start], []byte("\n"))
		counted = start
		l.readYAMLDocument(file, text[start:end], lines)
	}
}

// onlyComments matches a document without a value.
var onlyComments = regexp.MustCompile(`^(\s*(#.*)?(\n|$))*$`)

// inYAMLMessage matches a message of the YAML parser, whose last place is that of the fault, or of package oas. The
// groups are line and column, or only the line, and the fault.
var inYAMLMessage = regexp.MustCompile(`^.*(?:L(\d+)\.C(\d+)|^line (\d+) of the YAML): (.*)$`)

// readYAMLDocument reads one document of a YAML file, which begins after linesBefore lines.
func (l *loader) readYAMLDocument(file string, text []byte, linesBefore int) {
	if onlyComments.Match(text) {
		return // such as before the first marker; the parser returns an error for it
	}
	var node yaml.Node
	err := yaml.Load(text, &node)
	if err == nil && (node.Kind == 0 || len(node.Content) == 0 || node.Content[0].ShortTag() == "!!null") {
		return // only comments
	}
	at := inYAML(file, &node, linesBefore)
	raw, converted := oas.FromYAML(text)
	if err == nil {
		err = converted
	}
	if err == nil {
		err = l.addJSON(raw, at)
	}
	if err == nil {
		return
	}
	place, reason := Place{file, linesBefore + 1, 1}, strings.ReplaceAll(err.Error(), "\n", " ")
	if found := inYAMLMessage.FindStringSubmatch(reason); found != nil {
		line, _ := strconv.Atoi(found[1] + found[3]) // digits, of one of the two
		place.Line, reason = linesBefore+line, found[4]
		if column, err := strconv.Atoi(found[2]); err == nil {
			place.Column = column
		}
	}
	l.faults.addf(place, "the document is not valid YAML: %s", reason)
}

// kinds maps a member that only documents of one kind have to the kind.
var kinds = []struct {
	member string
	kind   remote.Kind
}{
	{"api_definition", remote.API},
	{"owner_name", remote.Organisation},
	{"email_address", remote.User},
	{"key_id", remote.Key},
}

// add adds a document, or the documents of an export.
func (l *loader) add(doc json.RawMessage, in value) {
	at := in.at
	if doc[0] != '{' {
		l.faults.addf(at(""), "is not an object: expected an export, or one document of it")
		return
	}
	names := map[string]bool{}
	for name := range jsondoc.All(doc) {
		names[name] = true
	}
	for _, known := range kinds {
		if names[known.member] {
			l.addDocument(known.kind, doc, at)
			return
		}
	}
	for _, kind := range remote.Kinds() {
		if names[remote.ListName(kind)] {
			l.addLists(doc, in)
			return
		}
	}
	if names["access_rights"] || names["access_rights_array"] || names["_id"] || names["rate"] {
		l.addDocument(remote.Policy, doc, at)
		return
	}
	l.faults.addf(at(""), "is no export and no document of one: expected api_definition (an API), owner_name (an "+
		"organisation), email_address (a user), key_id (an organisation key), access_rights (a policy), or a list: "+
		"organisations, users, apis, Data, keys")
}

// addLists adds the documents of an export.
func (l *loader) addLists(doc json.RawMessage, in value) {
	at := in.at
	lists := map[string]remote.Kind{}
	for _, kind := range remote.Kinds() {
		lists[remote.ListName(kind)] = kind
	}
	for _, member := range jsondoc.Members(doc) {
		kind, known := lists[member.Name]
		pointer := pointerTo("", member.Name)
		switch {
		case member.Name == "pages" || member.Name == "Pages" || known && string(member.Value) == "null":
		case !known:
			l.faults.addf(at(pointer), "%q is no member of an export", member.Name)
		case member.Value[0] != '[':
			l.faults.addf(at(pointer), "%q is not a list", member.Name)
		default:
			var elements []json.RawMessage
			_ = json.Unmarshal(member.Value, &elements) // a list in valid JSON
			locatorOf := in.elements(pointer)
			for n, element := range elements {
				l.addDocument(kind, element, locatorOf(n))
			}
		}
	}
}

// addDocument adds a document.
func (l *loader) addDocument(kind remote.Kind, doc json.RawMessage, at locator) {
	if doc[0] != '{' {
		l.faults.addf(at(""), "is not an object")
		return
	}
	l.documents = append(l.documents, &Document{
		Kind: kind, Organisation: remote.OrganisationOf(kind, doc), ID: remote.IDOf(kind, doc), JSON: doc, place: at,
	})
}

// pointerTo returns the JSON pointer to a member.
func pointerTo(prefix, name string) string {
	return prefix + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
