package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gatehouse/client"
)

const (
	// bulkSize is the number of documents in an import. Together they exceed the 1 MiB that a server keeps in memory, so
	// that it writes them to a file.
	bulkSize = 40
	// bulkPadding is the size in bytes of the padding in each document.
	bulkPadding = 32 << 10
)

// bulk is a set of documents that are always imported together: all of them must have the same marker.
type bulk struct {
	what     string // "apis" or "policies"
	ids      []string
	possible []string // the markers that the documents may have; "": not imported
}

// importBulk imports the documents of a bulk with a new marker.
func (w *worker) importBulk(ctx context.Context) {
	if len(w.bulks) == 0 {
		for _, what := range []string{"apis", "policies"} {
			b := &bulk{what: what, possible: []string{""}}
			for range bulkSize {
				b.ids = append(b.ids, w.newID(map[string]int{"apis": 32, "policies": 24}[what]))
			}
			w.bulks = append(w.bulks, b)
		}
	}
	b := w.bulks[w.random.IntN(len(w.bulks))]
	if len(b.possible) > 1 {
		return // the import that failed may still be running
	}
	marker := w.newMarker()
	a := w.caller().do(ctx, b.send(), target{org: w.org, marker: marker})
	switch a.verdict {
	case acknowledged:
		b.possible = []string{marker}
		w.acknowledged++
		w.report.count("imports acknowledged", 1)
	case uncertain:
		b.possible = append(b.possible, marker)
		w.report.count("imports interrupted", 1)
	default:
		w.report.failf("%s\n\texpected success of an import", a.text)
	}
}

// send returns a call that imports the documents.
func (b *bulk) send() call {
	padding := strings.Repeat("tide ", bulkPadding/len("tide "))
	var documents []string
	for _, id := range b.ids {
		// Both kinds of documents have a name, which is the marker, and accept unknown members, such as the padding.
		document := `{"api_definition":{"api_id":"%i",` + definition + `},"padding":"` + padding + `"}`
		if b.what == "policies" {
			document = strings.TrimSuffix(policy, "}") + `,"padding":"` + padding + `"}`
		}
		documents = append(documents, strings.ReplaceAll(document, "%i", id))
	}
	list := strings.Join(documents, ",")
	if b.what == "policies" {
		return withBody((*api).ImportPoliciesWithBodyWithResponse, `{"Data":[`+list+`]}`)
	}
	return withBody((*api).ImportAPIsWithBodyWithResponse, `{"apis":[`+list+`]}`)
}

// check exports the documents, and requires that all have the same marker, one of b.possible.
func (b *bulk) check(ctx context.Context, c *caller, org string) error {
	list := func(ctx context.Context, c *api, _ target) (response, error) {
		if b.what == "policies" {
			return result(c.ExportPoliciesWithResponse(ctx, &client.ExportPoliciesParams{OrgId: &org}))
		}
		return result(c.ExportAPIsWithResponse(ctx, &client.ExportAPIsParams{OrgId: &org}))
	}
	a := c.do(ctx, list, target{})
	if a.verdict != acknowledged {
		return fmt.Errorf("%w: %s", errUnreadable, a.text)
	}
	found, err := markersByID(a.body)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, id := range b.ids {
		counts[found[id]]++
	}
	for marker, n := range counts {
		if n != len(b.ids) || !slices.Contains(b.possible, marker) {
			return fmt.Errorf("import of %d %s: by marker %v, expected all to have one of %q",
				len(b.ids), b.what, counts, b.possible)
		}
	}
	return nil
}

// markersByID returns the names of the APIs or policies in an export by ID.
func markersByID(export []byte) (map[string]string, error) {
	type definition struct {
		APIID string `json:"api_id"` //nolint:tagliatelle // Tyk's
		Name  string `json:"name"`
	}
	var list struct {
		APIs []struct {
			Definition definition `json:"api_definition"` //nolint:tagliatelle // Tyk's
		} `json:"apis"`
		Data []struct {
			ID   string `json:"_id"` //nolint:tagliatelle // Tyk's
			Name string `json:"name"`
		} `json:"Data"` //nolint:tagliatelle // Tyk's
	}
	if err := json.Unmarshal(export, &list); err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, each := range list.APIs {
		found[each.Definition.APIID] = each.Definition.Name
	}
	for _, each := range list.Data {
		found[each.ID] = each.Name
	}
	return found, nil
}
