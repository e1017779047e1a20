{{- /*
One service: its Service and its Deployment. Takes what lathe.pod takes, and of
  exclusive    whether a replica holds a device of its own: then the old pod goes before the new one comes
  scaled       whether something else sets the number of replicas
*/ -}}
{{- define "lathe.service" -}}
{{- $root := .root -}}
{{- $fullname := include "lathe.componentName" (list $root .name .target) -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "lathe.labels" (list $root .name .target) | nindent 4 }}
spec:
  # Headless, so that a client sees every pod and balances its calls. A cluster IP would pin an HTTP/2 connection to one pod.
  clusterIP: None
  selector:
    {{- include "lathe.selector" (list $root .name .target) | nindent 4 }}
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
    {{- include "lathe.labels" (list $root .name .target) | nindent 4 }}
spec:
  {{- if not .scaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "lathe.selector" (list $root .name .target) | nindent 6 }}
  strategy:
    type: {{ ternary "Recreate" "RollingUpdate" (default false .exclusive) }}
  template:
    {{- include "lathe.pod" . | nindent 4 }}
{{- end -}}
