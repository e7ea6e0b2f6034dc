{{/* What reconciling Applications takes, in the whole cluster or in one namespace. */}}
{{- define "trellis.applicationRules" -}}
- apiGroups: [core.oam.dev]
  resources: [applications]
  # Patched for the finalizer; the spec is its author's.
  verbs: [list, watch, patch]
- apiGroups: [core.oam.dev]
  resources: [applications/status]
  verbs: [update]
- apiGroups: [core.oam.dev]
  resources: [applicationrevisions]
  verbs: [list, watch, create, delete]
- apiGroups: [core.oam.dev]
  resources: [applicationrevisions/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* What finding the Applications takes that still need the operator. */}}
{{- define "trellis.guardRules" -}}
- apiGroups: [core.oam.dev]
  resources: [applications]
  verbs: [list]
{{- end }}
