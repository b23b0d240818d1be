package oas

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/gjson"
)

func middlewareRules() *setting {
	mcp := &setting{kind: notSupported}
	return objectOf(settings{
		"global":       globalRules(),
		"operations":   dictionaryOf(operationRules()),
		"mcpTools":     mcp,
		"mcpResources": mcp,
		"mcpPrompts":   mcp,
	})
}

func globalRules() *setting {
	rules := settings{
		"cache": objectOf(settings{
			"enabled":                    flagAt("cache_options/enable_cache"),
			"timeout":                    integerAt("cache_options/cache_timeout"),
			"cacheAllSafeRequests":       flagAt("cache_options/cache_all_safe_requests"),
			"cacheResponseCodes":         listAt(integerAt(), "cache_options/cache_response_codes"),
			"cacheByHeaders":             textsAt("cache_options/cache_by_headers"),
			"enableUpstreamCacheControl": flagAt("cache_options/enable_upstream_cache_control"),
			"controlTTLHeaderName":       textAt("cache_options/cache_control_ttl_header"),
		}),
		"contextVariables": enabledAt("enable_context_vars"),
		"cors": objectOf(settings{
			"enabled":            flagAt("CORS/enable"),
			"maxAge":             integerAt("CORS/max_age"),
			"allowCredentials":   flagAt("CORS/allow_credentials"),
			"exposedHeaders":     textsAt("CORS/exposed_headers"),
			"allowedHeaders":     textsAt("CORS/allowed_headers"),
			"optionsPassthrough": flagAt("CORS/options_passthrough"),
			"debug":              flagAt("CORS/debug"),
			"allowedOrigins":     textsAt("CORS/allowed_origins"),
			"allowedMethods":     textsAt("CORS/allowed_methods"),
		}),
		"ignoreCase": enabledAt(theVersion + "ignore_endpoint_case"),
		"pluginConfig": objectOf(settings{
			"driver": textAt("custom_middleware/driver"),
			"bundle": objectOf(settings{
				"enabled": notAt("custom_middleware_bundle_disabled"), "path": textAt("custom_middleware_bundle"),
			}),
			"data": objectOf(settings{"enabled": notAt("config_data_disabled"), "value": anythingAt("config_data")}),
		}),
		"requestSizeLimit": objectOf(settings{
			"enabled": flagAt(), "value": integerAt(theVersion + "global_size_limit"),
		}).then(func(e *extraction, _ classic, v gjson.Result) {
			e.version()["global_size_limit_disabled"] = !get(v, "enabled").Bool() || get(v, "value").Int() == 0
		}),
		"skipQuota":      flagAt("disable_quota"),
		"skipQuotaReset": flagAt("dont_set_quota_on_create"),
		"skipRateLimit":  flagAt("disable_rate_limit"),
		"trafficLogs": objectOf(settings{
			"enabled":               notAt("do_not_track"),
			"customRetentionPeriod": wholeSecondsAt("expire_analytics_after"),
			"plugins":               listAt(objectOf(pluginRules())).then(analyticsPlugin),
			"tagHeaders":            textsAt("tag_headers"),
		}),
		"transformRequestHeaders":  globalHeaderRules("global_headers"),
		"transformResponseHeaders": globalHeaderRules("global_response_headers"),
	}

	for name := range pluginLists {
		rules[name+"Plugins"] = listAt(objectOf(pluginRules()))
		rules[name+"Plugin"] = objectOf(settings{"plugins": listAt(objectOf(pluginRules()))})
	}
	return objectOf(rules).then(plugins)
}

// pluginLists are the lists of plugins, by what their names begin with in the extension. A list is the member …Plugins;
// in older documents, it is in the object …Plugin.
var pluginLists = map[string]string{
	"pre": "pre", "postAuthentication": "post_key_auth", "post": "post", "response": "response",
}

func pluginRules() settings {
	return settings{
		"enabled":        notAt("disabled"),
		"functionName":   textAt("name"),
		"path":           textAt("path"),
		"rawBodyOnly":    flagAt("raw_body_only"),
		"requireSession": flagAt("require_session"),
	}
}

func plugins(e *extraction, scope classic, v gjson.Result) {
	rule := objectOf(pluginRules())
	for name, at := range pluginLists {
		found := get(v, name+"Plugins")
		if !found.Exists() {
			found = get(v, name+"Plugin", "plugins")
		}
		if !found.Exists() {
			continue
		}
		items := []any{}
		for _, element := range elements(found) {
			items = append(items, e.build(rule, element))
		}
		scope.child("custom_middleware")[at] = items
	}
}

// analyticsPlugin writes the first plugin, the only one that a gateway runs.
func analyticsPlugin(_ *extraction, scope classic, v gjson.Result) {
	for _, plugin := range elements(v) {
		scope["analytics_plugin"] = classic{
			"enable":      get(plugin, "enabled").Bool(),
			"func_name":   textOf(get(plugin, "functionName")),
			"plugin_path": textOf(get(plugin, "path")),
		}
		return
	}
}

