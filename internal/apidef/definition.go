package apidef

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"gatehouse/contract"
	"gatehouse/internal/jsondoc"
)

// Reference is what an API definition names, and where.
type Reference struct{ Path, Value string }

// DefinitionReferences are what an API refers to that gateways share between organisations, and find without comparing
// organisations (docs/behaviour.md#what-an-api-refers-to).
type DefinitionReferences struct {
	// Certificates are IDs of certificates and public keys. Gateways take what is no ID for the name of a file.
	Certificates []Reference
	// Files are names of templates in the file system of gateways.
	Files []Reference
	// Code are the files with JavaScript or plugins that gateways load.
	Code []Reference
	// APIs are the APIs that the definition sends requests to, with tyk:// or as versions, without "self": an api_id, an
	// ID in the database, or a name as gateways compare it.
	APIs []Reference
	// Hosts are the hosts of URLs, which gateways take for APIs, as those of loops, if the request has X-Tyk-Internal.
	Hosts []Reference
	// Loopholes are what makes a loop of a request that is none: X-Tyk-Internal, and the Host of the client beside loops.
	Loopholes []Reference
	// Streams are what streams read from the variables and the files of gateways.
	Streams []Reference
	// Variables are variables of the environment of gateways, whose values gateways write in place of env://.
	Variables []Reference
}

// Where in an API there are references. "*" is each element or member; names are matched in any case, as gateways do.
var (
	certificatePaths = [][]string{
		{"oas", extension, "server", "clientCertificates", "allowlist", "*"},
		{"oas", extension, "server", "customDomain", "certificates", "*"},
		{"oas", extension, "upstream", "certificatePinning", "domainToPublicKeysMapping", "*", "publicKeys", "*"},
		{"oas", extension, "upstream", "mutualTLS", "domainToCertificateMapping", "*", "certificate"},
		{"oas", extension, "upstream", "authentication", "requestSigning", "certificateId"},
		{definitionMember, "certificates", "*"},
		{definitionMember, "client_certificates", "*"},
		{definitionMember, "upstream_certificates", "*"},
		{definitionMember, "pinned_public_keys", "*"},
		{definitionMember, "request_signing", "certificate_id"},
	}
	transformPaths = [][]string{
		{definitionMember, "version_data", "versions", "*", "extended_paths", "transform", "*", "template_data"},
		{definitionMember, "version_data", "versions", "*", "extended_paths", "transform_response", "*", "template_data"},
	}
	virtualPath = []string{definitionMember, "version_data", "versions", "*", "extended_paths", "virtual", "*"}
	pluginPaths = [][]string{
		{definitionMember, "custom_middleware", "*", "path"},
		{definitionMember, "custom_middleware", "*", "*", "path"},
	}
	webhookPath  = []string{definitionMember, "event_handlers", "events", "*", "*", "handler_meta", "template_path"}
	versionsPath = []string{definitionMember, "definition", "versions", "*"}
	targetsPath  = []string{definitionMember, "proxy", "target_list", "*"}

	preserveHostPath = []string{definitionMember, "proxy", "preserve_host_header"}
)

const (
	definitionMember = "api_definition"
	extension        = "x-tyk-api-gateway"
)

// ReadDefinitionReferences returns what an API that gateways can decode refers to. It is nothing for nil.
func ReadDefinitionReferences(api json.RawMessage) *DefinitionReferences {
	refs := &DefinitionReferences{}
	for _, at := range certificatePaths {
		visit(api, at, "", func(pointer string, value json.RawMessage) {
			for id := range strings.SplitSeq(textOf(value), ",") { // as the gateway splits those of pinned keys
				if id != "" {
					refs.Certificates = append(refs.Certificates, Reference{pointer, id})
				}
			}
		})
	}
	for _, at := range transformPaths {
		visit(api, at, "", func(pointer string, data json.RawMessage) {
			if strings.EqualFold(memberText(data, "template_mode"), "file") {
				refs.Files = append(refs.Files, Reference{pointer, memberText(data, "template_source")})
			}
		})
	}
	refs.addCode(api)
	visit(api, webhookPath, "", func(pointer string, value json.RawMessage) {
		if file := textOf(value); file != "" {
			refs.Files = append(refs.Files, Reference{pointer, file})
		}
	})
	visit(api, versionsPath, "", func(pointer string, value json.RawMessage) {
		refs.addAPIs(pointer, textOf(value))
	})
	versions := len(refs.APIs)
	refs.addTexts(api)
	if len(refs.APIs) > versions {
		refs.addPreservedHost(api)
	}
	visit(api, []string{definitionMember}, "", func(_ string, definition json.RawMessage) {
		refs.addUpstreams(definition)
	})
	visit(api, []string{"oas", streaming}, "", func(pointer string, settings json.RawMessage) {
		refs.addStreams(pointer, settings)
	})
	visit(api, targetsPath, "", func(pointer string, value json.RawMessage) {
		if host := textOf(value); !strings.Contains(host, "//") { // gateways add the scheme
			refs.addHost(pointer, "http://"+strings.TrimSpace(host))
		}
	})
	for _, match := range variableOfGateway.FindAllSubmatch(api, -1) {
		refs.Variables = append(refs.Variables, Reference{"/" + definitionMember, string(match[1])})
	}
	return refs.Without(&DefinitionReferences{})
}

