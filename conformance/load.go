package conformance

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// commonFile holds what scenarios share. The other files of the directory are named after tags.
const commonFile = "common.yaml"

// Problem is a fault of the scenario files, or an outcome of the contract that they lack.
type Problem struct {
	Position

	Message string
}

// Error formats the problem as compilers do, so that editors can jump to it.
func (p Problem) Error() string { return p.String() + ": " + p.Message }

// Problems returns the problems that an error of Load joins; nil for another error.
func Problems(err error) (problems []Problem) {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return nil
	}
	for _, each := range joined.Unwrap() {
		if problem, ok := errors.AsType[Problem](each); ok {
			problems = append(problems, problem)
		}
	}
	return problems
}

// Load reads the scenarios in files, whose names in problems begin with dir. The error joins all problems: unknown
// keys, operations, outcomes, fixtures and values, and each operation and status with an outcome without a scenario.
func Load(spec *Spec, files fs.FS, dir string) (*Suite, error) {
	l := &loader{
		dir: dir,
		suite: &Suite{
			Spec: spec, values: map[string]*storyValue{}, credentials: map[string]*credential{},
			needs: map[string]*Need{}, fixtures: map[string][]step{}, undo: map[string][]*Call{}, differs: map[string]bool{},
		},
		declared: map[string]map[string][]*Scenario{}, kinds: map[string]*yaml.Node{}, fixturesAt: map[string]Position{},
		misnamed: map[string]bool{},
	}
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(names, func(a, b string) int { // common.yaml first
		return cmp.Or(-compareBool(a == commonFile, b == commonFile), cmp.Compare(a, b))
	})
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		l.readFile(name, text)
	}
	l.resolveFixtures()
	l.complete()
	l.suite.matcher = newMatcher(l.suite.values)
	return l.suite, l.err()
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// loader collects a suite and the problems of its files.
type loader struct {
	dir      string
	file     string // that is being read
	suite    *Suite
	problems []Problem

	declared map[string]map[string][]*Scenario // by operation and outcome
	kinds    map[string]*yaml.Node             // scenarios, by outcome, of operations that declare none
	uses     []fixtureUse
	// misnamed are the operations whose scenarios have another name: that is one problem, whatever they document.
	misnamed map[string]bool
	// fixturesAt are the positions of the fixtures.
	fixturesAt map[string]Position
}

// fixtureUse is a reference to a fixture.
type fixtureUse struct {
	name string
	at   Position
}

func (l *loader) position(at *yaml.Node) Position {
	return Position{File: path.Join(l.dir, l.file), Line: at.Line}
}

func (l *loader) reportf(at *yaml.Node, format string, args ...any) {
	l.reportAtf(l.position(at), format, args...)
}

func (l *loader) reportAtf(at Position, format string, args ...any) {
	p := Problem{at, fmt.Sprintf(format, args...)}
	if !slices.Contains(l.problems, p) {
		l.problems = append(l.problems, p)
	}
}

