package oas

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"gatehouse/internal/jsondoc"
)

// ImportOptions are what the caller of an import says of an API beside its OpenAPI document. Nil and empty members
// leave what the document says.
type ImportOptions struct {
	UpstreamURL  string // instead of the document's first server
	ListenPath   string // "/" by default
	CustomDomain string
	APIID        string

	AllowList       *bool // only the operations of the document are served
	ValidateRequest *bool // requests are validated against the schemas of the document
	MockResponse    *bool // responses are made of the document's examples
	Authentication  *bool // requests are authenticated by the security schemes of the document
}

// ErrExtension is the error of a document to import that has the extension.
var ErrExtension = &Error{
	Pointer: "/" + Extension, Message: "The import payload should not contain x-tyk-api-gateway.",
}

// Extend returns an ordinary OpenAPI document with the extension that serves it. The error is an *Error if the document
// or an option is at fault. The rest of the document stays as it is, but for an operationId for each operation that
// lacks one and is configured: the extension refers to operations by it.
func Extend(openapi []byte, options ImportOptions) ([]byte, error) {
	if !json.Valid(openapi) {
		return nil, &Error{Message: "the document is not JSON"}
	}
	parsed := gjson.ParseBytes(openapi)
	if get(parsed, Extension).Exists() {
		return nil, ErrExtension
	}
	if err := requireVersion(parsed, Options{}); err != nil {
		return nil, err
	}
	if err := checkParts(parsed); err != nil {
		return nil, err
	}
	i := importer{openapi, newDocument(openapi), options}
	return i.extend()
}

// checkParts returns an error for a document whose parts are not those of OpenAPI, as far as an import reads them.
func checkParts(doc gjson.Result) error {
	if !get(doc, "info").IsObject() {
		return &Error{Pointer: "/info", Message: "is missing"}
	}
	for name, is := range map[string]func(gjson.Result) bool{
		"servers": gjson.Result.IsArray, "security": gjson.Result.IsArray, "paths": gjson.Result.IsObject,
	} {
		if part := get(doc, name); part.Exists() && !is(part) {
			return &Error{Message: "the document is not OpenAPI: " + name + " has the wrong type"}
		}
	}
	if refersElsewhere(doc) {
		return &Error{Message: "the document is not OpenAPI on its own: it refers to others"}
	}
	return nil
}

// refersElsewhere reports whether a value refers to another document. References are not followed.
func refersElsewhere(value gjson.Result) bool {
	for name, member := range membersOf(value) {
		if name == "$ref" && member.Type == gjson.String && !strings.HasPrefix(textOf(member), "#") ||
			refersElsewhere(member) {
			return true
		}
	}
	for _, element := range elements(value) {
		if refersElsewhere(element) {
			return true
		}
	}
	return false
}

type importer struct {
	raw     []byte
	doc     document
	options ImportOptions
}

// The extension of an imported document, in the order of its members.
type (
	importedExtension struct {
		Info       importedInfo        `json:"info"`
		Upstream   importedUpstream    `json:"upstream"`
		Server     importedServer      `json:"server"`
		Middleware *importedMiddleware `json:"middleware"`
	}
	importedInfo struct {
		ID    string        `json:"id,omitempty"`
		Name  string        `json:"name"`
		State importedState `json:"state"`
	}
	importedState struct {
		Active   bool `json:"active"`
		Internal bool `json:"internal"`
	}
	importedUpstream struct {
		URL string `json:"url"`
	}
	importedServer struct {
		ListenPath     importedListenPath      `json:"listenPath"`
		CustomDomain   *importedDomain         `json:"customDomain,omitempty"`
		Authentication *importedAuthentication `json:"authentication,omitempty"`
	}
	importedListenPath struct {
		Value string `json:"value"`
		Strip bool   `json:"strip"`
	}
	importedDomain struct {
		Enabled bool   `json:"enabled"`
		Name    string `json:"name"`
	}
	importedAuthentication struct {
		Enabled              bool                      `json:"enabled"`
		BaseIdentityProvider string                    `json:"baseIdentityProvider,omitempty"`
		SecuritySchemes      map[string]importedScheme `json:"securitySchemes,omitempty"`
	}
	importedScheme struct {
		Enabled bool            `json:"enabled"`
		Header  *importedSource `json:"header,omitempty"`
		Query   *importedSource `json:"query,omitempty"`
		Cookie  *importedSource `json:"cookie,omitempty"`
	}
	importedSource struct {
		Enabled bool   `json:"enabled"`
		Name    string `json:"name,omitempty"`
	}
	importedMiddleware struct {
		Global     importedGlobal               `json:"global"`
		Operations map[string]importedOperation `json:"operations,omitempty"`
	}
	importedGlobal struct {
		ContextVariables importedFlag `json:"contextVariables"`
		TrafficLogs      importedFlag `json:"trafficLogs"`
	}
	importedFlag struct {
		Enabled bool `json:"enabled"`
	}
	importedOperation struct {
		Allow           *importedFlag       `json:"allow,omitempty"`
		ValidateRequest *importedValidation `json:"validateRequest,omitempty"`
		MockResponse    *importedMock       `json:"mockResponse,omitempty"`
	}
	importedValidation struct {
		Enabled           bool `json:"enabled"`
		ErrorResponseCode int  `json:"errorResponseCode"`
	}
	importedMock struct {
		Enabled         bool         `json:"enabled"`
		FromOASExamples importedFlag `json:"fromOASExamples"`
	}
)