func globalHeaderRules(name string) *setting {
	rules := headerRules(theVersion+name, theVersion+name+"_remove")
	rules.members["enabled"] = notAt(theVersion + name + "_disabled")
	return rules
}

// headerRules returns the rules for headers that are added and removed, without enabled.
func headerRules(add, remove string) *setting {
	return objectOf(settings{"add": pairsAt(add, "name", "value"), "remove": textsAt(remove)})
}

// operationRules returns the rule for what is configured for one operation.
var operationRules = sync.OnceValue(func() *setting {
	allowance := settings{"enabled": notAt("disabled"), "ignoreCase": flagAt("ignore_case")}
	enabled := settings{"enabled": notAt("disabled")}
	transformBody := settings{
		"enabled": notAt("disabled"), "format": textAt("template_data/input_type"), "body": textAt(), "path": textAt(),
	}
	transformHeaders := headerRules("add_headers", "delete_headers").members
	transformHeaders["enabled"] = notAt("disabled")
	return objectOf(settings{
		"allow":                endpoint("white_list", allowance),
		"block":                endpoint("black_list", allowance),
		"ignoreAuthentication": endpoint("ignored", allowance),
		"internal":             endpoint("internal", enabled),
		"trackEndpoint":        endpoint("track_endpoints", enabled),
		"doNotTrackEndpoint":   endpoint("do_not_track_endpoints", enabled),
		"transformRequestMethod": endpoint("method_transforms", settings{
			"enabled": notAt("disabled"), "toMethod": textAt("to_method"),
		}),
		"transformRequestBody":     endpoint("transform", transformBody).then(bodyTemplate),
		"transformResponseBody":    endpoint("transform_response", transformBody).then(bodyTemplate),
		"transformRequestHeaders":  endpoint("transform_headers", transformHeaders),
		"transformResponseHeaders": endpoint("transform_response_headers", transformHeaders),
		"urlRewrite": endpoint("url_rewrites", settings{
			"enabled": notAt("disabled"), "pattern": textAt("match_pattern"), "rewriteTo": textAt("rewrite_to"),
			"triggers": rewriteTriggerRules(),
		}),
		"cache": endpoint("advance_cache_config", settings{
			"enabled": notAt("disabled"), "timeout": integerAt("timeout"), "cacheByRegex": textAt("cache_key_regex"),
			"cacheResponseCodes": listAt(integerAt(), "cache_response_codes"),
		}),
		"enforceTimeout": endpoint("hard_timeouts", settings{
			"enabled": notAt("disabled"), "value": integerAt("timeout"), "duration": durationAt(),
		}).then(hardTimeout),
		"virtualEndpoint": endpoint("virtual", settings{
			"enabled": notAt("disabled"), "functionName": textAt(), "name": textAt(), "body": textAt(), "path": textAt(),
			"proxyOnError": flagAt("proxy_on_error"), "requireSession": flagAt("use_session"),
		}).then(virtualEndpoint),
		"postPlugins": goPluginRules(),
		"circuitBreaker": endpoint("circuit_breakers", settings{
			"enabled": notAt("disabled"), "threshold": numberAt("threshold_percent"), "sampleSize": integerAt("samples"),
			"coolDownPeriod":       integerAt("return_to_service_after"),
			"halfOpenStateEnabled": notAt("disable_half_open_state"),
		}),
		"requestSizeLimit": endpoint("size_limits", settings{
			"enabled": notAt("disabled"), "value": integerAt("size_limit"),
		}),
		"rateLimit": endpoint("rate_limit", settings{
			"enabled": notAt("disabled"), "rate": integerAt("rate"), "per": secondsAt("per"),
		}),

		// A gateway reads these from the document.
		"validateRequest": objectOf(settings{"enabled": flagAt(), "errorResponseCode": integerAt()}),
		"mockResponse": objectOf(settings{
			"enabled": flagAt(), "code": integerAt(), "body": textAt(),
			"headers": listAt(objectOf(settings{"name": textAt(), "value": textAt()})),
			"fromOASExamples": objectOf(settings{
				"enabled": flagAt(), "code": integerAt(), "contentType": textAt(), "exampleName": textAt(),
			}),
		}),
		"scopeCheck": objectOf(settings{"enabled": flagAt()}),
		"exchange":   objectOf(settings{"enabled": flagAt(), "audience": textAt(), "scopes": textsAt()}),
	})
})

// endpoint returns the rule for an object that becomes an element of a list of the classic definition, with the path
// and the method of the operation.
func endpoint(name string, members settings) *setting {
	return &setting{kind: object, members: members, endpoint: name}
}