func (l *loader) err() error {
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	errs := make([]error, 0, len(l.problems))
	for _, p := range l.problems {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

func (l *loader) readFile(name string, text []byte) {
	l.file = name
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		at, message := &yaml.Node{Line: 1}, err.Error()
		if load := (*yaml.LoadError)(nil); errors.As(err, &load) {
			at, message = &yaml.Node{Line: load.Mark.Line}, load.Message
		}
		l.reportf(at, "not YAML: %s", message)
		return
	}
	if root.Kind != yaml.DocumentNode {
		return // empty
	}
	if name == commonFile {
		l.readCommon(root.Content[0])
	} else {
		l.readScenarios(root.Content[0])
	}
	l.checkReferences(root.Content[0])
}

// checkReferences reports references to unknown values.
func (l *loader) checkReferences(node *yaml.Node) {
	for _, match := range reference.FindAllStringSubmatch(node.Value, -1) {
		name, filter := match[1], match[2]
		switch {
		case name == responseReference && strings.HasPrefix(filter, "/"):
		case l.suite.values[name] == nil:
			l.reportf(node, "unknown value %q%s", name, suggest(name, maps.Keys(l.suite.values)))
		case filter != "" && filter != "upper":
			l.reportf(node, "unknown filter %q: the only one is upper", filter)
		}
	}
	for _, child := range node.Content {
		l.checkReferences(child)
	}
}

func (l *loader) readCommon(root *yaml.Node) {
	l.object(root, fields{
		"values": func(n *yaml.Node) {
			l.entries(n, func(name string, _, n *yaml.Node) {
				v := &storyValue{name: name}
				l.suite.values[name] = v
				l.object(n, fields{
					"example": l.text(&v.example), "fresh": l.text(&v.fresh), "shared": l.boolean(&v.shared), "why": l.ignored,
				})
			})
		},
		"credentials": func(n *yaml.Node) {
			l.entries(n, func(scheme string, _, n *yaml.Node) {
				c := &credential{}
				l.suite.credentials[scheme] = c
				l.object(n, fields{
					"variable": l.text(&c.variable), "value": l.text(&c.value), "why": l.ignored,
					"given": func(n *yaml.Node) { c.given = l.steps(n) },
				})
			})
		},
		"needs": l.readNeeds,
		"fixtures": func(n *yaml.Node) {
			l.entries(n, func(name string, key, n *yaml.Node) {
				l.suite.fixtures[name], l.fixturesAt[name] = l.steps(n), l.position(key)
			})
		},
		"undo": func(n *yaml.Node) {
			l.entries(n, func(id string, key, n *yaml.Node) {
				if l.operation(key, id) != nil {
					l.suite.undo[id] = l.readUndo(n)
				}
			})
		},
		"differs": func(n *yaml.Node) {
			for _, name := range l.texts(n) {
				l.suite.differs[name] = true
			}
		},
		"preflight": func(n *yaml.Node) {
			for _, s := range l.steps(n) {
				if s.call != nil {
					l.suite.preflight = append(l.suite.preflight, s.call)
				}
			}
		},
		"kinds": func(n *yaml.Node) {
			l.entries(n, func(outcome string, _, n *yaml.Node) { l.kinds[outcome] = n })
		},
	})
}

func (l *loader) readNeeds(n *yaml.Node) {
	l.entries(n, func(name string, _, n *yaml.Node) {
		need := &Need{Name: name}
		l.suite.needs[name] = need
		l.object(n, fields{
			"description": l.text(&need.Description), "fault": l.boolean(&need.Fault),
			"probe": func(n *yaml.Node) {
				p := &probe{}
				need.probe = p
				p.call = l.readCall(n, fields{
					"given": func(n *yaml.Node) { p.given = l.steps(n) },
					"holds": func(n *yaml.Node) { p.holds = l.texts(n) },
					"fails": func(n *yaml.Node) { p.fails = l.texts(n) },
				})
			},
		})
	})
}

func (l *loader) readScenarios(root *yaml.Node) {
	l.entries(root, func(id string, key, n *yaml.Node) {
		op := l.suite.Spec.Operation(id)
		if op == nil {
			l.reportf(key, "the contract has no operation %q%s", id, l.renamed(root, id))
			return
		}
		if want := FileOf(op.Tag); want != l.file {
			l.reportf(key, "%s has the tag %q: its scenarios are expected in %s", id, op.Tag, path.Join(l.dir, want))
		}
		if l.declared[id] != nil {
			l.reportf(key, "the scenarios of %s are declared twice", id)
			return
		}
		l.declared[id] = map[string][]*Scenario{}
		l.entries(n, func(outcome string, key, n *yaml.Node) {
			response := op.Response(outcome)
			if response == nil {
				l.reportf(key, "%s documents no outcome %q%s", id, outcome, suggest(outcome, op.outcomes()))
				return
			}
			nodes := []*yaml.Node{n}
			if n.Kind == yaml.SequenceNode {
				nodes = n.Content
			}
			for i, each := range nodes {
				s := l.readScenario(op, response, each)
				if i > 0 {
					s.Name = strconv.Itoa(i + 1)
				}
				l.declared[id][outcome] = append(l.declared[id][outcome], s)
			}
		})
	})
}

// renamed suggests an operation for an unknown one in root: the only one that is missing in the file, or one with a
// similar name.
func (l *loader) renamed(root *yaml.Node, id string) string {
	var missing []string
	for _, op := range l.suite.Spec.Operations {
		declared := slices.ContainsFunc(root.Content, func(n *yaml.Node) bool { return n.Value == op.ID })
		if FileOf(op.Tag) == l.file && !declared {
			missing = append(missing, op.ID)
		}
	}
	if len(missing) == 1 {
		l.misnamed[missing[0]] = true
		return ": did you mean " + strconv.Quote(missing[0]) + "?"
	}
	return suggest(id, maps.Keys(l.suite.Spec.byID))
}

// FileOf returns the name of the file with the scenarios of a tag.
func FileOf(tag string) string {
	return strings.ReplaceAll(strings.ToLower(tag), " ", "-") + ".yaml"
}

func (l *loader) readScenario(op *Operation, outcome *Response, n *yaml.Node) *Scenario {
	s := &Scenario{Operation: op, Outcome: outcome, Position: l.position(n)}
	hasGiven := false
	s.call = l.readCallOf(op, n, fields{
		"given":    func(n *yaml.Node) { hasGiven, s.given = true, l.steps(n) },
		"needs":    func(n *yaml.Node) { s.Needs = l.readScenarioNeeds(n) },
		"among":    l.textMap(&s.among),
		"differs":  func(n *yaml.Node) { s.differs = l.texts(n) },
		"optional": func(n *yaml.Node) { s.optional = l.texts(n) },
		"open":     func(n *yaml.Node) { s.open = l.texts(n) },
		"writes":   l.boolean(&s.writes),
		"why":      l.text(&s.Why),
	})
	if c := l.suite.credentials[op.Scheme]; c != nil && !hasGiven {
		s.given = c.given
	}
	return s
}

func (l *loader) readScenarioNeeds(n *yaml.Node) []string {
	needs := l.texts(n)
	for _, name := range needs {
		if l.suite.needs[name] == nil {
			l.reportf(n, "unknown need %q%s", name, suggest(name, maps.Keys(l.suite.needs)))
		}
	}
	return needs
}

// complete adds the scenarios of the kinds, and reports outcomes without a scenario: one problem for each operation and
// status.
func (l *loader) complete() {
	for _, op := range l.suite.Spec.Operations {
		missing := map[int][]*Response{}
		for _, response := range op.Responses {
			scenarios := l.declared[op.ID][response.Outcome]
			if k, ok := l.kinds[response.Outcome]; ok && scenarios == nil {
				scenarios = []*Scenario{l.readKind(op, response, k)}
			}
			if scenarios == nil {
				missing[response.Status] = append(missing[response.Status], response)
			}
			l.suite.Scenarios = append(l.suite.Scenarios, scenarios...)
		}
		for status, responses := range missing {
			if !l.misnamed[op.ID] {
				l.reportMissing(op, status, responses)
			}
		}
	}
}

func (l *loader) reportMissing(op *Operation, status int, missing []*Response) {
	var names []string
	for _, r := range missing {
		names = append(names, r.Outcome)
	}
	file, at := path.Join(l.dir, FileOf(op.Tag)), missing[0].Position
	if at.File == "" {
		at = Position{File: file, Line: 1}
	}
	l.reportAtf(at, "%s %d has no scenario for %s: add one below %s in %s",
		op.ID, status, strings.Join(names, ", "), op.ID, file)
}

// resolveFixtures reports fixtures that do not exist or use themselves.
func (l *loader) resolveFixtures() {
	for _, use := range l.uses {
		if l.suite.fixtures[use.name] == nil {
			l.reportAtf(use.at, "unknown fixture %q%s", use.name, suggest(use.name, maps.Keys(l.suite.fixtures)))
		}
	}
	for name, at := range l.fixturesAt {
		if l.reaches(name, name, map[string]bool{}) {
			l.reportAtf(at, "fixture %q uses itself", name)
		}
	}
}

func (l *loader) reaches(from, to string, seen map[string]bool) bool {
	for _, s := range l.suite.fixtures[from] {
		if s.fixture == to {
			return true
		}
		if s.fixture == "" || seen[s.fixture] {
			continue
		}
		seen[s.fixture] = true
		if l.reaches(s.fixture, to, seen) {
			return true
		}
	}
	return false
}
