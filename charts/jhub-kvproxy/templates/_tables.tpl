{{- /* The names of the objects that have a hub's table, as the backend chooses them, by the hub's prefix. */}}

{{- define "kvproxy.table" -}}
{{- if and (le (len .) 40) (regexMatch "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" .) -}}
kvproxy-{{ . }}
{{- else -}}
{{- $slug := regexReplaceAll "[^A-Za-z0-9]+" . "-" | lower | trimAll "-" | trunc 31 | trimAll "-" -}}
kvproxy-{{ with $slug }}{{ . }}-{{ end }}{{ sha256sum . | trunc 8 }}
{{- end }}
{{- end }}

{{- /* Refuses hubs that would share a table, and a name of the chart's objects that is a table's. */}}
{{- define "kvproxy.checkTables" -}}
{{- if not .Values.hubs }}
{{- fail "\n\nhubs is empty: there is nobody to serve.\n" }}
{{- end }}
{{- $tables := dict }}
{{- range .Values.hubs }}
{{- $table := include "kvproxy.table" .prefix }}
{{- if hasKey $tables $table }}
{{- fail (printf "\n\nTwo hubs have the prefix %s, or one with the same table, %s. Each needs its own.\n" .prefix $table) }}
{{- end }}
{{- $_ := set $tables $table true }}
{{- end }}
{{- if hasKey $tables (include "kvproxy.fullname" .) }}
{{- fail (printf "\n\n%s is the name of a hub's table. Give the release, or fullnameOverride, another.\n" (include "kvproxy.fullname" .)) }}
{{- end }}
{{- end }}

{{- /* The slots of a table's bases. */}}
{{- define "kvproxy.slots" -}}
{{- $table := include "kvproxy.table" . }}
{{- range $slot := until 16 }}
- {{ $table }}.{{ $slot }}
{{- end }}
{{- end }}
