{{- /* Names and labels. */}}

{{- define "kvproxy.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Short enough for "-agents" to follow in the name of a Service. */}}
{{- define "kvproxy.fullname" -}}
{{- $name := include "kvproxy.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "kvproxy.selector" -}}
app.kubernetes.io/name: {{ include "kvproxy.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "kvproxy.labels" -}}
{{ include "kvproxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* What makes z2jh's Service proxy-public lead to our pods, and its NetworkPolicies admit them. */}}
{{- define "kvproxy.z2jhLabels" -}}
{{- with .Values.z2jh.release }}
app: {{ $.Values.z2jh.name | quote }}
component: proxy
release: {{ quote . }}
{{ end -}}
hub.jupyter.org/network-access-hub: "true"
hub.jupyter.org/network-access-singleuser: "true"
{{- end }}

{{- define "kvproxy.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* The Secret with the token, as "name key". */}}
{{- define "kvproxy.token" -}}
{{- $secret := .Values.token.existingSecret }}
{{- $key := .Values.token.key }}
{{- if $secret }}
{{- $secret }} {{ $key | default "token" }}
{{- else if .Values.z2jh.release -}}
hub {{ $key | default "hub.config.ConfigurableHTTPProxy.auth_token" }}
{{- else }}
{{- fail "\n\nSet z2jh.release to the name of the Helm release of Zero to JupyterHub in this namespace. For another hub, set token.existingSecret to a Secret whose key `token` has the hub's KVPROXY_AGENT_TOKEN.\n" }}
{{- end }}
{{- end }}
