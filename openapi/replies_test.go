package openapi_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
)

// smallContract has the kinds of responses that no contract of gatehouse has yet.
const smallContract = `
openapi: 3.0.3
info: {title: small, version: '1'}
paths:
  /things:
    post:
      operationId: makeThing
      responses:
        '204': {description: The thing was made., x-outcome: ok}
        '409': {description: The thing exists., x-outcome: conflict}
        '404':
          description: The maker does not exist.
          content:
            application/json:
              schema: {type: object, properties: {Message: {type: string}}}
              examples: {not_found: {x-varies: m1, value: {Status: Error, Message: 'No maker m1', Meta: null}}}
`

// smallConfig generates what the contracts of gatehouse generate; paths are relative to the root of the repository.
const smallConfig = `
package: small
generate: {models: true, echo-server: true}
output-options: {user-templates: {echo/echo-interface.tmpl: openapi/templates/echo-interface.tmpl}}
additional-imports: [{package: gatehouse/contract}]
`

// smallServer uses every reply of the small contract. It compiles only if each is generated as it should be.
const smallServer = `package small

import "errors"

type maker struct{}

var _ Handlers[int] = maker{}

func (maker) MakeThing(request int) MakeThingReply {
	var reply MakeThingReplies
	switch request {
	case 1:
		return reply.Conflict(errors.New("it exists"))
	case 2:
		return reply.NotFound("m2", nil)
	}
	return reply.OK()
}
`

func TestRepliesOfResponsesWithoutContent(t *testing.T) {
	t.Parallel()
	goCommand := testprogram.Need(t, "go")
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	run := func(args ...string) []byte {
		command := exec.CommandContext(t.Context(), goCommand, args...)
		command.Dir = root
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s", output)
		return output
	}
	generated := filepath.Join(dir, "small.gen.go")
	run("tool", "oapi-codegen", "-config", write("small.codegen.yaml", []byte(smallConfig)), "-o", generated,
		write("small.yaml", []byte(smallContract)))
	text, err := os.ReadFile(generated)
	require.NoError(t, err)
	require.Contains(t, string(text), `func (MakeThingReplies) Conflict(cause error) MakeThingReply {
	return MakeThingReply{contract.Reply{Outcome: "conflict", Response: contract.Response{Status: 409, Form: contract.Empty}, Cause: cause}}
}`)
	require.Contains(t, string(text), `func (MakeThingReplies) OK() MakeThingReply {
	return MakeThingReply{contract.Reply{Outcome: "ok", Response: contract.Response{Status: 204, Form: contract.Empty}}}
}`)
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(root, "gen", "small", "small.gen.go"): generated,
		filepath.Join(root, "gen", "small", "server.go"):    write("server.go", []byte(smallServer)),
	}})
	require.NoError(t, err)
	run("build", "-overlay", write("overlay.json", overlay), "./gen/small")
}
