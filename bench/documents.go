package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// kind is a kind of document that is imported and exported.
type kind struct {
	// prefix stands before the names of its results.
	prefix string
	path   string // of the export; the import's is below it
	// nodePath is where gateways get theirs, and nodeWhere which ones those are.
	nodePath, nodeWhere string
	list                string // the name of the list in a body
	table               string
	// columns are what COPY fills, in the order of document's first result.
	columns string
	// document makes the n-th document and its columns.
	document func(n int) (columns []string, document []byte)
	servers  []string
}

func apis() kind {
	return kind{
		path: "/admin/apis", nodePath: "/system/apis", nodeWhere: "WHERE active", list: "apis", table: "apis", columns: "api_id, id, org_id, active", document: apiDocument,
		servers: contenders(),
	}
}

// policies are not served by ogen, which cannot generate them: see ogen/ogen.yml.
func policies() kind {
	return kind{
		prefix: "policy_", path: "/admin/policies", nodePath: "/system/policies", list: "Data", table: "policies", columns: "id, policy_id, org_id",
		document: policyDocument, servers: []string{gatehouse, bare, stock},
	}
}

// corpus is n documents on the disk, in the two forms in which they are sent. They are there before anything is
// measured: making them takes as long as importing them.
type corpus struct{ body, copy string }

func (c corpus) remove() {
	_ = os.Remove(c.body) // the directory goes at the end in any case
	_ = os.Remove(c.copy)
}

// write makes a corpus.
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
	escape := strings.NewReplacer(`\`, `\\`) // of COPY's text format; the documents have no tab and no newline
	fmt.Fprintf(toBody, `{"%s":[`, k.list)
	for i := range n {
		columns, document := k.document(i)
		if i > 0 {
			_ = toBody.WriteByte(',') // an error comes back from Flush
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

// source is the randomness of the n-th document: the same in each run, and different for neighbours.
func source(n int) *rand.Rand { return rand.New(rand.NewPCG(uint64(n), 2026)) }

// Sizes of API definitions in bytes, as they are met (issue: 0.7 to 23 KB, median 13 KB).
const (
	smallest = 700
	median   = 13_000
	largest  = 23_000
)

// targetSize draws a size: below and above the median alike.
func targetSize(r *rand.Rand) int {
	if r.IntN(2) == 0 {
		return smallest + r.IntN(median-smallest)
	}
	return median + r.IntN(largest-median)
}

// apiDocument makes the n-th API in the shapes of the contract: a classic definition whose paths have rules, and, for
// every other one, the OpenAPI document beside it.
func apiDocument(n int) ([]string, []byte) {
	r := source(n)
	apiID, id := fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()), fmt.Sprintf("%024x", r.Uint64())
	org, size, withOAS := organisationID(n%owners), targetSize(r), n%2 == 0
	doc := fmt.Appendf(nil, apiStart, apiID, id, org, n, n, n, n)
	until := size
	if withOAS {
		until = size / 2
	}
	doc = grow(doc, until, r, apiRule)
	doc = append(doc, `]}}}}},"hook_references":[],"is_site":false,"sort_by":0,"user_owners":[],"user_group_owners":[],`...)
	if !withOAS || size-len(doc) < len(oasStart) {
		return []string{apiID, id, org, "t"}, append(doc, `"oas":null}`...)
	}
	doc = fmt.Appendf(doc, oasStart, n)
	doc = grow(doc, size, r, oasPath)
	doc = append(doc, `},"components":{"schemas":{"Tide":{"type":"object","properties":{"height":{"type":"number"}}}}}}}`...)
	return []string{apiID, id, org, "t"}, doc
}

// grow appends members, separated by commas, until doc has its size.
func grow(doc []byte, size int, r *rand.Rand, member string) []byte {
	for i := 0; len(doc)+len(member) < size; i++ {
		if i > 0 {
			doc = append(doc, ',')
		}
		doc = fmt.Appendf(doc, member, i, r.Uint32(), r.IntN(1000))
	}
	return doc
}

const (
	apiStart = `{"api_model":{},"api_definition":{"api_id":"%s","id":"%s","org_id":"%s","name":"Tide tables %d","slug":"tides-%d",` +
		`"active":true,"use_keyless":false,"use_standard_auth":true,"auth":{"auth_header_name":"Authorization"},"tags":["coast","edge"],` +
		`"CORS":{"enable":false,"max_age":24},"proxy":{"listen_path":"/tides-%d/","target_url":"http://upstream-%d.rivermouth.example/",` +
		`"strip_listen_path":true},"version_data":{"not_versioned":true,"default_version":"",` +
		`"versions":{"Default":{"name":"Default","use_extended_paths":true,"extended_paths":{"url_rewrites":[`
	apiRule = `{"path":"/ports/%d/{port}","method":"GET","match_pattern":"ports/(\\w+)/%08x","rewrite_to":"/v2/tides?port=$1&days=%d",` +
		`"triggers":[{"on":"all","options":{"header_matches":{"X-Season":{"match_rx":"^(spring|neap)$","reverse":false}},` +
		`"query_val_matches":{},"path_part_matches":{}},"rewrite_to":"/v2/season"}]}`
	oasStart = `"oas":{"openapi":"3.0.3","info":{"title":"Tide tables %d","version":"1.0.0"},` +
		`"servers":[{"url":"https://tides.rivermouth.example/"}],"paths":{`
	oasPath = `"/ports/%d/%08x":{"get":{"operationId":"tide%d","summary":"High and low water of a port","parameters":[{"name":"days",` +
		`"in":"query","schema":{"type":"integer","minimum":1}}],"responses":{"200":{"description":"The tides.",` +
		`"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Tide"}}}}},"tags":["tides"]}}`
)

// policyDocument makes the n-th policy: rights on one to ten APIs, 0.7 to 3 KB.
func policyDocument(n int) ([]string, []byte) {
	r := source(n)
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
	policyStart = `{"_id":"%s","id":"","org_id":"%s","name":"Three a minute %d","active":true,"is_inactive":false,"rate":3,"per":60,` +
		`"quota_max":-1,"quota_renewal_rate":3600,"access_rights":{`
	policyRight = `"%s":{"api_id":"%s","api_name":"Tide tables %d","versions":["Default"],` +
		`"allowed_urls":[{"url":"/ports/(.*)","methods":["GET","HEAD"]}],"limit":null}`
	policyEnd = `},"partitions":{"quota":false,"rate_limit":false,"complexity":false,"acl":false,"per_api":false},` +
		`"key_expires_in":0,"hmac_enabled":false,"tags":[],"meta_data":null,"smoothing":null,"last_updated":"1478791603",` +
		`"date_created":"2016-11-10T15:26:43Z","throttle_interval":0,"throttle_retry_limit":0,"max_query_depth":0}`
)
