package main

import (
	"fmt"
	"strings"
	"testing"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: { name: search }
spec:
  selector: { matchLabels: { app: search } }
  template:
    metadata: { labels: { app: search } }
    spec:
      securityContext: { runAsNonRoot: true, seccompProfile: { type: RuntimeDefault } }
      containers:
        - name: search
          image: lathe
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }
          ports: [{ name: http, containerPort: 9464 }]
          livenessProbe: { httpGet: { path: /livez, port: http } }
          resources: { limits: { nvidia.com/gpu: 1 } }
`

const job = `apiVersion: keda.sh/v1alpha1
kind: ScaledJob
metadata: { name: supernet }
spec:
  maxReplicaCount: 2
  triggers: [{ type: nats-jetstream, metadata: { stream: WORK, lagThreshold: "1" } }]
  jobTargetRef:
    backoffLimit: 0
    template:
      spec:
        restartPolicy: Never
        securityContext: { runAsNonRoot: true, seccompProfile: { type: RuntimeDefault } }
        containers:
          - name: supernet
            image: lathe
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }
`

// An API server rejects each of these changes of a valid object, and the fault names the change.
func TestBrokenObjects(t *testing.T) {
	for _, good := range []string{deployment, job} {
		if name, faults := check([]byte(good)); len(faults) > 0 {
			t.Fatalf("%s: %v", name, faults)
		}
	}
	cases := []struct{ object, from, to, names string }{
		{deployment, "image: lathe", "imagee: lathe", `unknown field "spec.template.spec.containers[0].imagee"`},
		{deployment, "kind: Deployment", "kind: Deployment\nkind: Deployment", "already set"},
		{deployment, "labels: { app: search }", "labels: { app: other }", "spec.template.metadata.labels"},
		{deployment, "name: search }", "name: Search }", "metadata.name"},
		{deployment, "port: http }", "port: a-name-that-is-too-long }", "livenessProbe.httpGet.port"},
		{deployment, "nvidia.com/gpu: 1", "nvidia.com/gpu: 500m", "must be an integer"},
		{deployment, "limits: { nvidia.com/gpu: 1 }", "requests: { nvidia.com/gpu: 1 }", "Limit must be set for non overcommitable resources"},
		{deployment, "limits: { nvidia.com/gpu: 1 }", "limits: { memory: one }", "quantities must match"},
		{deployment, "httpGet: { path: /livez, port: http }", "httpGet: { path: /livez, port: http }, tcpSocket: { port: 1 }", "more than 1 handler"},
		{deployment, "allowPrivilegeEscalation: false", "privileged: true", "restricted:"},
		{deployment, "drop: [ALL]", "drop: [NET_RAW]", "restricted: unrestricted capabilities"},
		{job, "restartPolicy: Never", "restartPolicy: Always", "restartPolicy"},
		{job, "maxReplicaCount", "maxReplicaCounts", "maxReplicaCounts"},
		{job, "runAsNonRoot: true", "runAsNonRoot: false", "restricted: runAsNonRoot"},
	}
	for _, c := range cases {
		broken := strings.Replace(c.object, c.from, c.to, 1)
		if broken == c.object {
			t.Fatalf("%q is not in the object", c.from)
		}
		if _, faults := check([]byte(broken)); !strings.Contains(fmt.Sprint(faults), c.names) {
			t.Errorf("%s: got %v, want %q", c.to, faults, c.names)
		}
	}
}
