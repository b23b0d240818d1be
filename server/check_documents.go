package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/oas"
	"gatehouse/store"
)

// The paths of the requests that create what a text has.
const (
	pathClassic  = "/api/apis"
	pathOAS      = "/api/apis/oas"
	pathOpenAPI  = "/api/apis/oas/import"
	pathPolicies = "/api/portal/policies"
)

// storeRequestOf returns the request that creates a document of a kind.
func storeRequestOf(kind dashboard.CheckedDocumentKind, doc json.RawMessage) storeRequest {
	same := func(pointer string) string { return pointer }
	switch kind {
	case dashboard.CheckedDocumentKindOas:
		target := storeRequest{operation: "createApiOAS", body: doc, path: pathOAS, inDocument: inOAS}
		if _, enveloped := jsondoc.Get(doc, "api_definition"); enveloped {
			target.body, _ = jsondoc.Get(doc, "oas")
			target.inDocument = func(pointer string) string { return "/oas" + inOAS(pointer) }
		}
		target.id = oasInfo(target.body, "id")
		return target
	case dashboard.CheckedDocumentKindOpenapi:
		return storeRequest{operation: "importOAS", body: doc, path: pathOpenAPI, inDocument: inOAS}
	case dashboard.CheckedDocumentKindPolicy:
		id := sentPolicyID(doc)
		if id == "" {
			id = jsondoc.String(doc, "id")
		}
		return storeRequest{operation: "postPolicies", body: doc, path: pathPolicies, id: id, inDocument: same}
	case dashboard.CheckedDocumentKindClassic:
	}
	target := storeRequest{operation: "postApis", body: doc, path: pathClassic, inDocument: same}
	if _, enveloped := jsondoc.Get(doc, "api_definition"); !enveloped {
		target.body = jsondoc.Object([]jsondoc.Member{jsondoc.NewMember("api_definition", doc)})
		target.inDocument = func(pointer string) string { return strings.TrimPrefix(pointer, "/api_definition") }
	}
	target.id = jsondoc.String(target.body, "api_definition", "api_id")
	return target
}

// inOAS returns the pointer in an OAS document of one in the classic definition that is made of it, if that is known.
func inOAS(pointer string) string {
	switch {
	case !strings.HasPrefix(pointer, "/api_definition"):
		return pointer
	case pointer == pointerListenPath:
		return contract.Pointer(oas.Extension, "server", "listenPath")
	case pointer == pointerName:
		return contract.Pointer(oas.Extension, "info", "name")
	}
	return ""
}

// The places of problems that the database finds.
const (
	pointerListenPath = "/api_definition/proxy/listen_path"
	pointerName       = "/api_definition/name"
)

// namesOf returns the name and the listen path that the body of a request states.
func namesOf(kind dashboard.CheckedDocumentKind, body json.RawMessage) (name, listenPath string) {
	switch kind {
	case dashboard.CheckedDocumentKindOas:
		return oasInfo(body, "name"), jsondoc.String(body, oas.Extension, "server", "listenPath", "value")
	case dashboard.CheckedDocumentKindOpenapi:
		return jsondoc.String(body, "info", "title"), ""
	case dashboard.CheckedDocumentKindPolicy:
		return jsondoc.String(body, "name"), ""
	case dashboard.CheckedDocumentKindClassic:
	}
	return jsondoc.String(body, "api_definition", "name"), jsondoc.String(body, "api_definition", "proxy", "listen_path")
}

// checkStored checks a document as the operation does that stores it, and notes whether there is one of its ID.
func (t *textCheck) checkStored(
	kind dashboard.CheckedDocumentKind, target storeRequest, checked *dashboard.CheckedDocument,
) error {
	operation := t.server.contract.Operation(target.operation)
	if len(target.body) > int(operation.Body.MaxBytes) {
		return apiserver.MalformedAt("", fmt.Sprintf("is larger than %d bytes", operation.Body.MaxBytes), nil)
	}
	if err := operation.ValidateBody(target.body); err != nil {
		return errors.Join(err, t.exists(kind, target, checked))
	}
	if kind == dashboard.CheckedDocumentKindPolicy {
		return t.checkPolicy(target, checked)
	}
	return t.server.store.CheckAPI(t.ctx, t.caller.ref(target.id), func(stored *store.API) (store.API, error) {
		checked.Exists = stored != nil
		api, err := t.build(kind, target.body, stored)
		if err != nil {
			return api, err
		}
		if stored == nil {
			t.count(storedIn{store.TableAPIs, api.OrgID}, api.Document)
		}
		return api, nil
	})
}

// errNotStored ends a check that only has to find out whether a document exists.
var errNotStored = errors.New("not to be stored")