// addCode adds the files of virtual endpoints and of plugins.
func (r *DefinitionReferences) addCode(api json.RawMessage) {
	visit(api, virtualPath, "", func(pointer string, endpoint json.RawMessage) {
		if strings.EqualFold(memberText(endpoint, "function_source_type"), "file") {
			r.Code = append(r.Code, Reference{pointer, memberText(endpoint, "function_source_uri")})
		}
	})
	for _, at := range pluginPaths {
		visit(api, at, "", func(pointer string, value json.RawMessage) {
			r.Code = append(r.Code, Reference{pointer, textOf(value)})
		})
	}
}

// device is a path to what is no file of code, and may block a gateway that reads it, or never end.
var device = regexp.MustCompile(`^(?:\.\.(?:/|$)|/+(?:dev|proc|sys|run)(?:/|$))`)

// visit calls found for the values at a path of a document. A name stands for each member that gateways take for it.
func visit(doc json.RawMessage, at []string, pointer string, found func(pointer string, value json.RawMessage)) {
	if len(at) == 0 {
		found(pointer, doc)
		return
	}
	name, rest := at[0], at[1:]
	if name == "*" && bytes.HasPrefix(doc, []byte("[")) {
		var elements []json.RawMessage
		_ = json.Unmarshal(doc, &elements) // the document is valid
		for i, element := range elements {
			visit(element, rest, pointer+"/"+strconv.Itoa(i), found)
		}
		return
	}
	for _, m := range jsondoc.Members(doc) {
		if name == "*" || strings.EqualFold(name, m.Name) {
			visit(m.Value, rest, pointer+contract.Pointer(m.Name), found)
		}
	}
}

// textOf returns a text, "" for another value.
func textOf(value json.RawMessage) (text string) {
	_ = json.Unmarshal(value, &text) // anything but a text is none
	return text
}

// memberText returns the last text that a gateway may read for a member.
func memberText(doc json.RawMessage, name string) (text string) {
	visit(doc, []string{name}, "", func(_ string, value json.RawMessage) { text = textOf(value) })
	return text
}

// loopScheme begins what gateways do not send to a host, but to another API that they serve.
const loopScheme = "tyk://"

// addTexts adds what the texts of an API refer to, wherever they are: names of members are texts, too.
func (r *DefinitionReferences) addTexts(api json.RawMessage) {
	in := jsontext.NewDecoder(bytes.NewReader(api))
	for {
		kind := in.PeekKind()
		value, err := readScalar(in, kind)
		if err != nil { // the end
			return
		}
		text := strings.TrimSpace(textOf(value))
		if hasPrefixFold(text, loopScheme) {
			r.addAPIs(string(in.StackPointer()), loopTargets(text)...)
		}
		for _, match := range variableOfGateway.FindAllStringSubmatch(text, -1) {
			r.Variables = append(r.Variables, Reference{string(in.StackPointer()), match[1]})
		}
	}
}

// addUpstreams adds what the texts of an API definition refer to as URLs of upstreams, or as their headers.
func (r *DefinitionReferences) addUpstreams(definition json.RawMessage) {
	in := jsontext.NewDecoder(bytes.NewReader(definition))
	for {
		value, err := readScalar(in, in.PeekKind())
		if err != nil { // the end
			return
		}
		text := strings.TrimSpace(textOf(value))
		at := "/" + definitionMember + string(in.StackPointer())
		if strings.Contains(strings.ToLower(text), internalHeader) {
			r.Loopholes = append(r.Loopholes, Reference{at, internalHeader})
		}
		if strings.Contains(text, "//") {
			r.addHost(at, text)
		}
	}
}

// addHost adds the host of a URL, with its port: gateways compare it so.
func (r *DefinitionReferences) addHost(at, text string) {
	if parsed, err := url.Parse(text); err == nil && parsed.Host != "" {
		r.Hosts = append(r.Hosts, Reference{at, parsed.Host})
	}
}

