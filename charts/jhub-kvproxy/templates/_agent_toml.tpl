{{- /* agent.toml: what the chart decides, and values.config over it. */}}

{{- define "kvproxy.config" -}}
{{- $prefixes := list }}
{{- range .Values.hubs }}{{ $prefixes = append $prefixes .prefix }}{{ end }}
{{- $proxy := dict "backend_class" .Values.store.backend "delivery" "agent" "prefix" (first $prefixes) }}
{{- $hub := dict "bind_url" "http://:8000" }}
{{- if and .Values.z2jh.release (eq (len $prefixes) 1) }}
{{- $_ := set $proxy "error_target" "http://hub:8081/hub/error" }}
{{- end }}
{{- if .Values.tls.existingSecret }}
{{- $hub = dict "bind_url" "https://:8443" "ssl_cert" (printf "/etc/kvproxy-tls/%s" .Values.tls.cert) "ssl_key" (printf "/etc/kvproxy-tls/%s" .Values.tls.key) }}
{{- $_ := set $proxy "redirect_http" 8000 }}
{{- $_ := set $proxy "redirect_http_to" 443 }}
{{- end }}
{{- $cycle := dict "requestAcceptGraceTimeout" (printf "%vs" .Values.draining.accept) "graceTimeOut" (printf "%vs" .Values.draining.finish) }}
{{- $points := dict }}
{{- range list "public" "api" }}
{{- $_ := set $points . (dict "transport" (dict "lifeCycle" $cycle)) }}
{{- end }}
{{- $_ := set $proxy "extra_static_config" (dict "entryPoints" $points) }}
{{- $agent := dict "ip" "" "hubs" $prefixes "cache" "/var/lib/kvproxy/table.json" }}
{{- mustMergeOverwrite (dict "JupyterHub" $hub "KVProxy" $proxy "Agent" $agent) (deepCopy .Values.config) | toJson }}
{{- end }}

{{- define "kvproxy.agentToml" -}}
{{- range $class, $options := include "kvproxy.config" . | fromJson }}
[{{ $class }}]
{{- range $name, $value := $options }}
{{- if not (kindIs "invalid" $value) }}
{{ $name }} = {{ include "kvproxy.toml" $value }}
{{- end }}
{{- end }}
{{ end }}
{{- end }}

{{- /* A value as TOML. Strings, numbers and booleans of JSON are TOML; toToml would write 80 as 80.0. */}}
{{- define "kvproxy.toml" -}}
{{- $parts := list }}
{{- if kindIs "map" . }}
{{- range $name, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{- $parts = append $parts (printf "%s = %s" (toJson $name) (include "kvproxy.toml" $value)) }}
{{- end }}
{{- end }}
{{- if $parts }}{ {{- join ", " $parts | printf " %s " -}} }{{ else }}{}{{ end }}
{{- else if kindIs "slice" . }}
{{- range . }}
{{- $parts = append $parts (include "kvproxy.toml" .) }}
{{- end }}
{{- printf "[%s]" (join ", " $parts) }}
{{- else }}
{{- toJson . }}
{{- end }}
{{- end }}
