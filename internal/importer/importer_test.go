package importer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/internal/apidef"
	"gatehouse/internal/importer"
	"gatehouse/internal/jsonlist"
)

// policies returns an import of policies from a body, and the envelope that it validated last.
func policies(t *testing.T, body string) (imp *importer.Import, envelope *string) {
	t.Helper()
	spec, err := admin.GetSpecJSON()
	require.NoError(t, err)
	known, err := contract.Load(contract.Rules{}, spec)
	require.NoError(t, err)
	checks, err := apidef.NewChecks(known, 100)
	require.NoError(t, err)
	envelope = new(string)
	return &importer.Import{
		Body: strings.NewReader(body), List: "Data", MaxDocument: 1000, Check: checks.Policies,
		ValidateEnvelope: func(raw json.RawMessage) error {
			*envelope = string(raw)
			return nil
		},
	}, envelope
}

// rows reads all rows, each of which is its document.
func rows(imp *importer.Import) (all []string, err error) {
	toRow := func(doc apidef.Document) (string, string) { return string(doc.JSON), doc.ID() }
	for row, err := range importer.Rows(imp, toRow) {
		if err != nil {
			return all, err
		}
		all = append(all, row)
	}
	return all, nil
}

const one, two, three = "61df10078f11dd00097cb551", "61df10078f11dd00097cb552", "61df10078f11dd00097cb553"

func TestRows(t *testing.T) {
	t.Parallel()
	imp, envelope := policies(t, `{ "Data" : [ {"_id":"`+one+`"}, {"_id":"`+two+`","rate":"x"}, {"_id":5}, {"_id":"`+three+`"} ], "Pages": 0 }`)
	got, err := rows(imp)
	require.NoError(t, err)
	require.Equal(t, []string{`{"_id":"` + one + `"}`, `{"_id":"` + three + `"}`}, got)
	require.Equal(t, `{"Data":[],"Pages":0}`, *envelope)
	require.NoError(t, imp.Result.Err())

	imp.Result.Refuse(three, "unknown organisation")
	require.Equal(t, map[string]bool{one: true, two: false, three: false, "/Data/2": false}, maps.Collect(imp.Result.All()))
	require.Equal(t, "1 of 4 policies imported; "+two+": /rate value must be a number; /Data/2: /_id value must be a string; "+
		three+": unknown organisation", imp.Result.Refusals("policies"))
}

func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	imp, _ := policies(t, `{"Data":[`+strings.Repeat(`{"_id":5},`, 12)+`{"_id":"`+one+`"}]}`)
	_, err := rows(imp)
	require.NoError(t, err)
	require.Regexp(t, `^1 of 13 policies imported; .*; /Data/9: /_id value must be a string; and 2 more$`, imp.Result.Refusals("policies"))
}

func TestNothingRefused(t *testing.T) {
	t.Parallel()
	imp, _ := policies(t, `{"Data":[]}`)
	got, err := rows(imp)
	require.NoError(t, err)
	require.Empty(t, got)
	require.NoError(t, imp.Result.Err(), "an empty list is valid")
	require.Empty(t, imp.Result.Refusals("policies"))
}

func TestMalformedImports(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"Data":[{"_id":"` + one + `"},{"_id":"` + one + `"}]}`: "/Data/1 has the id of one before it",
		`{"Data":[{"_id":5},{"rate":"x"}]}`:                      "/Data/0/_id value must be a string, /Data/1/rate value must be a number",
		`{"Data":[{}`:                                            "not one JSON value: at byte 11, line 1, column 12",
		`{"Data":[{"a":01}]}`:                                    "not one JSON value in UTF-8: at byte 15, line 1, column 16",
		`{"Data":[],"x":01}`:                                     "not one JSON value: at byte 15, line 1, column 16",
		"{\"Data\":[\n{},\n {\"a\":\"\\ud800\"}]}":               "half of a surrogate pair: at byte 21, line 3, column 8",
		`{"Data":[],"x":1e400}`:                                  "number is out of the range of a 64-bit float: beside Data",
	} {
		imp, _ := policies(t, body)
		_, err := rows(imp)
		if err == nil {
			err = imp.Result.Err()
		}
		malformed, ok := errors.AsType[*importer.MalformedError](err)
		require.True(t, ok, "%s: %v", body, err)
		require.Equal(t, want, importer.Reasons(malformed.Problems()), body)
	}
}

func TestOtherErrorsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	imp, _ := policies(t, " \n")
	_, err := rows(imp)
	require.ErrorIs(t, err, jsonlist.ErrEmpty)

	imp, _ = policies(t, `{"Data":[{"a":"`+strings.Repeat("x", 2000)+`"}]}`)
	_, err = rows(imp)
	require.ErrorIs(t, err, jsonlist.ErrTooLarge)

	broken := errors.New("broken")
	imp, _ = policies(t, "")
	imp.Body = iotest.ErrReader(broken)
	_, err = rows(imp)
	require.ErrorIs(t, err, broken)

	imp, _ = policies(t, `{"Data":[{"_id":"`+one+`"}]}`)
	imp.ValidateEnvelope = func(json.RawMessage) error { return broken }
	got, err := rows(imp)
	require.ErrorIs(t, err, broken)
	require.Len(t, got, 1, "the envelope is complete only after the documents")
}

func TestManyIDs(t *testing.T) {
	t.Parallel()
	var body strings.Builder
	const n = 10_000
	for i := range n {
		fmt.Fprintf(&body, `{"_id":"%024x"},`, i)
	}
	imp, _ := policies(t, `{"Data":[`+strings.TrimSuffix(body.String(), ",")+`]}`)
	got, err := rows(imp)
	require.NoError(t, err)
	require.Len(t, got, n)
	i := 0
	for id, imported := range imp.Result.All() {
		require.Equal(t, fmt.Sprintf("%024x", i), id)
		require.True(t, imported)
		i++
	}
	require.Equal(t, n, i)
}
