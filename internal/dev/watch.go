package main

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"gatehouse/openapi/lint"
)

// changes are what has changed: contracts, by name, Spectral's rules for them, and code.
type changes struct {
	contracts   []string
	rules, code bool
}

func everything() changes { return changes{contractNames, true, true} }

func (c changes) with(other changes) changes {
	all := append(slices.Clone(c.contracts), other.contracts...)
	slices.Sort(all)
	return changes{slices.Compact(all), c.rules || other.rules, c.code || other.code}
}

func (c changes) any() bool { return len(c.contracts) > 0 || c.rules || c.code }

// steps names the steps that the changes need.
func (c changes) steps() string {
	if len(c.contracts) > 0 {
		return "generating and building"
	}
	return "building"
}

// debounce is how long to wait for further changes: editors write several files at once, and write files twice.
const debounce = 100 * time.Millisecond

// ignored are the folders whose files do not belong to the server, or are generated.
var ignored = []string{"bench", "bin", "docs", "e2e", "examples", "gen", "node_modules", "testdata"}

// watch watches the folders below root, also those that are made later, until ctx ends. It delivers changes until then.
// It watches folders instead of files, because editors replace a file by a new one.
func watch(ctx context.Context, root string) (<-chan changes, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := watchBelow(watcher, root); err != nil {
		return nil, err
	}
	delivered := make(chan changes)
	go func() {
		defer watcher.Close()
		deliver(ctx, watcher, delivered)
	}()
	return delivered, nil
}

func watchBelow(watcher *fsnotify.Watcher, root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		name := entry.Name()
		if path != root && (strings.HasPrefix(name, ".") || slices.Contains(ignored, name)) {
			return filepath.SkipDir
		}
		return watcher.Add(path)
	})
}

func deliver(ctx context.Context, watcher *fsnotify.Watcher, delivered chan<- changes) {
	var pending changes
	var due <-chan time.Time
	var out chan<- changes // nil, on which nothing can be sent, until pending is due
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-watcher.Events:
			if event.Has(fsnotify.Create) {
				_ = watchBelow(watcher, event.Name) // fails if it is gone already
			}
			if changed := kindOf(event); changed.any() {
				pending, out = pending.with(changed), nil
				due = time.After(debounce)
			}
		case <-watcher.Errors: //nolint:errcheck // an error says that events were lost
			pending, out, due = everything(), nil, time.After(debounce)
		case <-due:
			out = delivered
		case out <- pending:
			pending, out = changes{}, nil
		}
	}
}

func kindOf(event fsnotify.Event) changes {
	name := filepath.Base(event.Name)
	switch {
	case event.Op == fsnotify.Chmod,
		strings.HasPrefix(name, ".") && name != lint.RulesFile, // of an editor
		strings.HasSuffix(name, "_test.go"), strings.HasSuffix(name, ".gen.go"):
		return changes{}
	}
	contract := strings.TrimSuffix(name, ".yaml")
	switch folder := filepath.Base(filepath.Dir(event.Name)); filepath.Ext(name) {
	case ".yaml":
		switch {
		case name == lint.RulesFile:
			return changes{rules: true}
		case folder == "scenarios": // which are part of the program
			return changes{code: true}
		case slices.Contains(contractNames, contract):
			return changes{contracts: []string{contract}}
		default: // it is for all of them, such as the settings of the bundles
			return changes{contracts: contractNames}
		}
	case ".mjs", ".js":
		if folder == "lint" || folder == "functions" {
			return changes{rules: true}
		}
		return changes{code: true}
	case ".go", ".sql", ".html", ".css", ".gohtml":
		return changes{code: true}
	}
	return changes{}
}
