package desired

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gatehouse/internal/jsondoc"
	"gatehouse/internal/located"
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

// readText reads the values of a file by a reader of package located.
func (l *loader) readText(
	read func([]byte, located.Options) ([]located.Value, []located.Fault), file string, text []byte,
) {
	values, faults := read(text, located.Options{File: file})
	for _, value := range values {
		l.add(value)
	}
	l.faults.Faults = append(l.faults.Faults, faults...)
}

// readJSON reads the values of a file, one after another.
func (l *loader) readJSON(file string, text []byte) { l.readText(located.JSON, file, text) }

// readYAML reads the documents of a file.
func (l *loader) readYAML(file string, text []byte) { l.readText(located.YAML, file, text) }

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
func (l *loader) add(in located.Value) {
	doc, at := in.JSON, in.At
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
			l.addLists(in)
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
func (l *loader) addLists(in located.Value) {
	doc, at := in.JSON, in.At
	lists := map[string]remote.Kind{}
	for _, kind := range remote.Kinds() {
		lists[remote.ListName(kind)] = kind
	}
	for _, member := range jsondoc.Members(doc) {
		kind, known := lists[member.Name]
		pointer := located.PointerTo("", member.Name)
		switch {
		case member.Name == "pages" || member.Name == "Pages" || known && string(member.Value) == "null":
		case !known:
			l.faults.addf(at(pointer), "%q is no member of an export", member.Name)
		case member.Value[0] != '[':
			l.faults.addf(at(pointer), "%q is not a list", member.Name)
		default:
			var elements []json.RawMessage
			_ = json.Unmarshal(member.Value, &elements) // a list in valid JSON
			locatorOf := in.Elements(pointer)
			for n, element := range elements {
				l.addDocument(kind, element, locatorOf(n))
			}
		}
	}
}

// addDocument adds a document.
func (l *loader) addDocument(kind remote.Kind, doc json.RawMessage, at located.Locator) {
	if doc[0] != '{' {
		l.faults.addf(at(""), "is not an object")
		return
	}
	l.documents = append(l.documents, &Document{
		Kind: kind, Organisation: remote.OrganisationOf(kind, doc), ID: remote.IDOf(kind, doc), JSON: doc, place: at,
	})
}
