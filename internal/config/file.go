package config

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// defaultFile is where Tyk Dashboard looks for its settings, from its working directory.
	defaultFile = "tyk_analytics.conf"
	// maxFile is the maximum size of a settings file, in bytes: a mistaken path may name any file.
	maxFile = 1 << 20
	// modeOfOtherWriters are the permissions of accounts other than the owner to change a file.
	modeOfOtherWriters = 0o022
)

// SettingsFile is a JSON file with settings. Its members have the names of Tyk Dashboard's tyk_analytics.conf, and a
// value is written as there; settings that the Dashboard lacks are members of the object "gatehouse".
type SettingsFile struct {
	path    string
	members []member
	byKey   map[string]member
}

// member is a member of the file that is no object.
type member struct {
	name  string // "http_server_options.use_ssl"
	line  int
	value string // as an environment variable has it; "" is not set
}

// FindFile reads the settings file at path. Without a path, it reads tyk_analytics.conf in the working directory, and
// returns nil if there is none. Errors name the line or the member.
func FindFile(path string) (*SettingsFile, error) {
	if path != "" {
		return readFile(path)
	}
	info, err := os.Stat(defaultFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if reason := untrusted(info); reason != "" {
		return nil, fmt.Errorf("read settings: %s is in the working directory, and %s: "+
			"name it with --conf (GATEHOUSE_CONF) if it is meant", defaultFile, reason)
	}
	return readFile(defaultFile)
}

// untrusted returns why a file that nobody has named may be somebody else's: settings name programs that are run.
func untrusted(info os.FileInfo) string {
	if info.Mode().Perm()&modeOfOtherWriters != 0 {
		return fmt.Sprintf("other accounts may change it (mode %04o)", info.Mode().Perm())
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return "belongs to another account"
	}
	return ""
}

func readFile(path string) (*SettingsFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("read settings: %s has more than %d bytes", path, maxFile)
	}
	reader := fileReader{
		content: content, decoder: jsontext.NewDecoder(bytes.NewReader(content)),
		file: &SettingsFile{path: path, byKey: map[string]member{}},
	}
	if err := reader.document(); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	return reader.file, nil
}

// Path returns where the file is; "" for nil.
func (f *SettingsFile) Path() string {
	if f == nil {
		return ""
	}
	return f.path
}

// place returns where a member is, for messages.
func (f *SettingsFile) place(m member) string {
	return fmt.Sprintf("%s:%d: %s", f.path, m.line, m.name)
}

// lookup returns the value that the file has for an environment variable.
func (f *SettingsFile) lookup(variable string) (value, place string) {
	if m, ok := f.byKey[keyOfVariable(variable)]; ok {
		return m.value, f.place(m)
	}
	return "", ""
}

// LoadFile sets what is not set yet from a settings file. It does nothing if file is nil.
func (s Settings) LoadFile(file *SettingsFile) error {
	if file == nil {
		return nil
	}
	return s.load("file", file.lookup)
}

// dashboardPrefix and ownPrefix are those of environment variables: of the Dashboard's settings, and of others.
const (
	dashboardPrefix = "TYK_DB_"
	ownPrefix       = "GATEHOUSE_"
)

// keyOfVariable returns what an environment variable has in common with the member of a settings file for the same
// setting, "" for a variable without one. The variable of http_server_options.use_ssl is
// TYK_DB_HTTPSERVEROPTIONS_USESSL, and that of gatehouse.body_timeout is GATEHOUSE_BODY_TIMEOUT: they have the same
// letters.
func keyOfVariable(variable string) string {
	name, ofDashboard := strings.CutPrefix(variable, dashboardPrefix)
	if !ofDashboard && !strings.HasPrefix(variable, ownPrefix) {
		return ""
	}
	return strings.ReplaceAll(name, "_", "")
}

// exceptions are members whose variables have other letters.
var exceptions = map[string]string{
	"tyk_api_config.host":             "tykapi.host",
	"tyk_api_config.port":             "tykapi.port",
	"tyk_api_config.secret":           "tykapi.secret",
	"tyk_api_config.secret_file":      "tykapi.secret_file",
	"shared_node_secret":              "node_secret",
	"shared_node_secret_file":         "node_secret_file",
	"http_server_options.ssl_ciphers": "http_server_options.cipher_suites",
}

// memberPattern matches the names of settings. Others, such as _page_size and "//page_size", are comments.
var memberPattern = regexp.MustCompile(`^[A-Za-z0-9]+([_.][A-Za-z0-9]+)*$`)