// exists notes whether there is a document of the ID of one that is not valid.
func (t *textCheck) exists(
	kind dashboard.CheckedDocumentKind, target storeRequest, checked *dashboard.CheckedDocument,
) (err error) {
	db, ref := t.server.store, t.caller.ref(target.id)
	if kind == dashboard.CheckedDocumentKindPolicy {
		err = db.CheckPolicy(t.ctx, ref, func(stored *store.Policy) (store.PolicyParams, error) {
			checked.Exists = stored != nil
			return store.PolicyParams{}, errNotStored
		})
	} else {
		err = db.CheckAPI(t.ctx, ref, func(stored *store.API) (store.API, error) {
			checked.Exists = stored != nil
			return store.API{}, errNotStored
		})
	}
	if errors.Is(err, errNotStored) || errors.Is(err, store.ErrMalformed) {
		return nil
	}
	return err
}

// count adds a document that is created.
func (t *textCheck) count(in storedIn, document json.RawMessage) {
	more := t.created[in]
	t.created[in] = store.Quota{Documents: more.Documents + 1, Bytes: more.Bytes + int64(len(document))}
}

// build returns the row of an API as the operation does that stores it.
func (t *textCheck) build(
	kind dashboard.CheckedDocumentKind, body json.RawMessage, stored *store.API,
) (store.API, error) {
	s := t.server
	switch {
	case kind == dashboard.CheckedDocumentKindOpenapi:
		return s.importedOAS(t.caller, openAPIImport{document: body})
	case kind == dashboard.CheckedDocumentKindOas && stored != nil:
		return s.replacedOAS(*stored, body)
	case kind == dashboard.CheckedDocumentKindOas:
		return s.newOAS(t.caller, body)
	case stored != nil:
		return s.replacedAPI(*stored, body)
	}
	return s.newAPI(t.caller, body)
}

// writePolicies is what a caller needs to store policies.
var writePolicies = contract.Permission{Object: "policies", Level: "write"}

// checkPolicy does what checkStored does, for a policy.
func (t *textCheck) checkPolicy(target storeRequest, checked *dashboard.CheckedDocument) error {
	if !t.caller.has(&writePolicies) {
		return apiserver.MalformedAt("", "is not yours to store: you may not change policies", nil)
	}
	ref := t.caller.ref(target.id)
	return t.server.store.CheckPolicy(t.ctx, ref, func(stored *store.Policy) (store.PolicyParams, error) {
		checked.Exists = stored != nil
		if stored != nil {
			return t.server.replacedPolicy(*stored, target.body)
		}
		policy, err := t.server.newPolicy(t.caller, target.body)
		if err == nil {
			t.count(storedIn{store.TablePolicies, policy.OrgID}, policy.Document)
		}
		return policy, err
	})
}

// reasonOfCheck is what an error of a check means to the user.
type reasonOfCheck struct {
	matches  func(error) bool
	problems func(error) []contract.Problem
}

// problemFor maps an error to one problem.
func problemFor(target error, path, reason string) reasonOfCheck {
	return reasonOfCheck{
		func(err error) bool { return errors.Is(err, target) },
		func(error) []contract.Problem { return []contract.Problem{{Path: path, Reason: reason}} },
	}
}

// reasonsOfCheck are the errors that the operations reply to as faults of the document. The first match wins.
var reasonsOfCheck = []reasonOfCheck{
	{isA[*oas.Error], func(err error) []contract.Problem {
		fault, _ := errors.AsType[*oas.Error](err)
		return []contract.Problem{{Path: fault.Pointer, Reason: fault.Message}}
	}},
	problemFor(store.ErrForeignName, pointerName, "is the api_id of an API of another organisation"),
	problemFor(store.ErrServed, pointerListenPath,
		"with this domain, api_id and listen path, the API would get requests for one of another organisation"),
	problemFor(store.ErrForeign, "", "refers to an API of another organisation"),
	problemFor(store.ErrUnknownOrganisation, "", "names no organisation that exists"),
	problemFor(store.ErrConflict, "", "has an ID that belongs, or belonged, to another organisation, or is taken"),
	problemFor(errNotClassic, "", "is a classic API, and the API with its ID is a Tyk OAS API"),
	problemFor(errNotOAS, "", "is a Tyk OAS API, and the API with its ID is a classic one"),
	problemFor(errWrongID, "", "has another ID in the database than the API with its api_id"),
	problemFor(oas.ErrNoExtension, "", "has no "+oas.Extension),
	problemFor(store.ErrMalformed, "", "has a value that cannot be stored"),
	{isA[interface {
		error
		Problems() []contract.Problem
	}], func(err error) []contract.Problem {
		lister, _ := errors.AsType[interface {
			error
			Problems() []contract.Problem
		}](err)
		return lister.Problems()
	}},
}
