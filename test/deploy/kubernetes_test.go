// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// objects are the decoded documents of one file.
type objects struct {
	configs     []*corev1.ConfigMap
	deployments []*appsv1.Deployment
	services    []*corev1.Service
	budgets     []*policyv1.PodDisruptionBudget
	policies    []*networkingv1.NetworkPolicy
}

// decode reads a file of manifests; an unknown field is an error.
func decode(t *testing.T, file string) objects {
	t.Helper()
	var all objects
	for doc := range strings.SplitSeq(read(t, file), "\n---\n") {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		switch kind.APIVersion + " " + kind.Kind {
		case "v1 ConfigMap":
			all.configs = append(all.configs, strict[corev1.ConfigMap](t, doc))
		case "apps/v1 Deployment":
			all.deployments = append(all.deployments, strict[appsv1.Deployment](t, doc))
		case "v1 Service":
			all.services = append(all.services, strict[corev1.Service](t, doc))
		case "policy/v1 PodDisruptionBudget":
			all.budgets = append(all.budgets, strict[policyv1.PodDisruptionBudget](t, doc))
		case "networking.k8s.io/v1 NetworkPolicy":
			all.policies = append(all.policies, strict[networkingv1.NetworkPolicy](t, doc))
		default:
			t.Fatalf("%s: no test for %s %s", file, kind.APIVersion, kind.Kind)
		}
	}
	if len(all.configs) != 1 || len(all.deployments) != 1 {
		t.Fatalf("%s: %d config maps, %d deployments", file, len(all.configs), len(all.deployments))
	}
	return all
}

func strict[T any](t *testing.T, doc string) *T {
	t.Helper()
	v := new(T)
	if err := yaml.UnmarshalStrict([]byte(doc), v); err != nil {
		t.Fatalf("%T: %v\n%s", v, err, doc)
	}
	return v
}

// settings are those of the daemon's configuration that manifests depend on.
type settings struct {
	Endpoints    []struct{ Listen string }
	Admin        struct{ Listen string }
	DrainTimeout string `json:"drain_timeout"`
}

func (s settings) drain(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s.DrainTimeout)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestShared(t *testing.T) {
	all := decode(t, "deploy/kubernetes/shared.yaml")
	pod := all.deployments[0].Spec.Template
	proxy := container(t, pod.Spec.Containers)
	cfg := checkConfig(t, all.configs[0], pod.Spec, proxy)
	checkProbes(t, proxy, cfg)
	checkSecurity(t, proxy, pod.Spec.SecurityContext)
	checkGrace(t, pod.Spec, proxy, cfg.drain(t))

	labels := pod.Labels
	for what, selector := range map[string]map[string]string{
		"deployment": all.deployments[0].Spec.Selector.MatchLabels,
		"service":    all.services[0].Spec.Selector,
		"budget":     all.budgets[0].Spec.Selector.MatchLabels,
		"policy":     all.policies[0].Spec.PodSelector.MatchLabels,
	} {
		for k, v := range selector {
			if labels[k] != v {
				t.Errorf("the %s selects %s=%s, the pod has %q", what, k, v, labels[k])
			}
		}
	}
	if target := all.services[0].Spec.Ports[0].TargetPort.StrVal; portOf(t, proxy, target) != 6432 {
		t.Errorf("the service leads to %s", target)
	}
	for _, rule := range all.policies[0].Spec.Ingress {
		for _, p := range rule.Ports {
			portOf(t, proxy, p.Port.StrVal)
		}
	}
	if *all.deployments[0].Spec.Replicas < 2 {
		t.Error("one replica is an outage at each roll-out")
	}
}

func TestSidecar(t *testing.T) {
	all := decode(t, "deploy/kubernetes/sidecar.yaml")
	pod := all.deployments[0].Spec.Template
	proxy := container(t, pod.Spec.InitContainers)
	if proxy.RestartPolicy == nil || *proxy.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("an init container is a sidecar only with restartPolicy: Always")
	}
	cfg := checkConfig(t, all.configs[0], pod.Spec, proxy)
	checkProbes(t, proxy, cfg)
	checkSecurity(t, proxy, &corev1.PodSecurityContext{})
	const application = 30 * time.Second // that the comment grants it
	checkGrace(t, pod.Spec, proxy, cfg.drain(t)+application)
	for _, e := range cfg.Endpoints {
		if !strings.HasPrefix(e.Listen, "127.0.0.1:") {
			t.Errorf("a sidecar without TLS listens on %s", e.Listen)
		}
	}
	app := pod.Spec.Containers[0]
	port := slices.IndexFunc(app.Env, func(e corev1.EnvVar) bool { return e.Name == "PGPORT" })
	if port < 0 || !strings.HasSuffix(cfg.Endpoints[0].Listen, ":"+app.Env[port].Value) {
		t.Errorf("the application does not connect to %s", cfg.Endpoints[0].Listen)
	}
}

