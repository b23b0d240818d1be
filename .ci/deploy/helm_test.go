// Package deploy_test checks what deploy/ has for containers, with the libraries of those who define the formats: Helm,
// Kubernetes and Compose. Nothing of it needs a cluster or a container runtime, and neither has run it.
package deploy_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	admission "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

const chartDir = "../../deploy/helm/gatehouse"

// valueSets are the files of values that the chart is rendered with, by name.
func valueSets(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(chartDir, "ci", "*-values.yaml"))
	if err != nil || len(paths) != 3 {
		t.Fatalf("want three sets of values, found %q: %v", paths, err)
	}
	sets := map[string]string{}
	for _, path := range paths {
		sets[strings.TrimSuffix(filepath.Base(path), "-values.yaml")] = path
	}
	return sets
}

func readValues(t *testing.T, path string) chartutil.Values {
	t.Helper()
	values, err := chartutil.ReadValuesFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// objects are the rendered objects, by kind. Each kind occurs once at most.
type objects map[string]any

func (o objects) deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	deployment, ok := o["apps/v1 Deployment"].(*appsv1.Deployment)
	if !ok {
		t.Fatal("no deployment")
	}
	return deployment
}

// newObject returns an empty object of a kind.
func newObject(kind string) any {
	switch kind {
	case "apps/v1 Deployment":
		return &appsv1.Deployment{}
	case "v1 Service":
		return &corev1.Service{}
	case "v1 ServiceAccount":
		return &corev1.ServiceAccount{}
	case "policy/v1 PodDisruptionBudget":
		return &policyv1.PodDisruptionBudget{}
	case "networking.k8s.io/v1 NetworkPolicy":
		return &networkingv1.NetworkPolicy{}
	}
	return nil
}