func (i importer) extend() ([]byte, error) {
	upstream, err := i.upstream()
	if err != nil {
		return nil, err
	}
	authentication, err := i.authentication()
	if err != nil {
		return nil, err
	}
	on := importedFlag{Enabled: true}
	operations, edits := i.operations()
	info := importedInfo{
		ID: i.options.APIID, Name: textOf(i.doc.get("info", "title")), State: importedState{Active: true},
	}
	extension := importedExtension{
		Info:     info,
		Upstream: importedUpstream{URL: upstream},
		Server: importedServer{
			ListenPath:     importedListenPath{Value: cmp.Or(i.options.ListenPath, "/"), Strip: true},
			Authentication: authentication,
		},
		Middleware: &importedMiddleware{
			Global: importedGlobal{ContextVariables: on, TrafficLogs: on}, Operations: operations,
		},
	}
	if i.options.CustomDomain != "" {
		extension.Server.CustomDomain = &importedDomain{Enabled: true, Name: i.options.CustomDomain}
	}
	encoded, err := encode(extension)
	if err != nil {
		return nil, err
	}
	if len(encoded) > MaxSize(len(i.raw)) {
		return nil, errTooLarge
	}
	end := len(bytes.TrimRight(i.raw[:whole(i.raw).end-len("}")], " \t\r\n")) // behind the last member
	member := append([]byte(`,"`+Extension+`":`), encoded...)
	return applyEdits(i.raw, append(edits, edit{end, end, member})), nil
}

// upstream returns the URL that requests are proxied to: that of the first server, with the defaults of its variables,
// unless the caller has given one.
func (i importer) upstream() (string, error) {
	if given := i.options.UpstreamURL; given != "" {
		if !isAbsolute(given) {
			return "", &Error{Message: "invalid upstream URL"}
		}
		return given, nil
	}
	server := i.doc.get("servers").Get("0")
	if !server.IsObject() {
		return "", &Error{Pointer: "/servers", Message: "servers object is empty in OAS"}
	}
	address := textOf(get(server, "url"))
	if defaults := variableDefaults(get(server, "variables")); len(defaults) > 0 {
		address = strings.NewReplacer(defaults...).Replace(address)
	}
	if len(address) > maxUpstream {
		return "", &Error{Pointer: "/servers/0/url", Message: "is too long"}
	}
	if strings.Contains(address, "{") || !isAbsolute(address) {
		return "", &Error{Pointer: "/servers/0/url", Message: fmt.Sprintf(
			"Please update %q to be a valid URL or pass a valid URL with upstreamURL query param", address)}
	}
	return address, nil
}

// maxUpstream is the maximum size of an upstream URL in bytes.
const maxUpstream = 64 << 10

// variableDefaults returns the variables of a server as its URL has them, each with its default.
func variableDefaults(variables gjson.Result) (pairs []string) {
	for name, variable := range membersOf(variables) {
		if value := textOf(get(variable, "default")); value != "" {
			pairs = append(pairs, "{"+name+"}", value)
		}
	}
	return pairs
}

func isAbsolute(address string) bool {
	parsed, err := url.Parse(address)
	return err == nil && parsed.IsAbs()
}

// authorization is the header that credentials are in, unless the document says otherwise.
const authorization = "Authorization"

