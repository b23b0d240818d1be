// Command filegraph checks how the files of each package refer to one another.
//
//	filegraph [-most N] [-print] [package ...]
//
// A file refers to another file of its package if it uses an identifier that is declared there: a type, a function, a
// method, a field, a variable or a constant. Files that refer to one another in a circle can only be read together, so
// filegraph exits with status 1 if a circle has more than -most files (default 4), and names them. Test files and
// generated files are not counted. -print writes each file with the files it refers to.
package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/types"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("filegraph: ")
	most := flag.Int("most", 4, "largest circle that is allowed, in files")
	show := flag.Bool("print", false, "print each file with the files it refers to")
	flag.Parse()
	patterns := flag.Args()
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo |
			packages.NeedImports | packages.NeedDeps,
	}, patterns...)
	if err != nil {
		log.Fatal(err)
	}
	if packages.PrintErrors(loaded) > 0 {
		os.Exit(1)
	}
	tooLarge := false
	for _, pkg := range loaded {
		g := newGraph(pkg)
		if *show {
			g.print(pkg.PkgPath)
		}
		for _, circle := range g.circles() {
			if len(circle) > *most {
				tooLarge = true
				fmt.Printf("%s: %d files refer to one another in a circle, at most %d may: %s\n",
					pkg.PkgPath, len(circle), *most, strings.Join(circle, " "))
			}
		}
	}
	if tooLarge {
		os.Exit(1)
	}
}

// graph has the files of a package, and for each the files it refers to.
type graph map[string]map[string]bool

func newGraph(pkg *packages.Package) graph {
	g := graph{}
	for _, file := range pkg.Syntax {
		if ast.IsGenerated(file) {
			continue
		}
		from := pkg.Fset.Position(file.Pos()).Filename
		refers := map[string]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			ident, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			if obj := pkg.TypesInfo.Uses[ident]; obj != nil && obj.Pkg() == pkg.Types {
				if to := pkg.Fset.Position(origin(obj).Pos()).Filename; to != "" && to != from {
					refers[filepath.Base(to)] = true
				}
			}
			return true
		})
		g[filepath.Base(from)] = refers
	}
	return g
}

// origin is the declared object behind one of an instantiated generic type.
func origin(obj types.Object) types.Object {
	switch obj := obj.(type) {
	case *types.Func:
		return obj.Origin()
	case *types.Var:
		return obj.Origin()
	}
	return obj
}

func (g graph) print(pkg string) {
	fmt.Printf("%s\n", pkg)
	for _, file := range slices.Sorted(maps.Keys(g)) {
		fmt.Printf("  %s -> %s\n", file, strings.Join(slices.Sorted(maps.Keys(g[file])), " "))
	}
}

// circles returns the groups of files that all refer to one another, directly or through others of the group.
func (g graph) circles() [][]string {
	var found [][]string
	grouped := map[string]bool{}
	for _, file := range slices.Sorted(maps.Keys(g)) {
		if grouped[file] {
			continue
		}
		circle := []string{file}
		for other := range g.reachable(file) {
			if other != file && g.reachable(other)[file] {
				circle = append(circle, other)
			}
		}
		for _, member := range circle {
			grouped[member] = true
		}
		if len(circle) > 1 {
			slices.Sort(circle)
			found = append(found, circle)
		}
	}
	return found
}

func (g graph) reachable(from string) map[string]bool {
	seen := map[string]bool{}
	open := []string{from}
	for len(open) > 0 {
		next := open[len(open)-1]
		open = open[:len(open)-1]
		for to := range g[next] {
			if !seen[to] {
				seen[to] = true
				open = append(open, to)
			}
		}
	}
	return seen
}
