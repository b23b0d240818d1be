package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMembersOfAPIsInAnotherCase: gateways take members whose names differ in case for the same one, and merge them.
func TestMembersOfAPIsInAnotherCase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := b.user(org, "a@example.org", map[string]string{"apis": "write"}).AccessKey
	b.do("POST", "/api/apis", classic("mine", ""), asUser(key)).is(200)
	const beginning, end = `,"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","extended_paths":{`, `}}}}`
	for name, members := range map[string]string{
		"a file by null":       beginning + `"transform_response":[{"path":"/","template_data":{"template_mode":"file","Template_Mode":null,"template_source":"/etc/x"}}]` + end,
		"a file by two halves": beginning + `"transform_response":[{"path":"/","template_data":{"template_mode":"file","template_source":"templates/x"},"Template_Data":{"template_source":"/etc/x"}}]` + end,
		"a file by two lists":  beginning + `"transform_response":[{"template_data":{"template_mode":"file","template_source":"templates/x"}}],"Transform_Response":[{"template_data":{"template_source":"/etc/x"}}]` + end,
		"one that is alone":    `,"proxy":{"listen_path":"/mine/","Target_URL":"http://a.example/"}`,
		"a long s":             `,"definition":{"ver\u017fions":{}}`,
	} {
		for method, path := range map[string]string{"POST": "/api/apis", "PUT": "/api/apis/mine"} {
			id := map[string]string{"POST": "other", "PUT": "mine"}[method]
			refused := b.do(method, path, classic(id, members), asUser(key)).is(400)
			require.Contains(t, refused.body, "in case only", name)
		}
	}
	for _, settings := range []string{
		`,"proxy":{"enabled":true,"Enabled":null}`, `,"Proxy":null,"proxy":{"enabled":true}`,
	} {
		refused := b.do("POST", "/api/apis/oas", oasWith("oas", settings, "", ""), asUser(key)).is(400)
		require.Contains(t, refused.body, "in case only", settings)
	}
	twoOperations := strings.Replace(oasWith("two", "", "", ""), `"operations":{`, `"operations":{"GETX":{"allow":{"enabled":true}},`, 1)
	b.do("POST", "/api/apis/oas", twoOperations, asUser(key)).is(200)
	maps := `,"config_data":{"a":1,"A":2},"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","global_headers":{"X-A":"1","x-a":"2"}}}}`
	b.do("PUT", "/api/apis/mine", classic("mine", maps), asUser(key)).is(200)
	b.importAPIs(strings.Replace(apiOf(org, "imported"), `"proxy":{`, `"Tags":[],"proxy":{`, 1)).is(200)
}

// TestStreamsReadNothingOfGateways: Bento replaces variables in the configuration of streams, and its mappings read
// variables and files.
func TestStreamsReadNothingOfGateways(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.user(b.org(), "a@example.org", map[string]string{"apis": "write"}).AccessKey
	stream := func(mapping string) string {
		return strings.Replace(oasWith("streams-1", "", "", ""), `"paths"`, `"x-tyk-streaming":{"streams":{"a":{"pipeline":{"processors":[`+mapping+`]}}}},"paths"`, 1)
	}
	harmless := stream(`{"mapping":"root = this.env + content().string() # profile(s)"},{"log":{"message":"${! json(\"id\") }"}}`)
	b.do("POST", "/api/apis/streams", harmless, asUser(key)).is(200)
	b.do("PUT", "/api/apis/oas/streams-1", harmless, asUser(key)).is(200)
	for _, mapping := range []string{
		`{"mapping":"root = \"${TYK_GW_SECRET}\""}`, `{"mapping":"root = env (\"TYK_GW_SECRET\")"}`, `{"mapping":"root = \u0066ile(\"/etc/x\")"}`,
		`{"log":{"message":"${! file(\"/etc/x\") }"}}`, `{"mapping":"root = 1\nimport \"/etc/x\""}`, `{"mapping":"from \"/etc/x\""}`, `{"a${X}":1}`,
	} {
		refused := b.do("PUT", "/api/apis/oas/streams-1", stream(mapping), asUser(key)).is(400)
		require.Contains(t, refused.body, "variables or files", mapping)
		b.do("POST", "/api/apis/oas", strings.Replace(stream(mapping), `"id":"streams-1"`, `"id":"streams-2"`, 1), asUser(key)).is(400)
	}
	misspelt := stream(`{"Mapping":"root = 1","mapping":"root = 2"}`)
	require.Contains(t, b.do("PUT", "/api/apis/oas/streams-1", misspelt, asUser(key)).is(400).body, "in case only")
}
