{{- /*
One service: its Deployment and its Service. Takes a dict of
  root         the chart's root
  name         of the service, which is also its folder in services/ and its key in the values
  environment  what it reads besides lathe.environment, a dict
  dataset      whether it reads data sets
  exclusive    whether a replica holds a device of its own: then the old pod goes before the new one comes
*/ -}}
{{- define "lathe.service" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .name -}}
{{- $fullname := printf "%s-%s" (include "lathe.fullname" $root) .name -}}
{{- $secrets := include "lathe.secrets" $root | fromYaml -}}
{{- $claim := and .dataset $root.Values.dataset.claimName -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "lathe.labels" (list $root .name) | nindent 4 }}
spec:
  # Headless: a client sees every pod and spreads its calls; through a virtual address one HTTP/2 connection would stay on one pod.
  clusterIP: None
  selector:
    {{- include "lathe.selector" (list $root .name) | nindent 4 }}
  ports:
    - name: grpc
      port: {{ $root.Values.grpc.port }}
      targetPort: grpc
      appProtocol: grpc
    - name: http
      port: {{ $root.Values.http.port }}
      targetPort: http
      appProtocol: http
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "lathe.labels" (list $root .name) | nindent 4 }}
spec:
  replicas: {{ $values.replicas }}
  selector:
    matchLabels:
      {{- include "lathe.selector" (list $root .name) | nindent 6 }}
  strategy:
    type: {{ ternary "Recreate" "RollingUpdate" (default false .exclusive) }}
  template:
    metadata:
      labels:
        {{- include "lathe.labels" (list $root .name) | nindent 8 }}
      {{- with $values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "lathe.fullname" $root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ add 15 (mul 2 (int $root.Values.shutdownGraceSeconds)) }}
      securityContext:
        {{- include "lathe.podSecurity" $root | nindent 8 }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.runtimeClassName }}
      runtimeClassName: {{ . }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .name }}
          image: {{ include "lathe.image" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: ["dist/services/{{ .name }}/main.js"]
          securityContext:
            {{- include "lathe.containerSecurity" $root | nindent 12 }}
          env:
            {{- range $key, $value := merge (default dict .environment) (include "lathe.environment" $root | fromYaml) }}
            - name: {{ $key }}
              value: {{ $value | quote }}
            {{- end }}
          ports:
            - name: grpc
              containerPort: {{ $root.Values.grpc.port }}
            - name: http
              containerPort: {{ $root.Values.http.port }}
          # Training runs in a process of its own, so a slow answer here is a stuck event loop and not a long step.
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
          resources:
            {{- with $values.resources.requests }}
            requests:
              {{- toYaml . | nindent 14 }}
            {{- end }}
            limits:
              {{- with $values.resources.limits }}
              {{- toYaml . | nindent 14 }}
              {{- end }}
              {{- if $values.gpus }}
              # Of an extended resource the request is the limit.
              {{ $root.Values.gpu.resourceName }}: {{ $values.gpus }}
              {{- end }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- if $claim }}
            - name: dataset
              mountPath: {{ $root.Values.dataset.mountPath }}
              readOnly: true
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
        {{- range $volume, $secret := $secrets }}
        - name: {{ $volume }}
          secret:
            secretName: {{ $secret }}
            defaultMode: 0440
        {{- end }}
{{- end -}}
