package apidef

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Search is what lists of APIs are filtered and sorted by (migrations/008_list_filters.sql).
type Search struct {
	Name       string   `json:"name"`
	Types      []string `json:"types"`
	Auth       []string `json:"auth"`
	Categories []string `json:"categories"`
	CreatedAt  string   `json:"created_at"`
	UpdatedAt  string   `json:"updated_at"`

	// Route and Domain are where gateways serve the API (migrations/016_tenants.sql).
	Route  string `json:"route"`
	Domain string `json:"domain"`

	// OAS reports whether the API is a Tyk OAS API (migrations/022_overview.sql).
	OAS bool `json:"oas"`
}

// authFlags are the members of an API definition that switch a type of authentication on, and the type.
var authFlags = []struct {
	captured int
	auth     string
}{
	{apiKeyless, "keyless"},
	{apiStandardAuth, defaultAuth},
	{apiBasicAuth, "basic"},
	{apiHMAC, "hmac"},
	{apiJWT, "jwt"},
	{apiOAuth, "oauth"},
	{apiExternalOAuth, "externalOAuth"},
	{apiOpenID, "oidc"},
	{apiMutualTLS, "mutualTLS"},
	{apiCoprocess, "coprocess"},
	{apiGoPlugin, "goplugin"},
	{apiCustomPlugin, "customPlugin"},
}

// IsAuthType reports whether an API can have a type of authentication.
func IsAuthType(auth string) bool {
	for _, f := range authFlags {
		if f.auth == auth {
			return true
		}
	}
	return false
}

// defaultAuth is the type of authentication of an API that states none: a gateway asks for a token.
const defaultAuth = "authToken"

// tag is a category in the name of an API.
var tag = regexp.MustCompile(`#([^ ]+)`)

// Search returns what an API definition is filtered and sorted by in lists.
func (d Document) Search() Search {
	// Postgres cannot store a NUL.
	name := strings.ReplaceAll(d.text(apiName), "\x00", "")
	s := Search{
		Name: name, Types: []string{d.apiType()}, Auth: []string{}, Categories: []string{},
		CreatedAt: sortableTime(d.text(apiCreatedAt)), UpdatedAt: sortableTime(d.text(apiUpdatedAt)),
		Route: Route(d.text(apiListenPath)), OAS: d.flag(apiIsOAS),
	}
	if !d.flag(apiDomainDisabled) {
		s.Domain = Domain(d.text(apiDomain))
	}
	if d.flag(apiInternal) {
		s.Types = append(s.Types, "internal")
	}
	for _, f := range authFlags {
		if d.flag(f.captured) {
			s.Auth = append(s.Auth, f.auth)
		}
	}
	if len(s.Auth) == 0 {
		s.Auth = append(s.Auth, defaultAuth)
	}
	var categories []*string
	_ = json.Unmarshal(d.captured[apiCategories], &categories) // the document is valid; null is no category
	for _, category := range slices.DeleteFunc(categories, func(c *string) bool { return c == nil }) {
		s.Categories = append(s.Categories, strings.ReplaceAll(*category, "\x00", ""))
	}
	for _, match := range tag.FindAllStringSubmatch(name, -1) {
		s.Categories = append(s.Categories, match[1])
	}
	return s
}

// apiType returns the type of an API.
func (d Document) apiType() string {
	if d.flag(apiGraphQL) {
		switch mode := d.text(apiGraphQLMode); mode {
		case "executionEngine":
			return "udg"
		case "subgraph", "supergraph":
			return mode
		}
		return "graphql"
	}
	if protocol := d.text(apiProtocol); protocol == "tcp" || protocol == "tls" {
		return "tcp"
	}
	return "rest"
}

// flag reports whether a captured value is true.
func (d Document) flag(captured int) bool { return string(d.captured[captured]) == "true" }

// timestamp is a time that Postgres can read, too.
var timestamp = regexp.MustCompile(
	`^\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3])(?::[0-5]\d){2}(?:\.\d+)?(?:[Zz]|[+-](?:0\d|1[0-5]):[0-5]\d)$`)

// sortableTime returns a time in a form that sorts as text; "" if the document states none.
func sortableTime(stated string) string {
	at, err := time.Parse(time.RFC3339Nano, strings.ToUpper(stated))
	if err != nil || at.Year() < 1 || !timestamp.MatchString(stated) {
		return ""
	}
	return at.UTC().Format("2006-01-02T15:04:05.000000000Z")
}
