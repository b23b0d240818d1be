package desired

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/contract"
	"gatehouse/internal/apidef"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/remote"
)

// checkedDepth is the maximum nesting depth of a document. The server may allow less.
const checkedDepth = 5_000

// Checks validate documents as a server with the contract does.
type Checks struct {
	documents map[remote.Kind]*apidef.Check
	schemas   map[remote.Kind]*openapi3.Schema
}

// NewChecks returns the checks of a contract.
func NewChecks(known *contract.Contract) (*Checks, error) {
	loaded, err := apidef.NewChecks(known, checkedDepth)
	if err != nil {
		return nil, err
	}
	c := &Checks{
		documents: map[remote.Kind]*apidef.Check{remote.API: loaded.APIs, remote.Policy: loaded.Policies},
		schemas:   map[remote.Kind]*openapi3.Schema{},
	}
	for kind, operation := range map[remote.Kind]string{
		remote.Organisation: "importOrgs", remote.User: "createUser", remote.Key: "createOrgKey",
	} {
		op := known.Operation(operation)
		if op == nil || op.Body == nil {
			return nil, errors.New("contract: no " + operation)
		}
		c.schemas[kind] = op.Body.Schema
	}
	return c, nil
}

// check validates documents, and adds their faults.
func (c *Checks) check(documents []*Document, faults *FaultsError) {
	first := map[string]*Document{}
	for _, doc := range documents {
		before := len(faults.Faults)
		c.contract(doc, faults)
		if len(faults.Faults) > before {
			continue // it may have no ID because of them
		}
		checkIDs(doc, faults)
		for _, key := range doc.keys() {
			if other := first[key]; other != nil {
				faults.addf(doc.place(""), "the %s %q is at %s already", doc.Kind, doc.ID, other.place(""))
				break
			}
			first[key] = doc
		}
	}
}

// contract validates a document by the contract.
func (c *Checks) contract(doc *Document, faults *FaultsError) {
	if check := c.documents[doc.Kind]; check != nil {
		_, problems, err := check.Import(nil, doc.JSON)
		if err != nil {
			faults.addf(doc.place(""), "%s", err)
		}
		for _, problem := range problems {
			faults.addf(doc.place(problem.Path), "%s: %s", nameOf(problem.Path), problem.Reason)
		}
		return
	}
	value, prefix := doc.JSON, ""
	if doc.Kind == remote.Key {
		var ok bool
		if value, ok = jsondoc.Get(doc.JSON, "data"); !ok {
			faults.addf(doc.place(""), "data: is missing")
			return
		}
		prefix = "/data"
	}
	var decoded any
	if err := json.Unmarshal(value, &decoded); err != nil {
		faults.addf(doc.place(prefix), "%s", err)
		return
	}
	for _, problem := range contract.CheckValue(c.schemas[doc.Kind], decoded) {
		path := prefix + problem.Path
		faults.addf(doc.place(path), "%s: %s", nameOf(path), problem.Reason)
	}
}

// nameOf returns a JSON pointer for a message.
func nameOf(pointer string) string {
	if pointer == "" {
		return "the document"
	}
	return pointer
}

var objectID = regexp.MustCompile(`^[0-9a-f]{24}$`)

// checkIDs requires the IDs by which the next Apply finds the object of a document.
func checkIDs(doc *Document, faults *FaultsError) {
	switch doc.Kind {
	case remote.Organisation:
		if !objectID.MatchString(doc.ID) {
			faults.addf(doc.place("/id"), "/id: must be 24 hexadecimal digits in lower case")
		}
		return
	case remote.User:
		checkUser(doc, faults)
		return
	case remote.API:
		if doc.ID == "" {
			faults.addf(doc.place("/api_definition"),
				"/api_definition/api_id: is missing, and the server would generate another one each time")
		}
	case remote.Policy:
		if doc.ID == "" {
			faults.addf(doc.place(""), "/id or /_id: is missing, and the server would generate another one each time")
		}
	case remote.Key:
		if named := jsondoc.String(doc.JSON, "data", "org_id"); named != "" && named != doc.Organisation {
			faults.addf(doc.place("/data/org_id"), "/data/org_id: is not the key_id")
		}
	}
	if doc.Organisation == "" {
		faults.addf(doc.place("/api_definition"), "the %s names no organisation: org_id is missing", doc.Kind)
	}
}

// checkUser validates the members of a user that the contract does not restrict.
func checkUser(doc *Document, faults *FaultsError) {
	address := jsondoc.String(doc.JSON, "email_address")
	if parsed, err := mail.ParseAddress(address); err != nil || parsed.Address != address {
		faults.addf(doc.place("/email_address"), "/email_address: is not an e-mail address")
	}
	if password := jsondoc.String(doc.JSON, "password"); password != "" {
		faults.addf(doc.place("/password"), "/password: passwords are not stored from files: users set their own")
	}
	if _, ok := jsondoc.Get(doc.JSON, "org_id"); !ok {
		faults.addf(doc.place(""), `/org_id: is missing: name the organisation, or "" for a super user`)
	}
}

// keys returns the keys that must be unique among all documents.
func (d *Document) keys() []string {
	switch d.Kind {
	case remote.User:
		return []string{fmt.Sprintf("%s %q %q", d.Kind, d.Organisation, d.ID)}
	case remote.Policy:
		keys := []string{fmt.Sprintf("%s %q", d.Kind, strings.ToLower(d.ID))}
		if id := strings.ToLower(jsondoc.String(d.JSON, "id")); id != "" && id != strings.ToLower(d.ID) {
			keys = append(keys, fmt.Sprintf("%s %q", d.Kind, id))
		}
		return keys
	default:
		return []string{fmt.Sprintf("%s %q", d.Kind, d.ID)}
	}
}
