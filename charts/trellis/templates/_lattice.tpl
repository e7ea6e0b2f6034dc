{{/* The first Lattice's spec, as the values have it, as JSON. */}}
{{- define "trellis.latticeWanted" -}}
{{- $nats := dict "urls" .Values.lattice.urls }}
{{- with .Values.lattice.credentialsSecret }}
{{- $nats = set $nats "credentialsSecret" (dict "name" .) }}
{{- end }}
{{- mergeOverwrite (dict "default" true "nats" $nats) (deepCopy .Values.lattice.spec) | toJson }}
{{- end }}

{{/* Whether there are Lattices to ask for. */}}
{{- define "trellis.latticesKnown" -}}
{{- if .Capabilities.APIVersions.Has "lattice.oam.dev/v1alpha1/Lattice" }}true{{ end }}
{{- end }}

{{/* The Lattice of the first one's name that the cluster has, as JSON; empty where none is asked. */}}
{{- define "trellis.latticeThere" -}}
{{- $there := dict }}
{{- if include "trellis.latticesKnown" . }}
{{- $there = lookup "lattice.oam.dev/v1alpha1" "Lattice" "" .Values.lattice.name | default dict }}
{{- end }}
{{- $there | toJson }}
{{- end }}

{{/* What the values made of its spec when it was last applied, as JSON. */}}
{{- define "trellis.latticeLast" -}}
{{- dig "metadata" "annotations" "lattice.oam.dev/spec-by-chart" "{}" . }}
{{- end }}

{{/* The release that an object belongs to, as NAMESPACE/NAME. */}}
{{- define "trellis.releaseOf" -}}
{{- $of := dig "annotations" dict .metadata }}
{{- with get $of "meta.helm.sh/release-name" }}
{{- printf "%s/%s" (get $of "meta.helm.sh/release-namespace") . }}
{{- end }}
{{- end }}

{{/* Whether Helm patches what it has made. It takes an object up then without changing it, and makes no
hook where there is one already. */}}
{{- define "trellis.patched" -}}
{{- if semverCompare "<4.0.0-0" .Capabilities.HelmVersion.Version }}true{{ end }}
{{- with lookup "apps/v1" "Deployment" .Release.Namespace (include "trellis.name" .) }}
{{- $operations := list }}
{{- range .metadata.managedFields }}
{{- $operations = append $operations .operation }}
{{- end }}
{{- if not (has "Apply" $operations) }}true{{ end }}
{{- end }}
{{- end }}

{{/* The spec to apply and the paths that keep what somebody else made of them, as JSON: of what the values
say as before, whatever the Lattice has by now. */}}
{{- define "trellis.latticeMerged" -}}
{{- $spec := dict }}
{{- $kept := list }}
{{- range $key, $value := .wanted }}
{{- $was := get $.last $key }}
{{- $is := get $.there $key }}
{{- $same := and (hasKey $.last $key) (eq (toJson $value) (toJson $was)) }}
{{- if and (kindIs "map" $value) (kindIs "map" $was) (kindIs "map" $is) }}
{{- $inner := dict "wanted" $value "last" $was "there" $is "at" (printf "%s.%s" $.at $key) }}
{{- $inner = include "trellis.latticeMerged" $inner | fromJson }}
{{- $_ := set $spec $key $inner.spec }}
{{- range $inner.kept }}
{{- $kept = append $kept . }}
{{- end }}
{{- else if and $same (ne (toJson $value) (toJson $is)) }}
{{- $kept = append $kept (printf "%s.%s" $.at $key) }}
{{- if hasKey $.there $key }}
{{- $_ := set $spec $key $is }}
{{- end }}
{{- else }}
{{- $_ := set $spec $key $value }}
{{- end }}
{{- end }}
{{- dict "spec" $spec "kept" $kept | toJson }}
{{- end }}

{{/* The same for the first Lattice as a whole. */}}
{{- define "trellis.latticeApplied" -}}
{{- $there := include "trellis.latticeThere" . | fromJson }}
{{- $wanted := include "trellis.latticeWanted" . | fromJson }}
{{- if $there }}
{{- $last := include "trellis.latticeLast" $there | fromJson }}
{{- include "trellis.latticeMerged" (dict "wanted" $wanted "last" $last "there" $there.spec "at" "spec") }}
{{- else }}
{{- dict "spec" $wanted "kept" list | toJson }}
{{- end }}
{{- end }}

{{/* Whether this release leaves the Lattice that there is to its users. */}}
{{- define "trellis.latticeLeft" -}}
{{- if and (include "trellis.patched" .) (include "trellis.latticeThere" . | fromJson) }}true{{ end }}
{{- end }}
