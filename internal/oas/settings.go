package oas

import (
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/gjson"
)

// maxTargets is how long the list of load balancing targets may be, in which each target is as often as its weight
// says. A gateway holds the list in memory.
const maxTargets = 10_000

// extensionRules returns the rule for the extension: all settings of a gateway, with what becomes of them.
var extensionRules = sync.OnceValue(func() *setting {
	return objectOf(settings{
		"info":           infoRules(),
		"server":         serverRules(),
		"upstream":       upstreamRules(),
		"middleware":     middlewareRules(),
		"errorOverrides": errorOverrideRules(),
	})
})

func infoRules() *setting {
	return objectOf(settings{
		"id":         textAt("api_id"),
		"dbId":       textAt("id"),
		"orgId":      textAt("org_id"),
		"name":       textAt("name"),
		"expiration": textAt("expiration"),
		"state":      objectOf(settings{"active": flagAt("active"), "internal": flagAt("internal")}),
		"versioning": objectOf(settings{
			"enabled":              flagAt("definition/enabled"),
			"name":                 textAt("definition/name"),
			"default":              textAt("definition/default"),
			"location":             textAt("definition/location"),
			"key":                  textAt("definition/key"),
			"versions":             pairsAt("definition/versions", "name", "id"),
			"stripVersioningData":  flagAt("definition/strip_versioning_data"),
			"fallbackToDefault":    flagAt("definition/fallback_to_default"),
			"urlVersioningPattern": textAt("definition/url_versioning_pattern"),
		}),
	})
}

func serverRules() *setting {
	return objectOf(settings{
		"listenPath": objectOf(settings{
			"value": textAt("proxy/listen_path"), "strip": flagAt("proxy/strip_listen_path"),
		}),
		"slug":            textAt(), // the gateway uses the listen path
		"protocol":        textAt("protocol"),
		"port":            integerAt("listen_port"),
		"authentication":  authenticationRules(),
		"batchProcessing": enabledAt("enable_batch_request_support"),
		"clientCertificates": objectOf(settings{
			"enabled": flagAt("use_mutual_tls_auth"), "allowlist": textsAt("client_certificates"),
		}),
		"contextVariables": enabledAt(), // deprecated: the middleware's counts
		"customDomain": objectOf(settings{
			"enabled": disabledAt("domain_disabled"), "name": textAt("domain"), "certificates": textsAt("certificates"),
		}),
		"detailedActivityLogs": enabledAt("enable_detailed_recording"),
		"detailedTracing":      enabledAt("detailed_tracing"),
		"eventHandlers":        eventHandlerRules(),
		"gatewayTags":          objectOf(settings{"enabled": disabledAt("tags_disabled"), "tags": textsAt("tags")}),
		"ipAccessControl": objectOf(settings{
			"enabled": notAt("ip_access_control_disabled"),
			"allow":   textsAt("allowed_ips"), "block": textsAt("blacklisted_ips"),
		}),
	})
}

func upstreamRules() *setting {
	return objectOf(settings{
		"url":            textAt("proxy/target_url"),
		"authentication": upstreamAuthenticationRules(),
		"certificatePinning": objectOf(settings{
			"enabled": disabledAt("certificate_pinning_disabled"),
			"domainToPublicKeysMapping": listAt(objectOf(settings{"domain": textAt(), "publicKeys": textsAt()})).
				then(pinPublicKeys),
		}),
		"enforceTimeout": objectOf(settings{
			"enabled":  notAt(theVersion + "global_enforce_timeout_disabled"),
			"duration": durationAt(theVersion + "global_enforce_timeout"),
		}),
		"loadBalancing": objectOf(settings{
			"enabled": flagAt(), "skipUnavailableHosts": flagAt(),
			"targets": {
				kind: list, element: objectOf(settings{"url": textAt(), "weight": integerAt()}), check: limitTargets,
			},
		}).then(balanceLoad),
		"mutualTLS": objectOf(settings{
			"enabled":                    disabledAt("upstream_certificates_disabled"),
			"domainToCertificateMapping": pairsAt("upstream_certificates", "domain", "certificate"),
		}),
		"preserveHostHeader":    enabledAt("proxy/preserve_host_header"),
		"preserveTrailingSlash": enabledAt("proxy/disable_strip_slash"),
		"proxy":                 objectOf(settings{"enabled": flagAt(), "url": textAt("proxy/transport/proxy_url")}),
		"rateLimit": objectOf(settings{
			"enabled": notAt("global_rate_limit/disabled"),
			"rate":    integerAt("global_rate_limit/rate"), "per": secondsAt("global_rate_limit/per"),
		}),
		"serviceDiscovery": serviceDiscoveryRules("proxy/service_discovery"),
		"tlsTransport": objectOf(settings{
			"insecureSkipVerify":   flagAt("proxy/transport/ssl_insecure_skip_verify"),
			"ciphers":              textsAt("proxy/transport/ssl_ciphers"),
			"minVersion":           leaf(text, asTLSVersion, []string{"proxy/transport/ssl_min_version"}),
			"maxVersion":           leaf(text, asTLSVersion, []string{"proxy/transport/ssl_max_version"}),
			"forceCommonNameCheck": flagAt("proxy/transport/ssl_force_common_name_check"),
		}),
		"uptimeTests": uptimeTestRules(),
	})
}

