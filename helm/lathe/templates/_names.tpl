{{- define "lathe.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- /* Room for "-discretization" within the 63 characters of a DNS label. */ -}}
{{- default $full .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{- /* Name of a service's objects. Takes a list of root, component and target, the last a name or nothing. */ -}}
{{- define "lathe.componentName" -}}
{{- list (include "lathe.fullname" (index . 0)) (index . 1) (index . 2) | compact | join "-" -}}
{{- end -}}

{{- /* What all pods of a release have. Takes the root. */ -}}
{{- define "lathe.release" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* Takes a list of root, component and, of the latency service, target. */ -}}
{{- define "lathe.selector" -}}
{{ include "lathe.release" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- if and (gt (len .) 2) (index . 2) }}
lathe/target: {{ index . 2 }}
{{- end }}
{{- end -}}

{{- define "lathe.labels" -}}
{{ include "lathe.selector" . }}
app.kubernetes.io/part-of: lathe
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end -}}

{{- /* Takes a list of root and the service's values; an image that a service names goes before the chart's, its digest before its tag. */ -}}
{{- define "lathe.image" -}}
{{- $all := (index . 0).Values.image -}}
{{- $own := default dict (index . 1).image -}}
{{- $repository := default $all.repository $own.repository -}}
{{- $digest := ternary $own.digest $all.digest (or $own.repository $own.tag $own.digest | empty | not) -}}
{{- if $digest -}}
{{ $repository }}@{{ $digest }}
{{- else -}}
{{ $repository }}:{{ coalesce $own.tag $all.tag (index . 0).Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "lathe.natsUrl" -}}
{{- default (printf "nats://%s-nats:4222" (include "lathe.fullname" .)) .Values.nats.url -}}
{{- end -}}

{{- define "lathe.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "lathe.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