// keyOfMember returns what keyOfVariable returns for the variable of a member, "" for a member that is no setting. The
// Dashboard does not distinguish upper and lower case.
func keyOfMember(name string) string {
	if !memberPattern.MatchString(name) {
		return ""
	}
	name = strings.ToLower(name)
	if other, ok := exceptions[name]; ok {
		name = other
	}
	return strings.ToUpper(strings.NewReplacer("_", "", ".", "").Replace(name))
}

// isOwn reports whether a member is a setting that Tyk Dashboard lacks.
func isOwn(name string) bool {
	section, _, _ := strings.Cut(name, ".")
	return strings.EqualFold(section+"_", ownPrefix)
}

// fileReader reads a settings file.
type fileReader struct {
	content []byte
	decoder *jsontext.Decoder
	file    *SettingsFile
}

func (r *fileReader) document() error {
	if kind := r.decoder.PeekKind(); kind != '{' && kind != 0 {
		return fmt.Errorf("%s: is no JSON object", r.file.path)
	}
	if err := r.object(""); err != nil {
		return err
	}
	if _, err := r.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: there is something behind the end of the object", r.position(r.decoder.InputOffset()))
	}
	return nil
}

// object reads an object, whose members' names begin with prefix.
func (r *fileReader) object(prefix string) error {
	if _, err := r.decoder.ReadToken(); err != nil {
		return r.explain(err)
	}
	for r.decoder.PeekKind() != '}' {
		token, err := r.decoder.ReadToken()
		if err != nil {
			return r.explain(err)
		}
		name, line := prefix+token.String(), r.line(r.decoder.InputOffset())
		if r.decoder.PeekKind() == '{' {
			err = r.object(name + ".")
		} else {
			err = r.value(name, line)
		}
		if err != nil {
			return err
		}
	}
	_, err := r.decoder.ReadToken()
	return r.explain(err)
}

// value reads the value of a member.
func (r *fileReader) value(name string, line int) error {
	raw, err := r.decoder.ReadValue()
	if err != nil {
		return r.explain(err)
	}
	text, err := textOf(raw)
	if err != nil {
		return fmt.Errorf("%s:%d: %s: %w", r.file.path, line, name, err)
	}
	if text == "0" && !isOwn(name) {
		text = "" // the Dashboard does not tell 0 from a setting that is left out
	}
	added := member{name: name, line: line, value: text}
	r.file.members = append(r.file.members, added)
	key := keyOfMember(name)
	if key == "" {
		return nil
	}
	if other, exists := r.file.byKey[key]; exists {
		return fmt.Errorf("%s: is the same setting as %s in line %d", r.file.place(added), other.name, other.line)
	}
	r.file.byKey[key] = added
	return nil
}

// textOf returns a value that is no object as an environment variable has it: a list of texts and numbers with commas,
// other lists as JSON.
func textOf(raw jsontext.Value) (string, error) {
	switch raw.Kind() {
	case 'n':
		return "", nil
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		return string(text), err
	case '[':
		return textOfList(raw)
	default:
		return string(raw), nil
	}
}

func textOfList(raw jsontext.Value) (string, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(raw))
	_, err := decoder.ReadToken()
	var elements []string
	for err == nil && decoder.PeekKind() != ']' {
		var element jsontext.Value
		if element, err = decoder.ReadValue(); err != nil {
			break
		}
		if kind := element.Kind(); kind == '{' || kind == '[' {
			return string(raw), nil
		}
		var text string
		text, err = textOf(element)
		elements = append(elements, text)
	}
	if err != nil || len(elements) == 0 {
		return "", err
	}
	var line strings.Builder
	writer := csv.NewWriter(&line)
	if err := writer.Write(elements); err != nil {
		return "", err
	}
	writer.Flush()
	return strings.TrimSuffix(line.String(), "\n"), nil
}

// line returns the number of the line of an offset, from 1.
func (r *fileReader) line(offset int64) int { return 1 + bytes.Count(r.content[:offset], []byte("\n")) }

// position returns path, line and column of an offset. Columns are bytes, from 1.
func (r *fileReader) position(offset int64) string {
	column := int(offset) - bytes.LastIndexByte(r.content[:offset], '\n')
	return fmt.Sprintf("%s:%d:%d", r.file.path, r.line(offset), column)
}

// explain adds its position to an error of the decoder. It returns nil for nil.
func (r *fileReader) explain(err error) error {
	if err == nil {
		return nil
	}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return fmt.Errorf("%s: %w", r.position(int64(len(r.content))), io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s: is no JSON: %w", r.position(min(syntax.ByteOffset, int64(len(r.content)))), syntax.Err)
}
