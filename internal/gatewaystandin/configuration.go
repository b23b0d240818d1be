package gatewaystandin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/getkin/kin-openapi/openapi3"
)

// errNoOAS is returned for an API with is_oas that lacks an OpenAPI document.
var errNoOAS = errors.New("is_oas without an OAS document that has info and paths")

// configuration is what one reload loaded. It is never changed, only replaced.
type configuration struct {
	specs  []*spec // in the order of the list, including those without a route
	routes []route // longest path first
}

// spec is one loaded API. A reload with the same content keeps the spec and its runtime flags.
type spec struct {
	apiDefinition
	oas *openapi3.T
	sum [sha256.Size]byte
	// orgHasNoSession is set by the first request that finds no organisation key. The API then does not look for one
	// again (docs/behaviour.md#gateway-keys-and-cache, trap 1).
	orgHasNoSession atomic.Bool
}

type route struct {
	path string
	spec *spec
}

// loader makes configurations from decoded lists.
type loader struct {
	log       *slog.Logger
	segmented bool
	tags      []string
}

// load makes the configuration of a list. It keeps the specs of before that did not change.
func (l loader) load(ctx context.Context, before *configuration, list []mergedAPI) *configuration {
	next := &configuration{}
	for _, item := range list {
		if l.segmented && !l.inSegment(item.Definition) {
			continue
		}
		if err := resolveOAS(ctx, item); err != nil {
			l.log.Warn("skip API: validation failed", "api_id", item.Definition.APIID, "err", err)
			continue
		}
		next.specs = append(next.specs, before.keepOrMake(item))
	}
	next.routes = l.routesOf(next.specs)
	return next
}

// inSegment reports whether the API is one of the node's segment. The filter is the gateway's, not the dashboard's.
func (l loader) inSegment(def *apiDefinition) bool {
	return !def.TagsDisabled && slices.ContainsFunc(def.Tags, func(tag string) bool {
		return slices.Contains(l.tags, tag)
	})
}

// resolveOAS checks the OpenAPI document of an API with is_oas. Unresolved references are left to the validation.
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

// keepOrMake returns the spec of an item: the present one if the item, encoded again, has the same hash.
func (c *configuration) keepOrMake(item mergedAPI) *spec {
	encoded, _ := json.Marshal(item) // cannot fail: the item was decoded from JSON
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

// routesOf gives each API its listen path and /<api_id>/, without those that a gateway skips (docs/behaviour.md#lists).
func (l loader) routesOf(specs []*spec) []route {
	taken := map[string]bool{}
	seen := map[string]bool{}
	var routes []route
	for _, each := range specs {
		path := each.Proxy.ListenPath
		if seen[each.APIID] {
			continue // a gateway serves one of two APIs with the same id, and logs nothing
		}
		seen[each.APIID] = true
		if path == "" || strings.Contains(path, " ") || !strings.HasPrefix(path, "/") {
			l.log.Warn("skip API: unusable listen path", "api_id", each.APIID, "listen_path", path)
			continue
		}
		if taken[path] {
			l.log.Warn("listen path collision, appending the API's ID", "api_id", each.APIID, "listen_path", path)
			path += "-" + each.APIID
		}
		taken[path] = true
		routes = append(routes, route{path, each}, route{"/" + each.APIID + "/", each})
	}
	slices.SortStableFunc(routes, func(a, b route) int { return cmp.Compare(len(b.path), len(a.path)) })
	return routes
}

// find returns the API of a request path. A listen path without a trailing slash is a bare prefix: /a2 matches /a22/x.
func (c *configuration) find(path string) *spec {
	for _, each := range c.routes {
		if strings.HasPrefix(path, each.path) || path+"/" == each.path {
			return each.spec
		}
	}
	return nil
}

// served returns the sorted IDs of the APIs with a route.
func (c *configuration) served() []string { return slices.Sorted(maps.Keys(c.servedNames())) }

// servedNames returns the names of the APIs with a route by ID.
func (c *configuration) servedNames() map[string]string {
	names := map[string]string{}
	for _, each := range c.routes {
		names[each.spec.APIID] = each.spec.Name
	}
	return names
}

// forOrg returns the API through which the control API reaches an organisation's session: the first of the
// organisation, else the first of all, else nil. A real gateway chooses in the random order of a map.
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
