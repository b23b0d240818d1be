// Package console has the console as files: pages in which people sign in and manage what they may. They use the
// operations of the contracts only, so that a script can do all that they do. README.md explains how a page is written,
// and docs/console.md what the console is made of, and why.
//
// The modules are served as they are in the repository; there is no build step.
package console

import (
	"embed"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"gatehouse/internal/webfile"
)

// Path is the path of the page. It has a slash at its end for browsers.
const Path = "/console"

//go:embed index.html
var index string

//go:embed app.js app.css icon.svg lib/*.js pages/*.js vendor/*.js
var assets embed.FS

// policy is the Content-Security-Policy of the page: nothing inline, nothing from elsewhere. The page of the contracts
// is shown in a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Files returns the page and what it loads. The paths of assets contain the hash of all of them: browsers keep them for
// ever, and never mix modules of two versions.
func Files() []*webfile.File {
	names := assetNames()
	folder := Path + "/assets-" + webfile.Hash(contents(names)...)
	files := []*webfile.File{{
		Path: Path, MediaType: webfile.MediaType("index.html"), CacheControl: webfile.Revalidate, Policy: policy,
		Content: webfile.Bytes([]byte(page(path.Base(folder)))),
	}}
	for _, name := range names {
		files = append(files, &webfile.File{
			Path: folder + "/" + name, MediaType: webfile.MediaType(name), CacheControl: webfile.Forever,
			Content: webfile.Bytes(read(name)),
		})
	}
	return files
}

// page returns index.html for assets in a folder. The modules that every page needs are named in it, so that the
// browser requests them at once and not one after another.
func page(folder string) string {
	var preload strings.Builder
	for _, name := range imports("app.js") {
		preload.WriteString(`<link rel="modulepreload" href="assets/` + name + `">` + "\n")
	}
	html := strings.Replace(index, "<!-- modules -->\n", preload.String(), 1)
	return strings.ReplaceAll(html, `"assets/`, `"`+folder+`/`)
}

// staticImport matches an import of a module, but not one that is made when it is needed: import('./pages/…').
var staticImport = regexp.MustCompile(`(?:from|^import)\s*['"](\.[^'"]+)['"]`)

// imports returns a module and those that it imports, directly or not, each once.
func imports(names ...string) []string {
	for i := 0; i < len(names); i++ {
		for _, match := range staticImport.FindAllSubmatch(read(names[i]), -1) {
			if name := path.Join(path.Dir(names[i]), string(match[1])); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// assetNames returns the names of all assets, sorted.
func assetNames() (names []string) {
	// Embedded files have no errors to return.
	_ = fs.WalkDir(assets, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	return names
}

func contents(names []string) (all [][]byte) {
	for _, name := range names {
		all = append(all, []byte(name), read(name))
	}
	return all
}

// read returns an asset, or nothing if there is none: TestModules names an import of a module that is not there.
func read(name string) []byte {
	text, _ := assets.ReadFile(name)
	return text
}
