package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// kind describes a kind of document to import and export.
type kind struct {
	// prefix begins the names of results.
	prefix string
	path   string // of the export; the path of the import is path + "/import"
	// gatewayPath is the path of the list for gateways; gatewayFilter is the SQL condition of its documents.
	gatewayPath, gatewayFilter string
	list                       string // the name of the list in a body
	table                      string
	// columns are the columns of COPY besides the document, in the order of the first result of document.
	columns string
	// document returns the n-th document and the values of its columns.
	document func(n int) (columns []string, document []byte)
	servers  []string
}

func apis() kind {
	return kind{
		path: "/admin/apis", gatewayPath: "/system/apis", gatewayFilter: "WHERE active", list: "apis",
		table: "apis", columns: "api_id, id, org_id, active", document: apiDocument, servers: contenders(),
	}
}

// policies are not measured with ogen, which cannot generate their operations (_ogen/ogen.yml).
func policies() kind {
	return kind{
		prefix: "policy_", path: "/admin/policies", gatewayPath: "/system/policies", list: "Data",
		table: "policies", columns: "id, policy_id, org_id", document: policyDocument,
		servers: []string{gatehouse, bare, stock},
	}
}

// corpus is the paths of two files with the same documents: the body of an import, and the input of \copy. They are
// written before the measurement, because generating documents takes as long as importing them.
type corpus struct{ body, copy string }

func (c corpus) remove() {
	_ = os.Remove(c.body) // bench.close removes the directory in any case
	_ = os.Remove(c.copy)
}