func upstreamAuthenticationRules() *setting {
	header := func(at string) *setting {
		return objectOf(settings{"enabled": flagAt(at + "/enabled"), "name": textAt(at + "/name")})
	}
	grant := func(at string, more settings) *setting {
		rules := settings{
			"clientId":      textAt(at + "/client_id"),
			"clientSecret":  textAt(at + "/client_secret"),
			"tokenUrl":      textAt(at + "/token_url"),
			"scopes":        textsAt(at + "/scopes"),
			"extraMetadata": textsAt(at + "/extra_metadata"),
			"header":        header(at + "/header"),
		}
		maps.Copy(rules, more)
		return objectOf(rules)
	}
	const basic, oauth, signing = "upstream_auth/basic_auth", "upstream_auth/oauth", "request_signing"
	return objectOf(settings{
		"enabled": flagAt("upstream_auth/enabled"),
		"basicAuth": objectOf(settings{
			"enabled":  flagAt(basic + "/enabled"),
			"username": textAt(basic + "/username"),
			"password": textAt(basic + "/password"),
			"header":   header(basic + "/header"),
		}),
		"oauth": objectOf(settings{
			"enabled":               flagAt(oauth + "/enabled"),
			"allowedAuthorizeTypes": textsAt(oauth + "/allowed_authorize_types"),
			"clientCredentials":     grant(oauth+"/client_credentials", nil),
			"password": grant(oauth+"/password", settings{
				"username": textAt(oauth + "/password/username"), "password": textAt(oauth + "/password/password"),
			}),
		}),
		"requestSigning": objectOf(settings{
			"enabled":         flagAt(signing + "/is_enabled"),
			"algorithm":       textAt(signing + "/algorithm"),
			"certificateId":   textAt(signing + "/certificate_id"),
			"headers":         textsAt(signing + "/header_list"),
			"keyId":           textAt(signing + "/key_id"),
			"secret":          textAt(signing + "/secret"),
			"signatureHeader": textAt(signing + "/signature_header"),
		}),
	})
}

func serviceDiscoveryRules(at string) *setting {
	place := strings.Split(at, "/")
	return objectOf(settings{
		"enabled":             flagAt(at + "/use_discovery_service"),
		"queryEndpoint":       textAt(at + "/query_endpoint"),
		"dataPath":            textAt(at + "/data_path"),
		"useNestedQuery":      flagAt(at + "/use_nested_query"),
		"parentDataPath":      textAt(at + "/parent_data_path"),
		"portDataPath":        textAt(at + "/port_data_path"),
		"useTargetList":       flagAt(at + "/use_target_list"),
		"cacheTimeout":        integerAt(),
		"cache":               objectOf(settings{"enabled": flagAt(), "timeout": integerAt()}),
		"targetPath":          textAt(at + "/target_path"),
		"endpointReturnsList": flagAt(at + "/endpoint_returns_list"),
	}).then(func(_ *extraction, scope classic, v gjson.Result) {
		// cacheTimeout is older than cache, and counts only without it.
		timeout, enabled := get(v, "cacheTimeout"), get(v, "cacheTimeout").Num > 0
		if cache := get(v, "cache"); cache.Exists() {
			timeout, enabled = get(cache, "timeout"), get(cache, "enabled").Bool()
		}
		scope.set(append(slices.Clip(place), "cache_timeout"), asNumber(timeout))
		scope.set(append(slices.Clip(place), "cache_disabled"), !enabled || !get(v, "enabled").Bool())
	})
}

func uptimeTestRules() *setting {
	const config = "uptime_tests/config"
	tests := itemsAt("uptime_tests/check_list", settings{
		"url":                 textAt("url"),
		"timeout":             leaf(duration, func(v gjson.Result) any { return int64(durationOf(v)) }, []string{"timeout"}),
		"method":              textAt("method"),
		"headers":             dictionaryOf(textAt()).then(copyTo("headers")),
		"body":                textAt("body"),
		"enableProxyProtocol": flagAt("enable_proxy_protocol"),
		"commands":            itemsAt("commands", settings{"name": textAt("name"), "message": textAt("message")}),
	})
	tests.element.then(func(_ *extraction, scope classic, v gjson.Result) {
		scheme, _, found := strings.Cut(textOf(get(v, "url")), "://")
		if !found {
			scheme = ""
		}
		scope["protocol"] = scheme
	})
	return objectOf(settings{
		"enabled":              notAt("uptime_tests/disabled"),
		"serviceDiscovery":     serviceDiscoveryRules(config + "/service_discovery"),
		"tests":                tests,
		"hostDownRetestPeriod": wholeSecondsAt(config + "/recheck_wait"),
		"logRetentionPeriod":   wholeSecondsAt(config + "/expire_utime_after"),
	})
}