// authentication returns what authenticates requests: the schemes of the first security requirement. A gateway has no
// mode for some kinds of scheme, and takes tokens if it has one for none of them.
func (i importer) authentication() (*importedAuthentication, error) {
	if i.options.Authentication == nil {
		return nil, nil
	}
	required := i.doc.get("security").Get("0")
	if !required.Exists() {
		return nil, &Error{Pointer: "/security", Message: "security object is empty in OAS"}
	}
	enabled := *i.options.Authentication
	imported := &importedAuthentication{Enabled: enabled, SecuritySchemes: map[string]importedScheme{}}
	var modes []string
	for name := range membersOf(required) {
		definition := i.doc.securityScheme(name)
		scheme, mode := importedScheme{Enabled: enabled}, modeOf(definition)
		source := &importedSource{Enabled: true}
		switch in := textOf(get(definition, "in")); {
		case mode == "":
			continue
		case mode != tokenConfig:
			source.Name = authorization
			scheme.Header = source
		case in == "header":
			scheme.Header = source
		case in == "query":
			scheme.Query = source
		case in == "cookie":
			scheme.Cookie = source
		}
		imported.SecuritySchemes[name] = scheme
		modes = append(modes, mode)
	}
	if len(modes) > 1 {
		imported.BaseIdentityProvider = identityProvider(modes)
	}
	return imported, nil
}

// identityProvider returns the mode of several whose session has the rights and limits of a request.
func identityProvider(modes []string) string {
	switch {
	case slices.Contains(modes, tokenConfig):
		return "auth_token"
	case slices.Contains(modes, jwtConfig):
		return "jwt_claim"
	}
	return "oauth_key"
}

// operations returns what is configured for the operations, by their IDs, and the edits that give IDs to operations.
func (i importer) operations() (map[string]importedOperation, []edit) {
	imported := map[string]importedOperation{}
	var edits []edit
	for path, item := range i.paths() {
		for method, at := range memberSpans(i.raw, item) {
			object := i.raw[at.start:at.end]
			op := gjson.ParseBytes(object)
			configured := i.operation(op)
			if !slices.Contains(methods, method) || !op.IsObject() || configured == (importedOperation{}) {
				continue
			}
			id := textOf(get(op, "operationId"))
			if id == "" {
				id = strings.TrimPrefix(path, "/") + strings.ToUpper(method)
				edits = append(edits, edit{at.start, at.end, setMember(object, "operationId", jsondoc.Quote(id))})
			}
			imported[id] = configured
		}
	}
	return imported, edits
}

// paths yields the paths of the document, with the places of their operations.
func (i importer) paths() iter.Seq2[string, span] {
	paths, _ := memberSpan(i.raw, whole(i.raw), "paths")
	return memberSpans(i.raw, paths)
}

func (i importer) operation(op gjson.Result) (imported importedOperation) {
	if allowed := i.options.AllowList; allowed != nil {
		imported.Allow = &importedFlag{*allowed}
	}
	if validated := i.options.ValidateRequest; validated != nil && i.hasRequestSchema(op) {
		imported.ValidateRequest = &importedValidation{*validated, http.StatusUnprocessableEntity}
	}
	if mocked := i.options.MockResponse; mocked != nil && i.hasExample(op) {
		imported.MockResponse = &importedMock{*mocked, importedFlag{*mocked}}
	}
	return imported
}

// hasRequestSchema reports whether there is something to validate: parameters, or a body of JSON.
func (i importer) hasRequestSchema(op gjson.Result) bool {
	if len(get(op, "parameters").Array()) > 0 {
		return true
	}
	return get(i.doc.component("requestBodies", get(op, "requestBody")), "content", "application/json").Exists()
}

// hasExample reports whether a response can be made of the document.
func (i importer) hasExample(op gjson.Result) bool {
	for _, response := range membersOf(get(op, "responses")) {
		for _, content := range membersOf(get(i.doc.component("responses", response), "content")) {
			if get(content, "example").Exists() || get(content, "schema").Exists() {
				return true
			}
			for _, example := range membersOf(get(content, "examples")) {
				if get(i.doc.component("examples", example), "value").Exists() {
					return true
				}
			}
		}
	}
	return false
}

// Public returns a document without the extension, for the API's users.
func Public(document []byte) ([]byte, error) {
	if !json.Valid(document) {
		return nil, errNotJSON
	}
	at := whole(document)
	if document[at.start] != '{' {
		return document, nil
	}
	return applyEdits(document, removeMember(document, at, Extension)), nil
}
