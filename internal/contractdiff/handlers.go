package contractdiff

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// handler is a method of Server that takes a request.
type handler struct {
	file string // relative to the root of the repository
	line int
}

// readHandlers returns the handlers in dir by name.
func readHandlers(dir string) (map[string]handler, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	handlers := map[string]handler{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, declaration := range parsed.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && isHandler(f) {
				handlers[f.Name.Name] = handler{
					path.Join(handlersDir, filepath.Base(file)), positions.Position(f.Name.Pos()).Line,
				}
			}
		}
	}
	return handlers, nil
}

// isHandler reports whether f is an exported method of *Server whose first parameter is a *request.
func isHandler(f *ast.FuncDecl) bool {
	return f.Recv != nil && f.Name.IsExported() && f.Type.Params.NumFields() > 0 &&
		isPointerTo(f.Recv.List[0].Type, "Server") && isPointerTo(f.Type.Params.List[0].Type, "request")
}

func isPointerTo(expression ast.Expr, name string) bool {
	pointer, ok := expression.(*ast.StarExpr)
	if !ok {
		return false
	}
	to, ok := pointer.X.(*ast.Ident)
	return ok && to.Name == name
}

// methodOf returns the name that the generator gives the method of an operation.
func methodOf(op operation) string {
	if op.OperationID == "" {
		return ""
	}
	return strings.ToUpper(op.OperationID[:1]) + op.OperationID[1:]
}

func missingHandlers(operations map[string]operation, handlers map[string]handler) []Task {
	files := map[string]string{} // by tag
	for _, op := range operations {
		if h, ok := handlers[methodOf(op)]; ok && len(op.Tags) > 0 {
			files[op.Tags[0]] = max(files[op.Tags[0]], h.file)
		}
	}
	var tasks []Task
	for _, op := range operations {
		name := methodOf(op)
		if _, ok := handlers[name]; ok || name == "" {
			continue
		}
		file := handlersDir + "/"
		if len(op.Tags) > 0 && files[op.Tags[0]] != "" {
			file = files[op.Tags[0]]
		}
		at := op.change("", nil, "")
		tasks = append(tasks, Task{at.File, at.Line, fmt.Sprintf(
			"%s has no handler: write the method %s of Server in %s", op.OperationID, name, file)})
	}
	return tasks
}

func handlersWithoutOperation(specs []*openapi3.T, handlers map[string]handler) []Task {
	declared := map[string]bool{}
	for _, spec := range specs {
		for _, op := range operationsOf(spec) {
			declared[methodOf(op)] = true
		}
	}
	var tasks []Task
	for name, h := range handlers {
		if !declared[name] {
			tasks = append(tasks, Task{
				h.file, h.line,
				"no operation needs the handler " + name + ": delete it, or rename it as its operation was",
			})
		}
	}
	return tasks
}
