package main

// target is the value that the median of a series should reach.
type target struct {
	value  float64
	better string
}

// Values of target.better: whether a higher or a lower value is better.
const (
	higher = "higher"
	lower  = "lower"
)

// targets are the targets by name of the result.
var targets = map[string]target{
	"get_user_vs_bare": {0.95, higher}, "get_user_vs_bare_64": {1.5, higher},
	"get_org_vs_bare": {0.95, higher}, "get_org_vs_bare_64": {1.5, higher},
	"allow_reset_vs_bare": {0.97, higher}, "allow_reset_vs_bare_8": {0.97, higher},
	"allow_reset_vs_bare_64": {0.97, higher},
	"sso_vs_bare":            {0.95, higher}, "sso_vs_bare_8": {0.97, higher}, "sso_vs_bare_64": {0.97, higher},
	"allow_reset_vs_pgbench": {0.55, higher},
	"get_user_vs_ogen":       {1.1, higher}, "get_user_vs_ogen_8": {1.1, higher}, "get_user_vs_ogen_64": {1.1, higher},
	"get_org_vs_ogen": {1.1, higher}, "get_org_vs_ogen_8": {1.1, higher}, "get_org_vs_ogen_64": {1.1, higher},
	"allow_reset_vs_ogen": {1.1, higher}, "allow_reset_vs_ogen_8": {1.1, higher},
	"allow_reset_vs_ogen_64": {1.1, higher},
	"sso_vs_ogen":            {1.1, higher}, "sso_vs_ogen_8": {1.1, higher}, "sso_vs_ogen_64": {1.1, higher},
	"import_vs_copy": {1.4, lower}, "export_vs_copy": {1.3, lower}, "node_list_vs_copy": {1.5, lower},
	"import_peak_rss_mib": {32, lower}, "export_peak_rss_mib": {32, lower},
	"get_user_growth": {1.5, lower}, "email_growth": {1.5, lower}, "access_key_growth": {1.5, lower},
	"allow_reset_growth": {1.5, lower},
	"list_first_byte_ms": {10, lower}, "list_peak_rss_mib": {8, lower},
	"hostile_bodies_rss_mib": {256, lower},
	"warm_start_s":           {1, lower}, "given_start_s": {0.15, lower},
	"fleet_apis_gzip_vs_nginx_50": {0.5, higher}, "fleet_apis_plain_vs_nginx_50": {1, higher},
	"fleet_list_reads": {1, lower}, "fleet_change_net_s": {1, lower}, "fleet_peak_rss_mib": {128, lower},
	"fleet_idle_cores": {0.35, lower}, "fleet_get_user_p99_ratio": {3, lower},
}

// targetOf returns the target of a result, if it has one.
func targetOf(name string) (target, bool) {
	t, ok := targets[name]
	return t, ok
}