// write writes the first n documents to a corpus in dir.
func (k kind) write(dir string, n int) (c corpus, err error) {
	c = corpus{body: filepath.Join(dir, k.table+".json"), copy: filepath.Join(dir, k.table+".copy")}
	body, err := os.Create(c.body)
	if err != nil {
		return c, err
	}
	defer body.Close()
	rows, err := os.Create(c.copy)
	if err != nil {
		return c, err
	}
	defer rows.Close()
	toBody, toRows := bufio.NewWriter(body), bufio.NewWriter(rows)
	escape := strings.NewReplacer(`\`, `\\`) // for COPY's text format; the documents contain no tab or newline
	fmt.Fprintf(toBody, `{"%s":[`, k.list)
	for i := range n {
		columns, document := k.document(i)
		if i > 0 {
			_ = toBody.WriteByte(',') // Flush returns the error
		}
		_, _ = toBody.Write(document)
		_, _ = toRows.WriteString(strings.Join(columns, "\t") + "\t")
		_, _ = escape.WriteString(toRows, string(document))
		_ = toRows.WriteByte('\n')
	}
	_, _ = toBody.WriteString(`]}`)
	if err := toBody.Flush(); err != nil {
		return c, err
	}
	return c, toRows.Flush()
}

// randomOf returns the random source of the n-th document, which is the same in each run.
func randomOf(n int) *rand.Rand { return rand.New(rand.NewPCG(uint64(n), 2026)) }

// Sizes of API definitions in bytes, as they are in production.
const (
	smallest = 700
	median   = 13_000
	largest  = 23_000
)

// drawSize draws a size. Half of the sizes are below the median.
func drawSize(r *rand.Rand) int {
	if r.IntN(2) == 0 {
		return smallest + r.IntN(median-smallest)
	}
	return median + r.IntN(largest-median)
}

// apiDocument returns the n-th API and its columns: a classic definition with URL rewrites and, for every other API, an
// OpenAPI document as well.
func apiDocument(n int) ([]string, []byte) { return sizedAPIDocument(n, drawSize) }

// fleetAPISize is the size of the API definitions of a fleet in bytes.
const fleetAPISize = 2_900

// fleetAPIDocument returns the n-th API of a fleet and its columns.
func fleetAPIDocument(n int) ([]string, []byte) {
	return sizedAPIDocument(n, func(*rand.Rand) int { return fleetAPISize })
}

// sizedAPIDocument returns the n-th API, of a size in bytes, and its columns.
func sizedAPIDocument(n int, draw func(*rand.Rand) int) ([]string, []byte) {
	r := randomOf(n)
	apiID, id := fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()), fmt.Sprintf("%024x", r.Uint64())
	org, size, withOAS := organisationID(n%owners), draw(r), n%2 == 0
	doc := fmt.Appendf(nil, apiStart, apiID, id, org, n, n, n, n)
	until := size
	if withOAS {
		until = size / 2
	}
	doc = appendMembers(doc, until, r, apiRule)
	doc = append(doc, `]}}}}},"hook_references":[],"is_site":false,"sort_by":0,`+
		`"user_owners":[],"user_group_owners":[],`...)
	if !withOAS || size-len(doc) < len(oasStart) {
		return []string{apiID, id, org, "t"}, append(doc, `"oas":null}`...)
	}
	doc = fmt.Appendf(doc, oasStart, n)
	doc = appendMembers(doc, size, r, oasPath)
	doc = append(doc, `},"components":{"schemas":{`+
		`"Tide":{"type":"object","properties":{"height":{"type":"number"}}}}}}}`...)
	return []string{apiID, id, org, "t"}, doc
}

// appendMembers appends members, separated by commas, until another would exceed size.
func appendMembers(doc []byte, size int, r *rand.Rand, member string) []byte {
	for i := 0; len(doc)+len(member) < size; i++ {
		if i > 0 {
			doc = append(doc, ',')
		}
		doc = fmt.Appendf(doc, member, i, r.Uint32(), r.IntN(1000))
	}
	return doc
}

const (
	apiStart = `{"api_model":{},"api_definition":{"api_id":"%s","id":"%s","org_id":"%s",` +
		`"name":"Tide tables %d","slug":"tides-%d","active":true,"use_keyless":false,"use_standard_auth":true,` +
		`"auth":{"auth_header_name":"Authorization"},"tags":["coast","edge"],` +
		`"CORS":{"enable":false,"max_age":24},"proxy":{"listen_path":"/tides-%d/",` +
		`"target_url":"http://upstream-%d.rivermouth.example/",` +
		`"strip_listen_path":true},"version_data":{"not_versioned":true,"default_version":"",` +
		`"versions":{"Default":{"name":"Default","use_extended_paths":true,"extended_paths":{"url_rewrites":[`
	apiRule = `{"path":"/ports/%d/{port}","method":"GET","match_pattern":"ports/(\\w+)/%08x",` +
		`"rewrite_to":"/v2/tides?port=$1&days=%d",` +
		`"triggers":[{"on":"all","options":{"header_matches":{"X-Season":{"match_rx":"^(spring|neap)$","reverse":false}},` +
		`"query_val_matches":{},"path_part_matches":{}},"rewrite_to":"/v2/season"}]}`
	oasStart = `"oas":{"openapi":"3.0.3","info":{"title":"Tide tables %d","version":"1.0.0"},` +
		`"servers":[{"url":"https://tides.rivermouth.example/"}],"paths":{`
	oasPath = `"/ports/%d/%08x":{"get":{"operationId":"tide%d","summary":"High and low water of a port",` +
		`"parameters":[{"name":"days",` +
		`"in":"query","schema":{"type":"integer","minimum":1}}],"responses":{"200":{"description":"The tides.",` +
		`"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Tide"}}}}},"tags":["tides"]}}`
)

// policyDocument returns the n-th policy and its columns: rights to one to ten APIs, 0.7 to 3 KB.
func policyDocument(n int) ([]string, []byte) {
	r := randomOf(n)
	id, org := fmt.Sprintf("%024x", r.Uint64()), organisationID(n%owners)
	doc := fmt.Appendf(nil, policyStart, id, org, n)
	for i := range 1 + r.IntN(10) {
		if i > 0 {
			doc = append(doc, ',')
		}
		apiID := fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
		doc = fmt.Appendf(doc, policyRight, apiID, apiID, i)
	}
	return []string{id, id, org}, append(doc, policyEnd...)
}

const (
	policyStart = `{"_id":"%s","id":"","org_id":"%s","name":"Three a minute %d","active":true,"is_inactive":false,` +
		`"rate":3,"per":60,"quota_max":-1,"quota_renewal_rate":3600,"access_rights":{`
	policyRight = `"%s":{"api_id":"%s","api_name":"Tide tables %d","versions":["Default"],` +
		`"allowed_urls":[{"url":"/ports/(.*)","methods":["GET","HEAD"]}],"limit":null}`
	policyEnd = `},"partitions":{"quota":false,"rate_limit":false,"complexity":false,"acl":false,"per_api":false},` +
		`"key_expires_in":0,"hmac_enabled":false,"tags":[],"meta_data":null,"smoothing":null,"last_updated":"1478791603",` +
		`"date_created":"2016-11-10T15:26:43Z","throttle_interval":0,"throttle_retry_limit":0,"max_query_depth":0}`
)
