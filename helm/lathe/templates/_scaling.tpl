{{- /* What KEDA looks at: the items of both queues of the trainer that are waiting or in hand. Takes the root. */ -}}
{{- define "lathe.triggers" -}}
{{- $own := printf "%s-nats.%s.svc:8222" (include "lathe.fullname" .) .Release.Namespace -}}
{{- range $consumer := list "work-train" "work-retrain" }}
- type: nats-jetstream
  metadata:
    natsServerMonitoringEndpoint: {{ default $own $.Values.supernet.scaling.natsMonitoringEndpoint | quote }}
    account: {{ $.Values.supernet.scaling.natsAccount | quote }}
    stream: {{ with $.Values.nats.prefix }}{{ . }}_{{ end }}WORK
    consumer: {{ $consumer }}
    lagThreshold: "1"
{{- end }}
{{- end -}}

{{- /* A Job for each item; KEDA deletes none of them, so a training is never ended to scale in. Takes what lathe.pod takes. */ -}}
{{- define "lathe.scaledJob" -}}
{{- $scaling := .values.scaling -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledJob
metadata:
  name: {{ include "lathe.componentName" (list .root .name .target) }}
  labels:
    {{- include "lathe.labels" (list .root .name) | nindent 4 }}
spec:
  minReplicaCount: {{ $scaling.minReplicas }}
  maxReplicaCount: {{ $scaling.maxReplicas }}
  pollingInterval: {{ $scaling.pollingIntervalSeconds }}
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 3
  # A change of the values must not end the trainings that run.
  rollout:
    strategy: gradual
  # Running Jobs are taken off the lag, which counts their items; the queues are served by the same pods.
  scalingStrategy:
    strategy: default
    multipleScalersCalculation: sum
  triggers:
    {{- include "lathe.triggers" .root | trim | nindent 4 }}
  jobTargetRef:
    # The item of a pod that fails goes back to its queue, for a Job of its own.
    backoffLimit: 0
    podFailurePolicy:
      rules:
        # Of a drained node: that pod did not fail, and is started anew.
        - action: Ignore
          onPodConditions:
            - type: DisruptionTarget
              status: "True"
    template:
      {{- $annotations := dict "cluster-autoscaler.kubernetes.io/safe-to-evict" "false" "karpenter.sh/do-not-disrupt" "true" }}
      {{- include "lathe.pod" (merge (dict "restart" "Never" "annotations" $annotations) .) | nindent 6 }}
{{- end -}}

{{- /* Sets the replicas of the Deployment. Scaling in ends any pod; its item goes on from its last checkpoint elsewhere. */ -}}
{{- define "lathe.scaledObject" -}}
{{- $scaling := .values.scaling -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ include "lathe.componentName" (list .root .name .target) }}
  labels:
    {{- include "lathe.labels" (list .root .name) | nindent 4 }}
spec:
  scaleTargetRef:
    name: {{ include "lathe.componentName" (list .root .name .target) }}
  minReplicaCount: {{ $scaling.minReplicas }}
  maxReplicaCount: {{ $scaling.maxReplicas }}
  pollingInterval: {{ $scaling.pollingIntervalSeconds }}
  cooldownPeriod: {{ $scaling.cooldownSeconds }}
  triggers:
    {{- include "lathe.triggers" .root | trim | nindent 4 }}
{{- end -}}
