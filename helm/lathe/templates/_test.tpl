{{- /* A pod that `helm test` runs: a file of files/tests by the image's own node, with what the services have. Takes a dict of root, name, file and args. */ -}}
{{- define "lathe.test" -}}
{{- $root := .root -}}
{{- $values := dict "podLabels" dict "podAnnotations" dict "resources" (dict "requests" (dict "cpu" "50m" "memory" "64Mi") "limits" (dict "memory" "256Mi")) -}}
{{- $script := $root.Files.Get (printf "files/tests/%s" .file) -}}
{{- $pod := dict "root" $root "name" "test" "values" $values "args" (concat (list "-e" $script) (default list .args)) "restart" "Never" -}}
{{- $rendered := include "lathe.pod" $pod | fromYaml -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "lathe.componentName" (list $root "test" .name) }}
  labels:
    {{- toYaml $rendered.metadata.labels | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  {{- toYaml $rendered.spec | nindent 2 }}
{{- end -}}