// addPreservedHost adds the Host of clients if an API with loops sends it on: gateways look it up in place of the API.
func (r *DefinitionReferences) addPreservedHost(api json.RawMessage) {
	visit(api, preserveHostPath, "", func(pointer string, value json.RawMessage) {
		if jsondoc.Bool(value, false) {
			r.Loopholes = append(r.Loopholes, Reference{pointer, "Host"})
		}
	})
}

// addStreams adds the texts of a stream's configuration that read variables or files.
func (r *DefinitionReferences) addStreams(pointer string, settings json.RawMessage) {
	in := jsontext.NewDecoder(bytes.NewReader(settings))
	for {
		value, err := readScalar(in, in.PeekKind())
		if err != nil { // the end
			return
		}
		if text := textOf(value); readsGateway.MatchString(text) {
			r.Streams = append(r.Streams, Reference{pointer + string(in.StackPointer()), text})
		}
	}
}

// readsGateway is what Bento, which runs streams, replaces by a variable, and what its mappings read variables and
// files by. ${! begins an expression, which is such a mapping.
var readsGateway = regexp.MustCompile(`\$\{(?:[^!]|$)|(?i:\b(?:env|file|file_rel)\s*\()|` +
	`(?m:^\s*(?:import|from)\s*["'])`)

// internalHeader has gateways send a request to another API that they serve, whatever the scheme of its URL.
const internalHeader = "x-tyk-internal"

// readScalar reads the next text, or skips the next token.
func readScalar(in *jsontext.Decoder, kind jsontext.Kind) (json.RawMessage, error) {
	if kind == jsontext.KindString {
		value, err := in.ReadValue()
		return json.RawMessage(value), err
	}
	_, err := in.ReadToken()
	return nil, err
}

func hasPrefixFold(text, prefix string) bool {
	return len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix)
}

// self is the API itself, as the target of a loop and as a version.
const self = "self"

// addAPIs adds APIs unless they are the API itself.
func (r *DefinitionReferences) addAPIs(at string, names ...string) {
	for _, name := range names {
		if name != "" && name != self {
			r.APIs = append(r.APIs, Reference{at, name})
		}
	}
}

// loopTargets returns what gateways may look up for a loop. Of a host in a URL, some parts take all, and others leave
// out the user and the port; rewritten URLs have the host as a name.
func loopTargets(loop string) []string {
	host, _, _ := strings.Cut(loop[len(loopScheme):], "/")
	targets := []string{host, loopName(host)}
	if parsed, err := url.Parse(loop); err == nil {
		targets = append(targets, parsed.Host, parsed.Hostname())
	}
	slices.Sort(targets)
	return slices.Compact(targets)
}

var (
	nonAlphanumeric = regexp.MustCompile(`[^A-Za-z0-9]+`)
	variable        = regexp.MustCompile(`\$|\{\{`)
	notASCII        = regexp.MustCompile(`[^\x00-\x7f]`)
)

// loopName returns a name as gateways compare it with that of a loop.
func loopName(name string) string { return nonAlphanumeric.ReplaceAllString(name, "-") }

// LoopName returns the name by which loops find an API with this name, in whatever case: without categories, which
// begin at "#".
func LoopName(name string) string {
	if at := strings.Index(name, "#"); at > 0 {
		name = name[:at-1]
	}
	return strings.ToLower(loopName(name))
}

// APINames returns the values of APIs, but for those that no API can have as its api_id, ID or name.
func (r *DefinitionReferences) APINames() (names []string) {
	for _, api := range r.APIs {
		if len(api.Value) <= maxAPIID && !strings.Contains(api.Value, "\x00") {
			names = append(names, api.Value)
		}
	}
	return names
}

// Without returns the references that others lack: by their values, wherever they are, and each value once.
func (r *DefinitionReferences) Without(others *DefinitionReferences) *DefinitionReferences {
	return &DefinitionReferences{
		Certificates: without(r.Certificates, others.Certificates),
		Files:        without(r.Files, others.Files),
		Code:         without(r.Code, others.Code),
		APIs:         without(r.APIs, others.APIs),
		Hosts:        without(r.Hosts, others.Hosts),
		Loopholes:    without(r.Loopholes, others.Loopholes),
		Streams:      without(r.Streams, others.Streams),
		Variables:    without(r.Variables, others.Variables),
	}
}

func without(refs, others []Reference) []Reference {
	known := make(map[string]bool, len(refs)+len(others))
	for _, other := range others {
		known[other.Value] = true
	}
	return slices.DeleteFunc(refs, func(r Reference) bool {
		isKnown := known[r.Value]
		known[r.Value] = true
		return isKnown
	})
}