func pinPublicKeys(_ *extraction, scope classic, v gjson.Result) {
	pinned := map[string]string{}
	for _, mapping := range elements(v) {
		var keys []string
		for _, key := range elements(get(mapping, "publicKeys")) {
			keys = append(keys, textOf(key))
		}
		pinned[textOf(get(mapping, "domain"))] = strings.Join(keys, ",")
	}
	scope["pinned_public_keys"] = pinned
}

// limitTargets checks the weights of the targets.
func limitTargets(v gjson.Result) string {
	sum := 0.0
	for _, target := range elements(v) {
		sum += max(get(target, "weight").Num, 0)
	}
	if sum > maxTargets {
		return fmt.Sprintf("must have weights of at most %d in all", maxTargets)
	}
	return ""
}

// balanceLoad writes the targets, each as often as its weight says. Without targets, nothing is balanced.
func balanceLoad(_ *extraction, scope classic, v gjson.Result) {
	targets, some := []string{}, false
	for _, target := range elements(get(v, "targets")) {
		some = true
		for range get(target, "weight").Int() {
			targets = append(targets, textOf(get(target, "url")))
		}
	}
	if some {
		proxy := scope.child("proxy")
		proxy["enable_load_balancing"] = get(v, "enabled").Bool()
		proxy["check_host_against_uptime_tests"] = get(v, "skipUnavailableHosts").Bool()
		proxy["target_list"] = targets
	}
}

func asTLSVersion(v gjson.Result) any {
	return map[string]int{
		"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13,
	}[textOf(v)]
}

// The kinds of event handlers, and what a gateway calls them.
var eventHandlers = map[string]string{
	"webhook": "eh_web_hook_handler",
	"custom":  "eh_dynamic_handler",
	"log":     "eh_log_handler",
}

func eventHandlerRules() *setting {
	kind := textAt()
	kind.check = func(v gjson.Result) string {
		if eventHandlers[textOf(v)] == "" {
			return "must be webhook, custom or log"
		}
		return ""
	}
	handler := objectOf(settings{
		"enabled": flagAt(), "trigger": textAt(), "type": kind, "id": textAt(), "name": textAt(),
		"url": textAt(), "method": textAt(), "bodyTemplate": textAt(), "cooldownPeriod": durationAt(),
		"headers":      listAt(objectOf(settings{"name": textAt(), "value": textAt()})),
		"functionName": textAt(), "path": textAt(),
		"logPrefix": textAt(),
	})
	return listAt(handler).then(func(_ *extraction, scope classic, v gjson.Result) {
		events := map[string][]classic{}
		for _, h := range elements(v) {
			kind, trigger := textOf(get(h, "type")), textOf(get(h, "trigger"))
			if eventHandlers[kind] != "" {
				handler := classic{"handler_name": eventHandlers[kind], "handler_meta": eventHandlerMeta(kind, h)}
				events[trigger] = append(events[trigger], handler)
			}
		}
		scope.child("event_handlers")["events"] = events
	})
}

func eventHandlerMeta(kind string, v gjson.Result) classic {
	meta := classic{"disabled": !get(v, "enabled").Bool()}
	switch kind {
	case "webhook":
		meta["id"], meta["name"] = textOf(get(v, "id")), textOf(get(v, "name"))
		meta["target_path"], meta["method"] = textOf(get(v, "url")), textOf(get(v, "method"))
		meta["template_path"] = textOf(get(v, "bodyTemplate"))
		meta["header_map"] = pairs(get(v, "headers"), "name", "value")
		meta["event_timeout"] = asWholeSeconds(get(v, "cooldownPeriod"))
	case "custom":
		meta["id"], meta["name"] = textOf(get(v, "id")), textOf(get(v, "functionName"))
		meta["path"] = textOf(get(v, "path"))
	case "log":
		meta["prefix"] = textOf(get(v, "logPrefix"))
	}
	return meta
}

func errorOverrideRules() *setting {
	match := map[string]string{
		"flag": "flag", "messagePattern": "message_pattern", "bodyField": "body_field", "bodyValue": "body_value",
	}
	response := map[string]string{
		"statusCode": "status_code", "body": "body", "message": "message", "template": "template", "headers": "headers",
	}
	override := objectOf(settings{
		"match": objectOf(settings{
			"flag": textAt(), "messagePattern": textAt(), "bodyField": textAt(), "bodyValue": textAt(),
		}).then(rename("match", match)),
		"response": objectOf(settings{
			"statusCode": integerAt(), "body": textAt(), "message": textAt(), "template": textAt(),
			"headers": dictionaryOf(textAt()),
		}).then(rename("response", response)),
	})
	overrides := dictionaryOf(listAt(override)).then(func(e *extraction, scope classic, v gjson.Result) {
		byCode := map[string][]classic{}
		for code, overridden := range membersOf(v) {
			for _, element := range elements(overridden) {
				byCode[code] = append(byCode[code], e.build(override, element))
			}
		}
		scope["error_overrides"] = byCode
	})
	return objectOf(settings{"enabled": notAt("error_overrides_disabled"), "value": overrides})
}
