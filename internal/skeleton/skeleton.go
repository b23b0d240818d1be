// Package skeleton makes the files of a new module with an API: a contract with one resource, its scenarios, a store, a
// server, and their tests. gatehouse contract new writes them.
package skeleton

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// templates are the files of the module by their paths, each with the suffix .tmpl, so that Go does not compile them.
//
//go:embed all:files
var templates embed.FS

const (
	templateFolder = "files"
	templateSuffix = ".tmpl"
	// example is the module in gatehouse's repository whose requirements are those of a new module: both use the same
	// packages.
	example = "examples/notes"
	// engine is the path of gatehouse's module.
	engine = "gatehouse"
)

// The modes of what is written, as in a checkout.
const (
	folderMode     = 0o755
	fileMode       = 0o644
	executableMode = 0o755
)

// Options describe a module.
type Options struct {
	// Module is the path of the module.
	Module string
	// Gatehouse is the folder of gatehouse's repository.
	Gatehouse string
	// Replacement is the folder of gatehouse's repository as go.mod has it.
	Replacement string
}

// ErrNoRepository is returned if Options.Gatehouse is not the folder of gatehouse's repository.
var ErrNoRepository = errors.New("not the repository of gatehouse")

// file is a file of a module.
type file struct {
	path    string // relative to the module, with slashes
	content []byte
}

// Write makes the module in a folder, which need not exist. The folder has to be empty. finish is called when all files
// are written. After an error, also of finish, the folder is as it was.
func Write(folder string, options Options, finish func() error) (err error) {
	files, err := options.files()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: it has %s", folder, entries[0].Name())
	}
	missing := missingFolder(folder)
	defer func() {
		if err != nil {
			err = errors.Join(err, remove(folder, missing))
		}
	}()
	for _, each := range files {
		if err := each.write(folder); err != nil {
			return err
		}
	}
	return finish()
}

// missingFolder returns the topmost folder of a path that does not exist, "" if all exist.
func missingFolder(folder string) (missing string) {
	for dir := filepath.Clean(folder); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			return missing
		}
		missing = dir
	}
}

// remove removes everything in a folder that was empty, and the folder that did not exist, if there was one.
func remove(folder, missing string) error {
	if missing != "" {
		return os.RemoveAll(missing)
	}
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(folder, entry.Name())))
	}
	return err
}

func (f file) write(folder string) error {
	target := filepath.Join(folder, filepath.FromSlash(f.path))
	if err := os.MkdirAll(filepath.Dir(target), folderMode); err != nil {
		return err
	}
	mode := fs.FileMode(fileMode)
	if bytes.HasPrefix(f.content, []byte("#!")) {
		mode = executableMode
	}
	return os.WriteFile(target, f.content, mode)
}

// files returns the files of the module.
func (o Options) files() ([]file, error) {
	if err := CheckModule(o.Module); err != nil {
		return nil, err
	}
	files, err := o.requirements()
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(templates, templateFolder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := o.render(name)
		target := strings.TrimSuffix(strings.TrimPrefix(name, templateFolder+"/"), templateSuffix)
		files = append(files, file{target, content})
		return err
	})
	return files, err
}

// CheckModule returns an error if a new module cannot have the path.
func CheckModule(modulePath string) error {
	if err := module.CheckImportPath(modulePath); err != nil {
		return fmt.Errorf("%q cannot be the path of a module, such as example.com/bookings: %w", modulePath,
			errors.Unwrap(err))
	}
	root, _, _ := strings.Cut(modulePath, "/")
	if slices.Contains([]string{engine, "cmd", "std"}, root) {
		return fmt.Errorf("%q cannot be the path of a module: %s is the path of another", modulePath, root)
	}
	return nil
}

// Name returns the name of the module's program.
func (o Options) Name() string {
	prefix, _, ok := module.SplitPathVersion(o.Module)
	if !ok {
		prefix = o.Module
	}
	return path.Base(prefix)
}

// render returns the content of a template's file.
func (o Options) render(name string) ([]byte, error) {
	parsed, err := template.New(path.Base(name)).Option("missingkey=error").ParseFS(templates, name)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	if err := parsed.Execute(&content, o); err != nil {
		return nil, err
	}
	if strings.HasSuffix(name, ".go"+templateSuffix) {
		return format.Source(content.Bytes()) // it sorts imports, whose order depends on the path of the module
	}
	return content.Bytes(), nil
}

// requirements returns go.mod and go.sum. They are those of the example, so that they are tidy without the go command.
func (o Options) requirements() ([]file, error) {
	own, err := os.ReadFile(filepath.Join(o.Gatehouse, "go.mod"))
	if err != nil || modfile.ModulePath(own) != engine {
		return nil, fmt.Errorf("%s is %w", o.Gatehouse, ErrNoRepository)
	}
	folder := filepath.Join(o.Gatehouse, filepath.FromSlash(example))
	sums, err := os.ReadFile(filepath.Join(folder, "go.sum"))
	if err != nil {
		return nil, fmt.Errorf("%s is %w: %w", o.Gatehouse, ErrNoRepository, err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("%s is %w: %w", o.Gatehouse, ErrNoRepository, err)
	}
	parsed, err := modfile.Parse(filepath.Join(folder, "go.mod"), text, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(parsed.AddModuleStmt(o.Module), parsed.AddReplace(engine, "", o.Replacement, "")); err != nil {
		return nil, err
	}
	text, err = parsed.Format()
	return []file{{"go.mod", text}, {"go.sum", sums}}, err
}
