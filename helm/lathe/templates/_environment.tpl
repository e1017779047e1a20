{{- /* What every service reads; the files are mounted by lathe.pod. Takes a list of root and the service's name. */ -}}
{{- define "lathe.environment" -}}
{{- $service := index . 1 -}}
{{- with index . 0 -}}
LATHE_LOG_LEVEL: {{ .Values.logLevel | quote }}
LATHE_SHUTDOWN_GRACE: {{ printf "%ds" (int .Values.shutdownGraceSeconds) | quote }}
LATHE_NATS_URL: {{ include "lathe.natsUrl" . | quote }}
{{- with .Values.nats.prefix }}
LATHE_NATS_PREFIX: {{ . | quote }}
{{- end }}
{{- if ne (int .Values.nats.replicas) 1 }}
LATHE_NATS_REPLICAS: {{ .Values.nats.replicas | quote }}
{{- end }}
LATHE_GRPC_HOST: "0.0.0.0"
LATHE_GRPC_PORT: {{ .Values.grpc.port | quote }}
LATHE_HTTP_HOST: "0.0.0.0"
LATHE_HTTP_PORT: {{ .Values.http.port | quote }}
{{- with .Values.nats.credentialsSecret }}
{{- if .name }}
LATHE_NATS_CREDS: "/etc/lathe/nats-credentials/{{ .key | replace "{service}" $service }}"
{{- end }}
{{- end }}
{{- with .Values.nats.tls }}
{{- if .secretName }}
LATHE_NATS_TLS_CA_FILE: /etc/lathe/nats-tls/ca.crt
{{- if .clientCertificate }}
LATHE_NATS_TLS_CERT_FILE: /etc/lathe/nats-tls/tls.crt
LATHE_NATS_TLS_KEY_FILE: /etc/lathe/nats-tls/tls.key
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.grpc.tls }}
{{- if .secretName }}
LATHE_TLS_CERT_FILE: /etc/lathe/grpc-tls/tls.crt
LATHE_TLS_KEY_FILE: /etc/lathe/grpc-tls/tls.key
{{- if .verifyClients }}
LATHE_TLS_CA_FILE: /etc/lathe/grpc-tls/ca.crt
{{- end }}
{{- else }}
LATHE_GRPC_INSECURE: "1"
{{- end }}
{{- end }}
{{- with .Values.grpc.tokenSecret }}
{{- if .name }}
LATHE_AUTH_TOKEN_FILE: "/etc/lathe/grpc-tokens/{{ .key }}"
{{- end }}
{{- end }}
{{- with .Values.tracing }}
{{- if .endpoint }}
LATHE_OTLP_ENDPOINT: {{ .endpoint | quote }}
LATHE_TRACE_RATIO: {{ .samplingRatio | quote }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{- /* Name of the volume -> name of the secret, for those that are set. */ -}}
{{- define "lathe.secrets" -}}
{{- with .Values.nats.credentialsSecret.name }}
nats-credentials: {{ . }}
{{- end }}
{{- with .Values.nats.tls.secretName }}
nats-tls: {{ . }}
{{- end }}
{{- with .Values.grpc.tls.secretName }}
grpc-tls: {{ . }}
{{- end }}
{{- with .Values.grpc.tokenSecret.name }}
grpc-tokens: {{ . }}
{{- end }}
{{- end -}}
