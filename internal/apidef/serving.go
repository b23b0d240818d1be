package apidef

import (
	"encoding/json"
	"slices"
	"strings"

	"gatehouse/internal/jsondoc"
)

// Serving is where gateways serve an API. They sort APIs by the length of the domain, whether or not they serve it
// there only, and then by that of the listen path, and do not compare organisations: a listen path below that of
// another API takes its requests, with their credentials, and so does one above if the API has a domain.
type Serving struct {
	// Routes are the listen paths, as Route returns them: all that any decoder may read.
	Routes []string
	// Patterns are what listen paths with a pattern begin with. They take whatever begins like this.
	Patterns []string
	// Paths are the listen paths, up to a pattern. They take whatever begins like this before an API whose domain is
	// shorter.
	Paths []string
	// Domains are the domains, as Domain returns them; "" is each.
	Domains []string
	// AnyDomain reports whether there is a pattern of domains.
	AnyDomain bool
	// HasDomain reports whether there is a text for the domain, which counts for the order, and DomainOff whether it
	// counts for nothing else.
	HasDomain, DomainOff bool
}

// Where an API is served.
var (
	listenPath = []string{definitionMember, "proxy", "listen_path"}
	domainPath = []string{definitionMember, "domain"}

	domainOffPath = []string{definitionMember, "domain_disabled"}
)

// ReadServing returns where gateways serve an API.
func ReadServing(api json.RawMessage) (s Serving) {
	visit(api, listenPath, "", func(_ string, value json.RawMessage) {
		path := textOf(value)
		if path == "" { // gateways skip the API
			return
		}
		literal, _, isPattern := strings.Cut(path, "{")
		s.Routes, s.Paths = append(s.Routes, Route(path)), append(s.Paths, literal)
		if isPattern {
			s.Patterns = append(s.Patterns, literal)
		}
	})
	visit(api, domainPath, "", func(_ string, value json.RawMessage) {
		s.Domains = append(s.Domains, Domain(textOf(value)))
		s.AnyDomain = s.AnyDomain || strings.Contains(textOf(value), "{")
		s.HasDomain = s.HasDomain || textOf(value) != ""
	})
	visit(api, domainOffPath, "", func(_ string, value json.RawMessage) {
		s.DomainOff = s.DomainOff || jsondoc.Bool(value, false)
	})
	if s.Domains == nil {
		s.Domains = []string{""}
	}
	return s
}

// IsFirst reports whether gateways look at the API before those that have no domain, also for requests to the hosts of
// those. onDomains is whether they serve an API that has a domain there only.
func (s Serving) IsFirst(onDomains bool) bool {
	return s.AnyDomain || s.HasDomain && (s.DomainOff || !onDomains)
}

// Equal reports whether gateways serve two APIs at the same place.
func (s Serving) Equal(other Serving) bool {
	return slices.Equal(s.Routes, other.Routes) && slices.Equal(s.Patterns, other.Patterns) &&
		slices.Equal(s.Paths, other.Paths) && slices.Equal(s.Domains, other.Domains) &&
		s.AnyDomain == other.AnyDomain && s.HasDomain == other.HasDomain && s.DomainOff == other.DomainOff
}
