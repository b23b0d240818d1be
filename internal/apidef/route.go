package apidef

import (
	"cmp"
	"strings"
)

// maxRoute is how many characters of a listen path are compared with those of others.
const maxRoute = 500

// maxDomain is how many bytes of a domain are compared with those of others: no host has more.
const maxDomain = 255

// Domain returns a domain in lower case, without its port: gateways compare hosts without theirs. A pattern is "", like
// no domain.
func Domain(domain string) string {
	if strings.Contains(domain, "{") {
		return ""
	}
	domain, _, _ = strings.Cut(strings.ReplaceAll(domain, "\x00", ""), ":")
	return strings.ToLower(strings.ToValidUTF8(domain[:min(len(domain), maxDomain)], ""))
}

// Route returns a listen path without slashes at its end, and without what follows the last slash before a pattern. It
// is "/" for the root, and "" for none.
func Route(listenPath string) string {
	if listenPath = strings.ReplaceAll(listenPath, "\x00", ""); listenPath == "" {
		return ""
	}
	if runes := []rune(listenPath); len(runes) > maxRoute {
		listenPath = string(runes[:maxRoute])
	}
	if literal, _, isPattern := strings.Cut(listenPath, "{"); isPattern {
		listenPath = literal[:strings.LastIndexByte(literal, '/')+1]
	}
	return cmp.Or(strings.TrimRight(listenPath, "/"), "/")
}

// Above returns a route and those above it, without the root: /a/b and /a for /a/b.
func Above(route string) []string {
	routes := []string{route}
	for at := strings.LastIndexByte(route, '/'); at > 0; at = strings.LastIndexByte(route, '/') {
		route = route[:at]
		routes = append(routes, route)
	}
	return routes
}