// minEndpoint is the size in bytes of an element of the lists without its path and what is configured.
const minEndpoint = 64

// endpoints writes what is configured for the operations of the document.
func (e *extraction) endpoints(configured gjson.Result) error {
	byID := maps.Collect(membersOf(configured))
	has := func(id string) bool { return byID[id].Exists() }
	lists := e.version().child("extended_paths")
	rules := operationRules().members
	size, limit := 0, MaxSize(len(e.document.Raw))
	for _, op := range e.document.operations(has) {
		for name, value := range membersOf(byID[op.id]) {
			rule := rules[name]
			if rule == nil || rule.endpoint == "" || value.Type == gjson.Null {
				continue
			}
			element := e.build(rule, value)
			element["path"], element["method"] = op.path, op.method
			others, _ := lists[rule.endpoint].([]classic)
			lists[rule.endpoint] = append(others, element)
			if size += minEndpoint + len(op.path) + len(value.Raw); size > limit {
				return errTooLarge
			}
		}
	}
	// A gateway sorts this list once more, to find mock responses.
	if allowed, ok := lists["white_list"].([]classic); ok {
		slices.SortStableFunc(allowed, func(a, b classic) int {
			return cmp.Or(compareTexts(a, b, "path"), compareTexts(a, b, "method"))
		})
	}
	return nil
}

func compareTexts(a, b classic, name string) int {
	x, _ := a[name].(string)
	y, _ := b[name].(string)
	return strings.Compare(x, y)
}

func bodyTemplate(_ *extraction, scope classic, v gjson.Result) {
	template := scope.child("template_data")
	template["enable_session"] = true
	template["template_mode"], template["template_source"] = bodyOrPath(v)
}

// bodyOrPath returns where a text is from, and the text or its path. A text counts before a path.
func bodyOrPath(v gjson.Result) (mode, source string) {
	if body := textOf(get(v, "body")); body != "" {
		return "blob", body
	}
	return "file", textOf(get(v, "path"))
}

func virtualEndpoint(_ *extraction, scope classic, v gjson.Result) {
	scope["function_source_type"], scope["function_source_uri"] = bodyOrPath(v)
	scope["response_function_name"] = functionName(v)
}

// functionName returns the name of a function. Its old name is name.
func functionName(v gjson.Result) string {
	if name := textOf(get(v, "functionName")); name != "" {
		return name
	}
	return textOf(get(v, "name"))
}

// goPluginRules returns the rule for the plugins of an operation, of which a gateway runs the first.
func goPluginRules() *setting {
	rule := listAt(objectOf(settings{
		"enabled": flagAt(), "functionName": textAt(), "name": textAt(), "path": textAt(),
	}))
	rule.endpoint = "go_plugin"
	return rule.then(func(_ *extraction, scope classic, v gjson.Result) {
		scope["disabled"], scope["func_name"], scope["plugin_path"] = false, "", ""
		for _, plugin := range elements(v) {
			scope["disabled"] = !get(plugin, "enabled").Bool()
			scope["func_name"], scope["plugin_path"] = functionName(plugin), textOf(get(plugin, "path"))
			break
		}
	})
}

// hardTimeout writes a duration, which counts before a number of seconds. Gateways before 5.14 know only the seconds,
// so that a part of a second is a whole one.
func hardTimeout(_ *extraction, scope classic, v gjson.Result) {
	if d := durationOf(get(v, "duration")); d > 0 {
		scope["duration"] = d.String()
		scope["timeout"] = int64(math.Ceil(d.Seconds()))
	}
}

// rewriteMatches are the objects of a trigger's options that a rule is written to, by where the rule looks.
var rewriteMatches = map[string]string{
	"query":           "query_val_matches",
	"path":            "path_part_matches",
	"header":          "header_matches",
	"sessionMetadata": "session_meta_matches",
	"requestContext":  "request_context_matches",
}

func rewriteTriggerRules() *setting {
	rules := itemsAt("triggers", settings{
		"condition": textAt("on"), "rewriteTo": textAt("rewrite_to"),
		"rules": listAt(objectOf(settings{"in": textAt(), "name": textAt(), "pattern": textAt(), "negate": flagAt()})),
	})
	rules.element.then(func(_ *extraction, scope classic, v gjson.Result) {
		options := classic{"payload_matches": classic{"match_rx": "", "reverse": false}}
		for _, name := range rewriteMatches {
			options[name] = classic{}
		}
		for _, rule := range elements(get(v, "rules")) {
			match := classic{"match_rx": textOf(get(rule, "pattern")), "reverse": get(rule, "negate").Bool()}
			in := textOf(get(rule, "in"))
			if in == "requestBody" {
				options["payload_matches"] = match
			} else if name := rewriteMatches[in]; name != "" {
				options.child(name)[textOf(get(rule, "name"))] = match
			}
		}
		scope["options"] = options
	})
	return rules
}