func container(t *testing.T, all []corev1.Container) corev1.Container {
	t.Helper()
	i := slices.IndexFunc(all, func(c corev1.Container) bool { return c.Name == "rdsproxy" })
	if i < 0 {
		t.Fatal("no container rdsproxy")
	}
	return all[i]
}

// checkConfig lays the volumes out in a folder and runs `rdsproxy check` on the
// container's command line.
func checkConfig(t *testing.T, cm *corev1.ConfigMap, pod corev1.PodSpec, c corev1.Container) settings {
	t.Helper()
	m := newMachine(t)
	for _, mount := range c.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
		if i < 0 {
			t.Fatalf("no volume %s", mount.Name)
		}
		switch v := pod.Volumes[i]; {
		case v.ConfigMap != nil && v.ConfigMap.Name == cm.Name:
			for name, text := range cm.Data {
				m.write(t, mount.MountPath+"/"+name, m.inside(text))
			}
		case v.Secret != nil && strings.HasSuffix(v.Secret.SecretName, "-tls"):
			m.writeCertificate(t, mount.MountPath)
		case v.Secret != nil:
			m.writeSecret(t, mount.MountPath, "app")
		default:
			t.Errorf("volume %s is neither the configuration nor a secret", mount.Name)
		}
		if !mount.ReadOnly {
			t.Errorf("volume %s is mounted for writing", mount.Name)
		}
	}
	m.check(t, c.Args)
	var cfg settings
	if err := yaml.Unmarshal([]byte(cm.Data["rdsproxy.yaml"]), &cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// checkProbes has the probes go to the admin listener, which the kubelet reaches
// only if it listens on the pod's address.
func checkProbes(t *testing.T, c corev1.Container, cfg settings) {
	t.Helper()
	for name, probe := range map[string]struct {
		*corev1.Probe
		path string
	}{
		"startup":   {c.StartupProbe, "/livez"},
		"liveness":  {c.LivenessProbe, "/livez"},
		"readiness": {c.ReadinessProbe, "/readyz"},
	} {
		if probe.Probe == nil || probe.HTTPGet == nil {
			t.Errorf("no %s probe", name)
			continue
		}
		if probe.HTTPGet.Path != probe.path {
			t.Errorf("the %s probe asks %s", name, probe.HTTPGet.Path)
		}
		if port := portOf(t, c, probe.HTTPGet.Port.StrVal); port != 9127 {
			t.Errorf("the %s probe goes to port %d", name, port)
		}
	}
	if cfg.Admin.Listen != "0.0.0.0:9127" {
		t.Errorf("the admin listener is on %s", cfg.Admin.Listen)
	}
}

func portOf(t *testing.T, c corev1.Container, name string) int32 {
	t.Helper()
	i := slices.IndexFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == name })
	if i < 0 {
		t.Errorf("container %s has no port %s", c.Name, name)
		return 0
	}
	return c.Ports[i].ContainerPort
}

func checkSecurity(t *testing.T, c corev1.Container, pod *corev1.PodSecurityContext) {
	t.Helper()
	s := c.SecurityContext
	if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
		s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
		s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") {
		t.Errorf("security context %+v", s)
	}
	nonRoot, seccomp := pod.RunAsNonRoot, pod.SeccompProfile
	if s != nil && s.RunAsNonRoot != nil {
		nonRoot, seccomp = s.RunAsNonRoot, s.SeccompProfile
	}
	if nonRoot == nil || !*nonRoot || seccomp == nil {
		t.Error("the container may run as root, or without a seccomp profile")
	}
	if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
		t.Error("no request for CPU, or no limit for memory")
	}
}

// checkGrace has the kubelet wait longer than preStop and what the daemon needs.
func checkGrace(t *testing.T, pod corev1.PodSpec, c corev1.Container, need time.Duration) {
	t.Helper()
	if c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
		need += time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	}
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	if grace < need+5*time.Second {
		t.Errorf("terminationGracePeriodSeconds is %s, preStop and drain_timeout are %s", grace, need)
	}
}
