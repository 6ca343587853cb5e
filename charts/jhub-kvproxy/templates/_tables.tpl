{{- /* The names of the objects that have a hub's table, as the backend chooses them, by the hub's prefix. */}}

{{- define "kvproxy.table" -}}
{{- if and (le (len .) 40) (regexMatch "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" .) -}}
kvproxy-{{ . }}
{{- else -}}
{{- $slug := regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trimAll "-" | trunc 31 | trimAll "-" -}}
kvproxy-{{ with $slug }}{{ . }}-{{ end }}{{ sha256sum . | trunc 8 }}
{{- end }}
{{- end }}

{{- /* The slots of a table's bases. */}}
{{- define "kvproxy.slots" -}}
{{- $table := include "kvproxy.table" . }}
{{- range $slot := until 16 }}
- {{ $table }}.{{ $slot }}
{{- end }}
{{- end }}
