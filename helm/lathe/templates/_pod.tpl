{{- /*
The pod of one service, as the template of a Deployment, a Job or a test takes it. Takes a dict of
  root         the chart's root
  name         of the service, which is also its folder in services/
  values       of the service
  environment  what it reads besides lathe.environment, a dict
  dataset      whether it reads data sets
  args         of node; the service's main.js unless given
  restart      restartPolicy; Always, with probes, unless given
  target       of the latency service, a name or nothing
*/ -}}
{{- define "lathe.pod" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $secrets := include "lathe.secrets" $root | fromYaml -}}
{{- /* A helm test has the permissions of the search service. */ -}}
{{- $service := ternary "search" .name (eq .name "test") -}}
{{- $claim := and .dataset $root.Values.dataset.claimName -}}
{{- $cache := and .dataset $root.Values.dataset.cacheClaimName -}}
metadata:
  labels:
    {{- include "lathe.labels" (list $root .name .target) | nindent 4 }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (default dict .annotations) $values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "lathe.fullname" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .restart }}
  restartPolicy: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ include "lathe.terminationSeconds" (list $root $values) }}
  securityContext:
    {{- include "lathe.podSecurity" $root | nindent 4 }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.resourceClaims }}
  resourceClaims:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "lathe.image" (list $root $values) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args:
        {{- toYaml (default (list (printf "dist/services/%s/main.js" .name)) .args) | nindent 8 }}
      securityContext:
        {{- include "lathe.containerSecurity" $root | nindent 8 }}
      env:
        {{- range $key, $value := merge (default dict .environment) (include "lathe.environment" (list $root $service) | fromYaml) }}
        - name: {{ $key }}
          value: {{ $value | quote }}
        {{- end }}
        {{- with $values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if not .args }}
      ports:
        - name: grpc
          containerPort: {{ $root.Values.grpc.port }}
        - name: http
          containerPort: {{ $root.Values.http.port }}
      # Over HTTP, which is plain text whether gRPC has TLS or not. Training runs in a process of its own, so a slow answer here is a
      # stuck event loop and not a long step.
      livenessProbe:
        httpGet: { path: /livez, port: http }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: http }
        periodSeconds: 5
        timeoutSeconds: 5
      startupProbe:
        httpGet: { path: /livez, port: http }
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 60
      {{- end }}
      resources:
        {{- with $values.resources.requests }}
        requests:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        limits:
          {{- with $values.resources.limits }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
          {{- if $values.gpus }}
          # Of an extended resource the request is the limit.
          {{ default $root.Values.gpu.resourceName $values.gpuResourceName }}: {{ $values.gpus }}
          {{- end }}
        {{- with $values.resourceClaims }}
        claims:
          {{- range . }}
          - name: {{ .name }}
          {{- end }}
        {{- end }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        {{- if $claim }}
        - name: dataset
          mountPath: {{ $root.Values.dataset.mountPath }}
          readOnly: true
        {{- end }}
        {{- if $cache }}
        - name: decoded
          mountPath: /var/cache/lathe
        {{- end }}
        {{- range $volume, $_ := $secrets }}
        - name: {{ $volume }}
          mountPath: /etc/lathe/{{ $volume }}
          readOnly: true
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if $claim }}
    - name: dataset
      persistentVolumeClaim:
        claimName: {{ $claim }}
        readOnly: true
    {{- end }}
    {{- if $cache }}
    - name: decoded
      persistentVolumeClaim:
        claimName: {{ $cache }}
    {{- end }}
    {{- range $volume, $secret := $secrets }}
    - name: {{ $volume }}
      secret:
        secretName: {{ $secret }}
        defaultMode: 0440
        {{- if eq $volume "nats-credentials" }}
        {{- $key := $root.Values.nats.credentialsSecret.key | replace "{service}" $service }}
        # No other service's.
        items: [{ key: {{ $key }}, path: {{ $key }} }]
        {{- end }}
    {{- end }}
{{- end -}}

{{- /*
How long a pod has to stop: two steps of an ordered stop and 15 s; of a trainer also what a checkpoint in hand takes, twice over,
at the slowest 35 MB/s that NATS was measured to store. Takes a list of root and the service's values.
*/ -}}
{{- define "lathe.terminationSeconds" -}}
{{- $checkpoint := divf (mulf (default 0 (index . 1).checkpointMebibytes) 1.048576 2) 35 | ceil | int -}}
{{- add 15 (mul 2 (int (index . 0).Values.shutdownGraceSeconds)) $checkpoint -}}
{{- end -}}
