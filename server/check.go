package server

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gatehouse/contract"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/located"
	"gatehouse/internal/oas"
	"gatehouse/store"
)

// maxCheckedDocuments is how many documents of a text are checked: each takes a few queries.
const maxCheckedDocuments = 1000

// CheckText implements dashboard.Handlers.
func (s *Server) CheckText(r *request, params dashboard.CheckTextParams) dashboard.CheckTextReply {
	var reply dashboard.CheckTextReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	text := bytes.TrimPrefix(r.Body.Text, []byte("\ufeff"))
	check := textCheck{
		server: s, ctx: r.Context(), caller: caller, withDocuments: valueOf(params.Documents),
		seen: map[string]int{}, created: map[storedIn]store.Quota{},
		result: dashboard.TextCheck{Documents: []dashboard.CheckedDocument{}, Problems: []dashboard.LocatedProblem{}},
	}
	err = s.documents.checking.Do(r.Context(), memoryOfCheck(text), func() error { return check.run(text) })
	if err != nil {
		return reply.Failed(err)
	}
	return reply.OK(check.result)
}

// isJSONText reports whether a text is read as JSON, by its beginning, and not as YAML.
func isJSONText(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	return bytes.HasPrefix(text, []byte("{")) || bytes.HasPrefix(text, []byte("["))
}

// memoryOfCheck returns the memory in bytes that the check of a text takes at most, 0 for a small one.
func memoryOfCheck(text []byte) int64 {
	memory := documentCopies * len(text)
	if !isJSONText(text) {
		memory += oas.ParsingMemory(text)
	}
	if memory <= documentCopies*smallDocument {
		return 0
	}
	return int64(memory)
}

// textCheck checks the documents of a text.
type textCheck struct {
	server        *Server
	ctx           context.Context
	caller        caller
	withDocuments bool

	result dashboard.TextCheck
	// checked is how many documents have been checked, also those that are none.
	checked int
	// seen has the line of each document that has an ID, by its kind and ID.
	seen map[string]int
	// created is what the documents add to what organisations store.
	created map[storedIn]store.Quota
}

// storedIn is where documents are stored that a quota limits.
type storedIn struct{ table, orgID string }

// run checks the text. Its error is that of the database.
func (t *textCheck) run(text []byte) error {
	options := located.Options{
		MaxValues: maxCheckedDocuments, Limits: jsondoc.Limits{Depth: t.server.limits.Depth, Values: maxCheckedValues},
	}
	read := located.YAML
	if isJSONText(text) {
		read = located.JSON
	}
	values, faults := read(text, options)
	for _, value := range values {
		if err := t.checkValue(value); err != nil {
			return err
		}
	}
	for _, fault := range faults {
		t.result.Problems = append(t.result.Problems, toLocatedProblem(fault.Place, "", fault.Reason))
	}
	if len(values)+len(faults) == 0 {
		t.addProblem(located.Place{Line: 1, Column: 1}, "", "the text has no document")
	}
	return t.checkQuotas()
}

// maxCheckedValues is how many JSON values a document may have: as many as a body of 4 MiB.
const maxCheckedValues = 4 << 20 / 20

func toLocatedProblem(at located.Place, path, reason string) dashboard.LocatedProblem {
	return dashboard.LocatedProblem{Line: at.Line, Column: at.Column, Path: path, Reason: reason}
}

func (t *textCheck) addProblem(at located.Place, path, reason string) {
	t.result.Problems = append(t.result.Problems, toLocatedProblem(at, path, reason))
}

// checkValue checks the document, or the documents, of a value.
func (t *textCheck) checkValue(value located.Value) error {
	if bytes.HasPrefix(value.JSON, []byte("[")) {
		return t.checkList(value, "", value.JSON)
	}
	if kindOf(value.JSON) != "" || !bytes.HasPrefix(value.JSON, []byte("{")) {
		return t.checkDocument(value, document{json: value.JSON, at: value.At})
	}
	lists := 0
	for _, m := range jsondoc.Members(value.JSON) {
		pointer := located.PointerTo("", m.Name)
		switch {
		case m.Name == "apis" || m.Name == "Data" || m.Name == "policies":
			lists++
			if string(m.Value) == "null" {
				continue
			}
			if err := t.checkList(value, pointer, m.Value); err != nil {
				return err
			}
		case otherLists[m.Name]:
			lists++
			t.addProblem(value.At(pointer), pointer, "is not stored here: use gatehouse apply, or the import of the admin API")
		}
	}
	if lists == 0 {
		t.addProblem(value.At(""), "", reasonUnknownDocument)
	}
	return nil
}

// otherLists are the lists of exports whose documents are stored by the admin API only.
var otherLists = map[string]bool{"organisations": true, "users": true, "keys": true}

const reasonUnknownDocument = "is no document that can be stored: expected api_definition or proxy (a classic API), " +
	oas.Extension + " (a Tyk OAS API), openapi (an OpenAPI document), access_rights (a policy), " +
	"or an export, which is a list of them: apis, Data"

