{{/* What the release that runs has put its finalizer on and this one would not act on, as a JSON list
of names; empty where no cluster is asked, and without the guard. */}}
{{- define "trellis.leftBehind" -}}
{{- $left := list }}
{{- $class := .Values.controllerClass }}
{{- $namespaces := .Values.watchNamespaces }}
{{- $has := .Capabilities.APIVersions }}
{{- $known := and ($has.Has "core.oam.dev/v1beta1/Application") ($has.Has "lattice.oam.dev/v1alpha1/Lattice") }}
{{- $deployment := lookup "apps/v1" "Deployment" .Release.Namespace (include "trellis.name" .) }}
{{- if and .Values.guard.enabled $known $deployment }}
{{- $was := include "trellis.scopeOf" $deployment | fromJson }}
{{- $otherClass := ne $was.class $class }}
{{- if or $otherClass $namespaces }}
{{- range $place := $was.namespaces | default (list "") }}
{{- range (lookup "core.oam.dev/v1beta1" "Application" $place "").items }}
{{- $inside := and (not $otherClass) (or (not $namespaces) (has .metadata.namespace $namespaces)) }}
{{- if and (include "trellis.isHeld" (list . $was.class)) (not $inside) }}
{{- $left = append $left (printf "Application %s/%s" .metadata.namespace .metadata.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if $otherClass }}
{{- $handed := and .Values.lattice.create (not (include "trellis.latticeLeft" .)) }}
{{- $own := ternary .Values.lattice.name "" $handed }}
{{- range (lookup "lattice.oam.dev/v1alpha1" "Lattice" "" "").items }}
{{- if and (include "trellis.isHeld" (list . $was.class)) (ne .metadata.name $own) }}
{{- $left = append $left (printf "Lattice %s" .metadata.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $left | toJson }}
{{- end }}

{{/* Which objects the operator of a Deployment acts on, as JSON. */}}
{{- define "trellis.scopeOf" -}}
{{- $set := dict }}
{{- range .spec.template.spec.containers }}
{{- if eq .name "operator" }}
{{- range .env }}
{{- $_ := set $set .name (.value | default "") }}
{{- end }}
{{- end }}
{{- end }}
{{- $namespaces := without (get $set "TRELLIS_WATCH_NAMESPACES" | splitList ",") "" }}
{{- dict "class" (get $set "TRELLIS_CONTROLLER_CLASS") "namespaces" $namespaces | toJson }}
{{- end }}

{{/* The first of a JSON list's names, and how many more there are. */}}
{{- define "trellis.named" -}}
{{- $all := fromJsonArray . }}
{{- $shown := slice $all 0 (min 10 (len $all) | int) }}
{{- join ", " $shown }}
{{- with sub (len $all) (len $shown) }} and {{ . }} more{{ end }}
{{- end }}

{{/* Whether an object has our finalizer and is of a class. */}}
{{- define "trellis.isHeld" -}}
{{- $metadata := (index . 0).metadata }}
{{- $class := dig "annotations" "lattice.oam.dev/controller-class" "" $metadata }}
{{- range $metadata.finalizers }}
{{- if and (eq $class (index $ 1)) (has . (list "lattice.oam.dev/cleanup" "lattice.oam.dev/in-use")) }}true{{ end }}
{{- end }}
{{- end }}

{{/* How long a duration is that the schema lets through. */}}
{{- define "trellis.milliseconds" -}}
{{- $form := "^(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?$" }}
{{- $parts := regexReplaceAll $form . "0${1} 0${2} 0${3} 0${4}" | splitList " " }}
{{- $seconds := add (mul 3600 (index $parts 0 | atoi)) (mul 60 (index $parts 1 | atoi)) (index $parts 2 | atoi) }}
{{- add (mul 1000 $seconds) (index $parts 3 | atoi) }}
{{- end }}
