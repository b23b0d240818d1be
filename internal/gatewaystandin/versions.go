package gatewaystandin

type versionDefinition struct {
	Enabled              bool              `json:"enabled"`
	Name                 string            `json:"name"`
	Default              string            `json:"default"`
	Location             string            `json:"location"`
	Key                  string            `json:"key"`
	StripPath            bool              `json:"strip_path"`
	StripVersioningData  bool              `json:"strip_versioning_data"`
	URLVersioningPattern string            `json:"url_versioning_pattern"`
	FallbackToDefault    bool              `json:"fallback_to_default"`
	Versions             map[string]string `json:"versions"`
}

type versionData struct {
	NotVersioned   bool                   `json:"not_versioned"`
	DefaultVersion string                 `json:"default_version"`
	Versions       map[string]versionInfo `json:"versions"`
}

type versionInfo struct {
	Name    string `json:"name"`
	Expires string `json:"expires"`
	Paths   struct {
		Ignored   []string `json:"ignored"`
		WhiteList []string `json:"white_list"`
		BlackList []string `json:"black_list"`
	} `json:"paths"`
	UseExtendedPaths              bool              `json:"use_extended_paths"`
	ExtendedPaths                 extendedPaths     `json:"extended_paths"`
	GlobalHeaders                 map[string]string `json:"global_headers"`
	GlobalHeadersRemove           []string          `json:"global_headers_remove"`
	GlobalHeadersDisabled         bool              `json:"global_headers_disabled"`
	GlobalResponseHeaders         map[string]string `json:"global_response_headers"`
	GlobalResponseHeadersRemove   []string          `json:"global_response_headers_remove"`
	GlobalResponseHeadersDisabled bool              `json:"global_response_headers_disabled"`
	IgnoreEndpointCase            bool              `json:"ignore_endpoint_case"`
	GlobalSizeLimit               int64             `json:"global_size_limit"`
	OverrideTarget                string            `json:"override_target"`
}

type extendedPaths struct {
	Ignored                  []endpointMeta         `json:"ignored"`
	WhiteList                []endpointMeta         `json:"white_list"`
	BlackList                []endpointMeta         `json:"black_list"`
	MockResponse             []mockResponseMeta     `json:"mock_response"`
	Cached                   []string               `json:"cache"`
	AdvanceCacheConfig       []cacheMeta            `json:"advance_cache_config"`
	Transform                []templateMeta         `json:"transform"`
	TransformResponse        []templateMeta         `json:"transform_response"`
	TransformJQ              []transformJQMeta      `json:"transform_jq"`
	TransformJQResponse      []transformJQMeta      `json:"transform_jq_response"`
	TransformHeaders         []headerInjectionMeta  `json:"transform_headers"`
	TransformResponseHeaders []headerInjectionMeta  `json:"transform_response_headers"`
	HardTimeouts             []hardTimeoutMeta      `json:"hard_timeouts"`
	CircuitBreakers          []circuitBreakerMeta   `json:"circuit_breakers"`
	URLRewrites              []urlRewriteMeta       `json:"url_rewrites"`
	Virtual                  []virtualMeta          `json:"virtual"`
	SizeLimits               []requestSizeMeta      `json:"size_limits"`
	MethodTransforms         []methodTransformMeta  `json:"method_transforms"`
	TrackEndpoints           []pathMeta             `json:"track_endpoints"`
	DoNotTrackEndpoints      []pathMeta             `json:"do_not_track_endpoints"`
	ValidateJSON             []validateJSONMeta     `json:"validate_json"`
	ValidateRequest          []validateRequestMeta  `json:"validate_request"`
	Internal                 []pathMeta             `json:"internal"`
	GoPlugin                 []goPluginMeta         `json:"go_plugin"`
	PersistGraphQL           []persistGraphQLMeta   `json:"persist_graphql"`
	RateLimit                []endpointRateLimitDef `json:"rate_limit"`
}

// pathMeta has the fields of most per-endpoint settings. transformJQMeta, validateRequestMeta and persistGraphQLMeta
// do not embed it: they have no `disabled`, and would otherwise be stricter than a gateway.
type pathMeta struct {
	Disabled bool   `json:"disabled"`
	Path     string `json:"path"`
	Method   string `json:"method"`
}