// certificateID is an ID of a certificate of an organisation, after the ID of the organisation, or of none: a SHA-256.
var certificateID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// maxReferences is how many references of a kind an API may have that it did not have before.
const maxReferences = 5000

// Problems returns what an organisation's API must not refer to. Of the APIs, it has only those that no look-up finds:
// a name that depends on the request.
func (r *DefinitionReferences) Problems(orgID string) (problems []Problem) {
	for _, refs := range [][]Reference{r.Certificates, r.Files, r.Code, r.APIs, r.Hosts, r.Variables} {
		if len(refs) > maxReferences {
			return []Problem{{Path: refs[maxReferences].Path, Reason: fmt.Sprintf("is one of more than %d", maxReferences)}}
		}
	}
	for _, c := range r.Certificates {
		if !certificateID.MatchString(strings.TrimPrefix(c.Value, orgID)) {
			problems = append(problems, Problem{Path: c.Path, Reason: "must be the ID of a certificate of the organisation"})
		}
	}
	problems = append(problems, r.hostProblems()...)
	for _, s := range r.Streams {
		problems = append(problems, Problem{Path: s.Path, Reason: "must not read variables or files of the gateway"})
	}
	for _, l := range r.Loopholes {
		problems = append(problems, Problem{Path: l.Path, Reason: "would have gateways send requests to other APIs"})
	}
	for _, api := range r.APIs {
		switch {
		case variable.MatchString(api.Value):
			problems = append(problems, Problem{Path: api.Path, Reason: "must name an API, not a variable"})
		case len(api.Value) > maxAPIID:
			problems = append(problems, Problem{Path: api.Path, Reason: "must name an API, in 255 characters at most"})
		case notASCII.MatchString(api.Value): // gateways take ſ for s, and the Kelvin sign for k
			problems = append(problems, Problem{Path: api.Path, Reason: "must name an API in ASCII"})
		}
	}
	return problems
}

// hostProblems returns what an API must not read on the host of a gateway.
func (r *DefinitionReferences) hostProblems() (problems []Problem) {
	for _, f := range r.Files {
		if path.Clean(f.Value) != f.Value || !strings.HasPrefix(f.Value, templates) {
			problems = append(problems, Problem{Path: f.Path, Reason: "must be a file in " + templates + " of the gateway"})
		}
	}
	for _, c := range r.Code {
		if device.MatchString(path.Clean(c.Value)) {
			problems = append(problems, Problem{Path: c.Path, Reason: "must be a file with code in a folder of the gateway"})
		}
	}
	for _, v := range r.Variables {
		if !strings.HasPrefix(v.Value, variablesForAPIs) {
			problems = append(problems, Problem{
				Path: v.Path, Reason: "env:// must name a variable that begins with " + variablesForAPIs,
			})
		}
	}
	return problems
}

// variableOfGateway is what gateways replace by the value of a variable, wherever it is in the text of the list.
var variableOfGateway = regexp.MustCompile(`env://([^"]*)`)

// variablesForAPIs is what the names of variables begin with that are meant for APIs. Others have the secrets of the
// gateway itself.
const variablesForAPIs = "TYK_SECRET_"

// templates is the folder of gateways that has templates and nothing else.
const templates = "templates/"

// maxAPIID is the maximum length of an api_id, which is part of paths and of names in Redis.
const maxAPIID = 255

var (
	plainAPIID = regexp.MustCompile(`^[A-Za-z0-9_~:=@+-]+(?:\.[A-Za-z0-9_~:=@+-]+)*$`)
	// redisPattern is what an api_id must not have where gateways make a name in Redis of it: a part of a pattern, or what
	// ends the api_id in names of OAuth clients.
	redisPattern = regexp.MustCompile(`[*?\[\]\\^{}]|\.oauth-`)
)

// reservedAPIIDs are parts of paths in place of an api_id, of gatehouse or of the gateway.
var reservedAPIIDs = []string{
	"-", "apis", "categories", "create", "default", "import", "keys", "oas", "oauth", "search", "self", "streams",
	"tokens",
}

// APIIDProblem returns what is wrong with an api_id that a user gives to an API, "" if nothing is.
func APIIDProblem(id string) string {
	switch {
	case len(id) > maxAPIID:
		return "is too long"
	case !plainAPIID.MatchString(id), redisPattern.MatchString(id):
		return "may have letters, digits and -_~.:=@+ only"
	case slices.Contains(reservedAPIIDs, strings.ToLower(id)):
		return "is reserved"
	}
	return ""
}

// IsRedisPattern reports whether the names in Redis that gateways make of an api_id may be those of another one.
func IsRedisPattern(apiID string) bool { return redisPattern.MatchString(apiID) }