// render renders the chart as `helm template` does, and decodes each object strictly into its type of k8s.io/api.
func render(t *testing.T, values chartutil.Values) objects {
	t.Helper()
	files, err := renderFiles(t, values)
	if err != nil {
		t.Fatal(err)
	}
	rendered := objects{}
	for name, text := range files {
		if strings.TrimSpace(text) == "" || strings.HasSuffix(name, ".txt") {
			continue
		}
		document, err := yaml.YAMLToJSONStrict([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		var meta metav1.TypeMeta
		if err := json.UnmarshalCaseSensitivePreserveInts(document, &meta); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kind := meta.APIVersion + " " + meta.Kind
		object := newObject(kind)
		if object == nil || rendered[kind] != nil {
			t.Fatalf("%s: unexpected %q", name, kind)
		}
		problems, err := json.UnmarshalStrict(document, object)
		if err != nil || len(problems) > 0 {
			t.Fatalf("%s: %v %v\n%s", name, err, problems, text)
		}
		rendered[kind] = object
	}
	return rendered
}

func renderFiles(t *testing.T, values chartutil.Values) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	options := chartutil.ReleaseOptions{Name: "harbour", Namespace: "tyk", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

func TestChartLint(t *testing.T) {
	t.Parallel()
	for name, path := range valueSets(t) {
		linter := lint.All(chartDir, readValues(t, path), "tyk", true)
		for _, message := range linter.Messages {
			if message.Severity > support.InfoSev {
				t.Errorf("%s: %s", name, message)
			}
		}
	}
}

func TestChartObjects(t *testing.T) {
	t.Parallel()
	all := []string{
		"apps/v1 Deployment", "networking.k8s.io/v1 NetworkPolicy", "policy/v1 PodDisruptionBudget", "v1 Service",
		"v1 ServiceAccount",
	}
	want := map[string][]string{
		"minimal": all, "production": all, "small": {"apps/v1 Deployment", "v1 Service"},
	}
	for name, path := range valueSets(t) {
		rendered := render(t, readValues(t, path))
		if got := slices.Sorted(maps.Keys(rendered)); !slices.Equal(got, want[name]) {
			t.Errorf("%s: objects %q, want %q", name, got, want[name])
		}
		requireConsistent(t, name, rendered)
	}
}

// requireConsistent checks what the objects say of one another.
func requireConsistent(t *testing.T, name string, rendered objects) {
	t.Helper()
	deployment := rendered.deployment(t)
	pod := deployment.Spec.Template
	selects := func(what string, selector map[string]string) {
		if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s: %s selects other pods than those of the deployment: %v", name, what, selector)
		}
	}
	selects("the deployment", deployment.Spec.Selector.MatchLabels)
	if service, ok := rendered["v1 Service"].(*corev1.Service); ok {
		selects("the service", service.Spec.Selector)
		if target := service.Spec.Ports[0].TargetPort.String(); target != pod.Spec.Containers[0].Ports[0].Name {
			t.Errorf("%s: the service leads to the port %s", name, target)
		}
	}
	if budget, ok := rendered["policy/v1 PodDisruptionBudget"].(*policyv1.PodDisruptionBudget); ok {
		selects("the budget", budget.Spec.Selector.MatchLabels)
		if least := budget.Spec.MinAvailable.IntVal; least >= *deployment.Spec.Replicas {
			t.Errorf("%s: a node cannot be drained: %d of %d have to run", name, least, *deployment.Spec.Replicas)
		}
	}
	if network, ok := rendered["networking.k8s.io/v1 NetworkPolicy"].(*networkingv1.NetworkPolicy); ok {
		selects("the network policy", network.Spec.PodSelector.MatchLabels)
	}
	mounts := map[string]string{} // path: volume
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		mounts[mount.MountPath] = mount.Name
	}
	for _, volume := range pod.Spec.Volumes {
		if !slices.Contains(slices.Collect(maps.Values(mounts)), volume.Name) {
			t.Errorf("%s: nothing uses the volume %s", name, volume.Name)
		}
	}
}

// TestChartIsRestricted holds the pods to the strictest of Kubernetes's pod security standards, and to more.
func TestChartIsRestricted(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range valueSets(t) {
		deployment := render(t, readValues(t, path)).deployment(t)
		pod := deployment.Spec.Template
		level := admission.LevelVersion{Level: admission.LevelRestricted, Version: admission.LatestVersion()}
		for _, result := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				t.Errorf("%s: %s: %s", name, result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
		container := pod.Spec.Containers[0]
		if readOnly := container.SecurityContext.ReadOnlyRootFilesystem; readOnly == nil || !*readOnly {
			t.Errorf("%s: the root file system is writable", name)
		}
		if token := pod.Spec.AutomountServiceAccountToken; token == nil || *token {
			t.Errorf("%s: the pod has a token of the cluster", name)
		}
		for what, probe := range map[string]*corev1.Probe{
			"startup": container.StartupProbe, "liveness": container.LivenessProbe, "readiness": container.ReadinessProbe,
		} {
			if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Port.String() != container.Ports[0].Name {
				t.Errorf("%s: no %s probe of the port of the server", name, what)
			}
		}
		if strategy := deployment.Spec.Strategy.RollingUpdate; strategy.MaxUnavailable.IntVal != 0 {
			t.Errorf("%s: an upgrade stops a server before another one has taken its place", name)
		}
	}
}

// TestChartSecrets finds secrets by reference only: in volumes of secrets, and in settings that name a file.
func TestChartSecrets(t *testing.T) {
	t.Parallel()
	for name, path := range valueSets(t) {
		pod := render(t, readValues(t, path)).deployment(t).Spec.Template.Spec
		mounted := map[string]bool{}
		for _, volume := range pod.Volumes {
			if volume.Projected == nil {
				continue
			}
			for _, source := range volume.Projected.Sources {
				mounted["/secrets/"+source.Secret.Items[0].Path] = true
			}
		}
		if len(mounted) < 3 {
			t.Errorf("%s: %d secrets", name, len(mounted))
		}
		for _, variable := range pod.Containers[0].Env {
			isFile := strings.HasSuffix(variable.Name, "_FILE")
			if !isFile && strings.Contains(variable.Name, "SECRET") || variable.Name == "DATABASE_URL" {
				t.Errorf("%s: %s is a secret, and has its value in the object", name, variable.Name)
			}
			if isFile && !mounted[variable.Value] {
				t.Errorf("%s: %s is not in a volume: %s", name, variable.Name, variable.Value)
			}
			delete(mounted, variable.Value)
		}
		if len(mounted) > 0 {
			t.Errorf("%s: no setting names %v", name, mounted)
		}
	}
}

// TestChartRefuses values that cannot work.
func TestChartRefuses(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(chartutil.Values){
		"image": func(values chartutil.Values) { delete(values, "image") },
		"admin": func(values chartutil.Values) {
			values["secrets"] = map[string]any{"admin": map[string]any{"name": ""}}
		},
		"replcias": func(values chartutil.Values) { values["replcias"] = 3 },
		"GATEHOUSE_PAGE_SIZE": func(values chartutil.Values) {
			values["env"] = map[string]any{"GATEHOUSE_PAGE_SIZE": 10}
		},
	} {
		values := readValues(t, valueSets(t)["minimal"])
		change(values)
		if _, err := renderFiles(t, values); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: not refused: %v", what, err)
		}
	}
}

func TestChartIgnoresItsTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(chartDir, ".helmignore"))
	if err != nil || !strings.Contains(string(text), "ci/\n") {
		t.Errorf(".helmignore: %q, %v", text, err)
	}
}
