{{- /* The names of the objects that have a hub's table, as the backend chooses them, by the hub's prefix. */}}

{{- define "kvproxy.table" -}}
{{- if and (le (len .) 40) (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" .) -}}
kvproxy-{{ . }}
{{- else -}}
kvproxy-{{ regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trimAll "-" | trunc 40 | trimAll "-" }}-{{ sha256sum . | trunc 8 }}
{{- end }}
{{- end }}

{{- /* The head and its 16 slots, as JSON. */}}
{{- define "kvproxy.configMaps" -}}
{{- $table := include "kvproxy.table" . }}
{{- $names := list $table }}
{{- range $slot := until 16 }}
{{- $names = append $names (printf "%s-%d" $table $slot) }}
{{- end }}
{{- toJson $names }}
{{- end }}
