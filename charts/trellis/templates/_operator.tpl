{{/* Whether a Deployment runs an operator of ours. Labels are anybody's, and an overlay may have changed
those of one. */}}
{{- define "trellis.isOperator" -}}
{{- $is := false }}
{{- range .spec.template.spec.containers }}
{{- if eq .name "operator" }}
{{- range .env }}
{{- $is = or $is (hasPrefix "TRELLIS_" .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if $is }}true{{ end }}
{{- end }}