type endpointMeta struct {
	pathMeta
	IgnoreCase    bool `json:"ignore_case"`
	MethodActions map[string]struct {
		Action  string            `json:"action"`
		Code    int               `json:"code"`
		Data    string            `json:"data"`
		Headers map[string]string `json:"headers"`
	} `json:"method_actions"`
}

type mockResponseMeta struct {
	pathMeta
	IgnoreCase bool              `json:"ignore_case"`
	Code       int               `json:"code"`
	Body       string            `json:"body"`
	Headers    map[string]string `json:"headers"`
}

type cacheMeta struct {
	pathMeta
	CacheKeyRegex      string `json:"cache_key_regex"`
	CacheResponseCodes []int  `json:"cache_response_codes"`
	Timeout            int64  `json:"timeout"`
}

type templateMeta struct {
	pathMeta
	TemplateData struct {
		InputType      string `json:"input_type"`
		TemplateMode   string `json:"template_mode"`
		EnableSession  bool   `json:"enable_session"`
		TemplateSource string `json:"template_source"`
	} `json:"template_data"`
}

type transformJQMeta struct {
	Filter string `json:"filter"`
	Path   string `json:"path"`
	Method string `json:"method"`
}

type headerInjectionMeta struct {
	pathMeta
	DeleteHeaders []string          `json:"delete_headers"`
	AddHeaders    map[string]string `json:"add_headers"`
	ActOnResponse bool              `json:"act_on"`
}

type hardTimeoutMeta struct {
	pathMeta
	Timeout int `json:"timeout"`
}

type circuitBreakerMeta struct {
	pathMeta
	ThresholdPercent     float64 `json:"threshold_percent"`
	Samples              int64   `json:"samples"`
	ReturnToServiceAfter int     `json:"return_to_service_after"`
	DisableHalfOpenState bool    `json:"disable_half_open_state"`
}

type stringRegexMap struct {
	MatchPattern string `json:"match_rx"`
	Reverse      bool   `json:"reverse"`
}

type urlRewriteMeta struct {
	pathMeta
	MatchPattern string `json:"match_pattern"`
	RewriteTo    string `json:"rewrite_to"`
	Triggers     []struct {
		On      string `json:"on"`
		Options struct {
			HeaderMatches         map[string]stringRegexMap `json:"header_matches"`
			QueryValMatches       map[string]stringRegexMap `json:"query_val_matches"`
			PathPartMatches       map[string]stringRegexMap `json:"path_part_matches"`
			SessionMetaMatches    map[string]stringRegexMap `json:"session_meta_matches"`
			RequestContextMatches map[string]stringRegexMap `json:"request_context_matches"`
			PayloadMatches        stringRegexMap            `json:"payload_matches"`
		} `json:"options"`
		RewriteTo string `json:"rewrite_to"`
	} `json:"triggers"`
}

type virtualMeta struct {
	pathMeta
	ResponseFunctionName string `json:"response_function_name"`
	FunctionSourceType   string `json:"function_source_type"`
	FunctionSourceURI    string `json:"function_source_uri"`
	UseSession           bool   `json:"use_session"`
	ProxyOnError         bool   `json:"proxy_on_error"`
}

type requestSizeMeta struct {
	pathMeta
	SizeLimit int64 `json:"size_limit"`
}

type methodTransformMeta struct {
	pathMeta
	ToMethod string `json:"to_method"`
}

type validateJSONMeta struct {
	pathMeta
	Schema            map[string]any `json:"schema"`
	SchemaB64         string         `json:"schema_b64"`
	ErrorResponseCode int            `json:"error_response_code"`
}

type validateRequestMeta struct {
	Enabled           bool   `json:"enabled"`
	Path              string `json:"path"`
	Method            string `json:"method"`
	ErrorResponseCode int    `json:"error_response_code"`
}

type goPluginMeta struct {
	pathMeta
	PluginPath string `json:"plugin_path"`
	FuncName   string `json:"func_name"`
}

type persistGraphQLMeta struct {
	Path      string         `json:"path"`
	Method    string         `json:"method"`
	Operation string         `json:"operation"`
	Variables map[string]any `json:"variables"`
}

type endpointRateLimitDef struct {
	pathMeta
	Rate float64 `json:"rate"`
	Per  float64 `json:"per"`
}
