package oas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
)

func TestFromYAML(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		"openapi: 3.0.3\npaths:\n  /x:\n    get:\n      responses:\n        200: {description: ok}\n        404: {}": `{"openapi":"3.0.3","paths":{"/x":{"get":{"responses":{"200":{"description":"ok"},"404":{}}}}}}`,
		"z: 1\na: [yes, no, on, true, False, null, ~, 'true', \"1\"]":                                                `{"z":1,"a":["yes","no","on",true,false,null,null,"true","1"]}`,
		"[1.50, 1e3, -0, 0x1F, 0o17, +7, 1_000, .5, 9223372036854775808, 1.0]":                                       `[1.50,1e3,-0,31,15,7,1000,0.5,9223372036854775808,1.0]`,
		"date: 2024-01-02\nempty:\nlong: |\n  two\n  lines\nfold: >-\n  one\n  line":                                 `{"date":"2024-01-02","empty":null,"long":"two\nlines\n","fold":"one line"}`,
		"a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\nd:\n  <<: [*a, {z: 4}]\n  x: 0":                               `{"a":{"x":1,"y":2},"b":{"x":1,"y":2},"c":{"x":1,"y":3},"d":{"y":2,"z":4,"x":0}}`,
		`{"json": "is YAML, \u00e4 <&>", "n": [1, {"a": null}]}`:                                                     `{"json":"is YAML, ä <&>","n":[1,{"a":null}]}`,
		"? a\n: 1\n'': 2\nnull: 3\ntrue: 4":                                                                          `{"a":1,"":2,"null":3,"true":4}`,
	} {
		got, err := FromYAML([]byte(document))
		require.NoError(t, err, document)
		require.Equal(t, want, string(got), document)
	}
}

// utf16Of returns a text of ASCII as UTF-16, which YAML may be.
func utf16Of(text string) string {
	out := []byte{0xff, 0xfe}
	for _, c := range []byte(text) {
		out = append(out, c, 0)
	}
	return string(out)
}

// TestSeparators: a document has no more nodes than twice its separators, whatever it has beside.
func TestSeparators(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{
		"[%s]a,", "{%s}a,", "[%s]a: b,", "[%s]: ,", "[%s]? ,", "[%s]{},", "[%s][],", "%s- \n", "%s- a:\n", "%sa%d:\n", "%s? a%d\n", "%s- - \n",
	} {
		around, repeated, _ := strings.Cut(pattern, "%s")
		end := ""
		if around != "" {
			end, repeated = repeated[:1], repeated[1:]
		}
		var document strings.Builder
		document.WriteString(around)
		for i := range 1000 {
			document.WriteString(strings.ReplaceAll(repeated, "%d", strconv.Itoa(i)))
		}
		document.WriteString(end)
		var node yaml.Node
		require.NoError(t, yaml.Load([]byte(document.String()), &node), pattern)
		nodes := nodesIn(&node)
		require.Greater(t, nodes, 1000, pattern)
		require.LessOrEqual(t, nodes, 2*yamlSeparators([]byte(document.String()))+5, pattern)
	}
}

func nodesIn(node *yaml.Node) int {
	nodes := 1
	for _, child := range node.Content {
		nodes += nodesIn(child)
	}
	return nodes
}

func TestFromYAMLRefuses(t *testing.T) {
	t.Parallel()
	bomb, merges := bytes.NewBufferString("a0: &a0 {x: 1}\n"), bytes.NewBufferString("a0: &a0 {x: 1}\n")
	for level := range 9 {
		aliases := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", level), 10), ",")
		fmt.Fprintf(bomb, "a%[1]d: &a%[1]d [%s]\n", level+1, aliases)
		fmt.Fprintf(merges, "a%[1]d: &a%[1]d {<<: [%s]}\n", level+1, aliases)
	}
	for document, reason := range map[string]string{
		"":                 "",
		"a: [":             "is not YAML",
		"a: 1\na: 2":       "",
		"a: 1\n---\nb: 2":  "is not YAML",
		"a: .inf":          "line 1",
		"a: .nan":          "line 1",
		"? [a]\n: 1":       "the name of a member",
		"a: 1\nb: {<<: 7}": "merge key",
		"a: &a {<<: *a}":   "",
		"a: &a [*a]":       "",
		bomb.String():      "too many values",
		merges.String():    "too many values",
		"[" + strings.Repeat("a,", maxYAMLSeparators+1) + "a]":                                 "too many values",
		strings.Repeat("- \n", maxYAMLSeparators+1):                                            "too many values",
		utf16Of(strings.Repeat("? \n", maxYAMLSeparators+1)):                                   "too many values",
		strings.Repeat("%TAG !a! b\n", 1001) + "--- a":                                         "too many values",
		utf16Of(strings.Repeat("%TAG !a! b\n", 1001)) + "\n":                                   "too many values",
		"a: &a " + strings.Repeat("x", 1<<16) + "\nb: [" + strings.Repeat("*a,", 1000) + "*a]": "too many values",
	} {
		_, err := FromYAML([]byte(document))
		var fault *Error
		require.ErrorAs(t, err, &fault, "%.100s", document)
		require.Contains(t, fault.Message, reason, "%.100s", document)
	}
}

func TestToYAML(t *testing.T) {
	t.Parallel()
	document := `{"openapi":"3.0.3","z":[1.50,1e3,-0,true,null,"true","null","1","1.5","yes","No","~","","x: y","# no","- a","*a","&a","!a","%a",` +
		`"2024-01-02","0x1F","1_000","12:30:45","a\nb\n"," lead","trail ","\u0007\u00a0ä😀\"'\\","<<","=",".inf","{}","[]","null "],` +
		`"yes":{"<<":1,"200":{},"empty":[],"":null,"lists":[[[1,2],[],{"a":[{}]}],{"\n a\n":["b\n\n","\n","  c\n d\n\n"]}],` +
		`"` + strings.Repeat("long ", 40) + `":{"x":["y",{"z":[1]}]}}}`
	var converted, back []byte
	var err error
	for _, piece := range []int{1, 2, 20, yamlPiece} {
		converted, err = toYAML([]byte(document), piece)
		require.NoError(t, err)
		back, err = FromYAML(converted)
		require.NoError(t, err, "%s", converted)
		var want, got any
		require.NoError(t, json.Unmarshal([]byte(document), &want))
		require.NoError(t, json.Unmarshal(back, &got))
		require.Equal(t, want, got, "%s", converted)
	}
	require.Contains(t, string(converted), "openapi: 3.0.3\nz:\n")
	for _, text := range []string{`"yes"`, `"12:30:45"`, `"="`} {
		require.Contains(t, string(converted), text, "readers of YAML 1.1 take it for another type")
	}
	require.True(t, strings.Index(string(back), "1.50") > 0 && strings.Index(string(back), "openapi") < strings.Index(string(back), `"z"`))

	_, err = ToYAML([]byte(`{`))
	require.Error(t, err)
}
