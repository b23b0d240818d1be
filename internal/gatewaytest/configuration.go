package gatewaytest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/getkin/kin-openapi/openapi3"
)

// configuration is what one reload put in use; it is never changed, only replaced.
type configuration struct {
	specs  []*spec // in the order of the list, also those that are not routed
	routes []route // longest path first
}

// spec is one loaded API. A reload with the same content keeps the spec, and with it its runtime flags (facts §3).
type spec struct {
	apiDefinition
	oas *openapi3.T
	sum [sha256.Size]byte

	// orgHasNoSession is set by the first request that finds no org key, and then spares the API every look for one
	// (facts §6, trap a).
	orgHasNoSession atomic.Bool
}

type route struct {
	path string
	spec *spec
}

// apply puts a decoded list in use.
func (p *process) apply(ctx context.Context, list []mergedAPI) {
	before := p.config()
	next := &configuration{}
	for _, item := range list {
		if p.cfg.Segmented && !p.inSegment(item.Definition) {
			continue
		}
		if err := resolveOAS(ctx, item); err != nil {
			p.log.printf("Skipping loading spec because it failed validation: %s: %v", item.Definition.APIID, err)
			continue
		}
		next.specs = append(next.specs, before.keepOrMake(item))
	}
	next.routes = p.routesOf(next.specs)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded = next
}

// inSegment is the tag filter, which is the gateway's and not the dashboard's (facts §3).
func (p *process) inSegment(def *apiDefinition) bool {
	return !def.TagsDisabled && slices.ContainsFunc(def.Tags, func(tag string) bool {
		return slices.Contains(p.cfg.Tags, tag)
	})
}

// resolveOAS checks what an API that says is_oas must bring along (facts §3). Unresolvable references are only logged
// by a real gateway, validation then decides.
func resolveOAS(ctx context.Context, item mergedAPI) error {
	if !item.Definition.IsOAS {
		return nil
	}
	if item.OAS == nil || item.OAS.Info == nil || item.OAS.Paths == nil {
		return errNoOAS
	}
	_ = openapi3.NewLoader().ResolveRefsIn(item.OAS, nil)
	return item.OAS.Validate(ctx, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation())
}

// keepOrMake is the change detection: by the hash of the item as the gateway would write it again.
func (c *configuration) keepOrMake(item mergedAPI) *spec {
	encoded, _ := json.Marshal(item) // types of this package and of openapi3, which were decoded from JSON
	sum := sha256.Sum256(encoded)
	if old := c.byID(item.Definition.APIID); old != nil && old.sum == sum {
		return old
	}
	return &spec{apiDefinition: *item.Definition, oas: item.OAS, sum: sum}
}

func (c *configuration) byID(id string) *spec {
	for _, each := range c.specs {
		if each.APIID == id {
			return each
		}
	}
	return nil
}

// routesOf gives every API its listen path and /<api_id>/, but for those that a real gateway leaves out, each for its
// reason in facts §3.
func (p *process) routesOf(specs []*spec) []route {
	taken := map[string]bool{}
	byID := map[string]bool{}
	var routes []route
	for _, each := range specs {
		path := each.Proxy.ListenPath
		if byID[each.APIID] {
			continue // twice in the list: one is served, and nothing is logged
		}
		byID[each.APIID] = true
		if path == "" || strings.Contains(path, " ") || !strings.HasPrefix(path, "/") {
			p.log.printf("API %s is not served: listen path %q", each.APIID, path)
			continue
		}
		if taken[path] {
			p.log.printf("Listen path collision: %s", path)
			path += "-" + each.APIID
		}
		taken[path] = true
		routes = append(routes, route{path, each}, route{"/" + each.APIID + "/", each})
	}
	slices.SortStableFunc(routes, func(a, b route) int { return cmp.Compare(len(b.path), len(a.path)) })
	return routes
}

// find is the API of a request path. Without a trailing slash a listen path is a bare prefix: /a2 answers /a22/x.
func (c *configuration) find(path string) *spec {
	for _, each := range c.routes {
		if strings.HasPrefix(path, each.path) || path+"/" == each.path {
			return each.spec
		}
	}
	return nil
}

// served are the ids of the APIs with a route.
func (c *configuration) served() []string {
	ids := []string{}
	for _, each := range c.routes {
		ids = append(ids, each.spec.APIID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// forOrg is the API whose session store the control API uses for an organisation: one of its own, else any, else nil.
// A real gateway takes the first of a map; the stand-in the first of the list, so that a test can count on it.
func (c *configuration) forOrg(orgID string) *spec {
	for _, each := range c.specs {
		if each.OrgID == orgID {
			return each
		}
	}
	if len(c.specs) > 0 {
		return c.specs[0]
	}
	return nil
}
