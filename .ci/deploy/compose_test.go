package deploy_test

import (
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// loadCompose loads a compose file as Docker Compose does: against the schema of the specification, with its variables.
func loadCompose(t *testing.T, path string, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{path}, cli.WithName("gatehouse"), cli.WithEnv(env))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestCompose(t *testing.T) {
	t.Parallel()
	project := loadCompose(t, "../../deploy/compose.yaml")
	for name, service := range project.Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to other machines", name, port.Published)
			}
		}
		for other := range service.DependsOn {
			if check := project.Services[other].HealthCheck; check == nil || len(check.Test) == 0 {
				t.Errorf("%s waits for %s, which has no health check", name, other)
			}
		}
	}
	gatehouse := project.Services["gatehouse"]
	if !gatehouse.ReadOnly || len(gatehouse.CapDrop) != 1 || gatehouse.CapDrop[0] != "ALL" {
		t.Error("gatehouse: more rights than it needs")
	}
	for _, other := range []string{"postgres", "redis"} {
		if gatehouse.DependsOn[other].Condition != types.ServiceConditionHealthy {
			t.Errorf("gatehouse does not wait for %s", other)
		}
	}
	if project.Services["gateway"].DependsOn["gatehouse"].Condition != types.ServiceConditionHealthy {
		t.Error("the gateway does not wait for gatehouse")
	}
}

// TestComposeSecrets: services that share a secret get the same one, also if it is set.
func TestComposeSecrets(t *testing.T) {
	t.Parallel()
	const secret = "wide-river-7f3a91c0"
	for variable, places := range map[string][][2]string{
		"ADMIN_SECRET":      {{"gatehouse", "TYK_DB_ADMINSECRET"}},
		"NODE_SECRET":       {{"gatehouse", "TYK_DB_NODESECRET"}, {"gateway", "TYK_GW_NODESECRET"}},
		"GATEWAY_SECRET":    {{"gatehouse", "TYK_DB_TYKAPI_SECRET"}, {"gateway", "TYK_GW_SECRET"}},
		"POSTGRES_PASSWORD": {{"gatehouse", "DATABASE_URL"}, {"postgres", "POSTGRES_PASSWORD"}},
	} {
		byDefault := loadCompose(t, "../../deploy/compose.yaml")
		project := loadCompose(t, "../../deploy/compose.yaml", variable+"="+secret)
		for _, place := range places {
			value := project.Services[place[0]].Environment[place[1]]
			if value == nil || !strings.Contains(*value, secret) {
				t.Errorf("%s: %s of %s is %v", variable, place[1], place[0], value)
			}
			if value := byDefault.Services[place[0]].Environment[place[1]]; value == nil || *value == "" {
				t.Errorf("%s of %s has no default", place[1], place[0])
			}
		}
	}
}
