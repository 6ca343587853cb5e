{{- /* Pods prefer different zones. A topologySpreadConstraint for zones would leave out nodes that have none. */}}

{{- define "kvproxy.affinity" -}}
{{- $selector := dict "matchLabels" (include "kvproxy.selector" . | fromYaml) }}
{{- $term := dict "topologyKey" "topology.kubernetes.io/zone" "labelSelector" $selector }}
{{- $preferred := list (dict "weight" 100 "podAffinityTerm" $term) }}
{{- $own := dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" $preferred) }}
{{- mustMergeOverwrite $own (deepCopy .Values.affinity) | toYaml }}
{{- end }}
