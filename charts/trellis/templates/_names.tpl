{{/* One installation's name: that of its release. Objects of the cluster carry it too. */}}
{{- define "trellis.name" -}}
{{- .Release.Name }}
{{- end }}

{{/* What tells the operator's Pods from all others; a Deployment can never change it. */}}
{{- define "trellis.selector" -}}
app.kubernetes.io/name: trellis
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "trellis.labels" -}}
{{ include "trellis.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "trellis.podAnnotations" -}}
kubectl.kubernetes.io/default-container: operator
{{- end }}

{{- define "trellis.image" -}}
{{- $image := .Values.image }}
{{- $repository := required "image.repository is not set; say where the image of `make image` was pushed, such as registry.example/trellis" $image.repository }}
{{- if $image.digest }}
{{- printf "%s@%s" $repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository ($image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* The Secrets that the operator may read: those that are listed, and the first lattice's. */}}
{{- define "trellis.secrets" -}}
{{- $first := and .Values.lattice.create .Values.lattice.credentialsSecret }}
{{- concat .Values.secrets (ternary (list $first) (list) (not (empty $first))) | uniq | sortAlpha | toJson }}
{{- end }}

{{/* Whether uninstalling removes the CustomResourceDefinitions. */}}
{{- define "trellis.removesCrds" -}}
{{- if and .Values.crds.enabled (not .Values.crds.keep) }}true{{ end }}
{{- end }}

{{/* The Lease that replicas share; an installation with a class has its own. */}}
{{- define "trellis.lease" -}}
{{- if .Values.controllerClass }}trellis-{{ .Values.controllerClass }}{{ else }}trellis{{ end }}
{{- end }}

{{- define "trellis.containerImage" -}}
image: {{ include "trellis.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* Which objects are this installation's. */}}
{{- define "trellis.scope" -}}
- name: TRELLIS_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
{{- with .Values.controllerClass }}
- name: TRELLIS_CONTROLLER_CLASS
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Who and where the operator is, what is its own, and how it speaks. */}}
{{- define "trellis.settings" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{ include "trellis.scope" . }}
- name: TRELLIS_LEADER_ELECT
  value: "true"
- name: TRELLIS_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
{{- with .Values.log.filter }}
- name: TRELLIS_LOG
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{/* What all Pods have: where they run, and what PodSecurity's restricted level asks. */}}
{{- define "trellis.podSettings" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "trellis.podSecurity" . | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{/* What PodSecurity's restricted level asks of a Pod. */}}
{{- define "trellis.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* And of its containers. */}}
{{- define "trellis.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