// checkList checks the documents of a list.
func (t *textCheck) checkList(value located.Value, pointer string, list json.RawMessage) error {
	if !bytes.HasPrefix(list, []byte("[")) {
		t.addProblem(value.At(pointer), pointer, "is not a list")
		return nil
	}
	var elements []json.RawMessage
	_ = json.Unmarshal(list, &elements) // a list in valid JSON
	locatorOf := value.Elements(pointer)
	for n, element := range elements {
		at := pointer + "/" + strconv.Itoa(n)
		if t.checked == maxCheckedDocuments {
			t.addProblem(locatorOf(n)(""), at, "more than "+strconv.Itoa(maxCheckedDocuments)+" documents: split the file")
			return nil
		}
		if err := t.checkDocument(value, document{json: element, at: locatorOf(n), pointer: at}); err != nil {
			return err
		}
	}
	return nil
}

// kindOf returns what a document is; "" for none that can be stored.
func kindOf(doc json.RawMessage) dashboard.CheckedDocumentKind {
	values := maps.Collect(jsondoc.All(doc))
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			value, ok := values[name]
			return ok && value != "null"
		})
	}
	switch {
	case has("api_definition") && isOAS(doc), has(oas.Extension):
		return dashboard.CheckedDocumentKindOas
	case has("api_definition"):
		return dashboard.CheckedDocumentKindClassic
	case has("openapi", "swagger"):
		return dashboard.CheckedDocumentKindOpenapi
	case has("proxy", "version_data"):
		return dashboard.CheckedDocumentKindClassic
	case has("access_rights", "access_rights_array", "_id", "rate", "quota_max"):
		return dashboard.CheckedDocumentKindPolicy
	case has("api_id"):
		return dashboard.CheckedDocumentKindClassic
	}
	return ""
}

// checkQuotas adds a problem for each organisation that may not store what the documents add.
func (t *textCheck) checkQuotas() error {
	for in, more := range t.created {
		err := t.server.store.CheckQuota(t.ctx, in.table, in.orgID, more)
		problems, expected := problemsOfCheck(orOverQuota(err))
		if !expected {
			return err
		}
		for _, p := range problems {
			t.addProblem(located.Place{Line: 1, Column: 1}, p.Path, p.Reason)
		}
	}
	return nil
}

// document is a document of a text.
type document struct {
	json    json.RawMessage
	at      located.Locator
	pointer string // in its value
}

// storeRequest is the request that stores a document.
type storeRequest struct {
	operation string          // that creates it
	body      json.RawMessage // of the request
	path      string          // of the request that creates it
	id        string
	// inDocument returns the pointer in the document of one in the body.
	inDocument func(pointer string) string
}

// checkDocument checks a document of a value.
func (t *textCheck) checkDocument(value located.Value, doc document) error {
	t.checked++
	kind := kindOf(doc.json)
	if kind == "" {
		t.addProblem(doc.at(""), doc.pointer, reasonUnknownDocument)
		return nil
	}
	target := storeRequestOf(kind, doc.json)
	begin := doc.at("")
	checked := dashboard.CheckedDocument{
		Kind: kind, Id: target.id, Method: http.MethodPost, Path: target.path, Pointer: doc.pointer, Line: begin.Line,
		Column: begin.Column, Problems: []dashboard.LocatedProblem{}, Warnings: []dashboard.LocatedProblem{},
	}
	checked.Name, checked.ListenPath = namesOf(kind, target.body)
	err := t.checkStored(kind, target, &checked)
	problems, expected := problemsOfCheck(err)
	if !expected {
		return err
	}
	if checked.Exists {
		checked.Method, checked.Path = http.MethodPut, target.path+"/"+url.PathEscape(target.id)
	}
	if target.id != "" {
		key := target.path + " " + target.id
		if line, found := t.seen[key]; found {
			problems = append(problems, contract.Problem{Reason: "has the ID of the document at line " + strconv.Itoa(line)})
		} else {
			t.seen[key] = begin.Line
		}
	}
	for _, p := range problems {
		path := target.inDocument(p.Path)
		checked.Problems = append(checked.Problems, toLocatedProblem(doc.at(path), path, p.Reason))
	}
	if path, within := strings.CutPrefix(value.Repeated, doc.pointer); within && value.Repeated != "" {
		checked.Warnings = append(checked.Warnings,
			toLocatedProblem(doc.at(path), path, "is repeated: only the last one is stored"))
	}
	if t.withDocuments && len(problems) == 0 {
		checked.Document = &target.body
	}
	t.result.Documents = append(t.result.Documents, checked)
	return nil
}

// problemsOfCheck returns the problems that an error of a check stands for. expected is false for any other error.
func problemsOfCheck(err error) (problems []contract.Problem, expected bool) {
	if err == nil {
		return nil, true
	}
	for _, known := range reasonsOfCheck {
		if known.matches(err) {
			return known.problems(err), true
		}
	}
	return nil, false
}
