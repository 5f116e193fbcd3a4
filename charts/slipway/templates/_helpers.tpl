{{/* The chart's name, as it stands in labels. */}}
{{- define "slipway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of what is created: a DNS label, so at most 63 characters. */}}
{{- define "slipway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "slipway.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change during a release's life: a Deployment's selector cannot be edited. */}}
{{- define "slipway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "slipway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "slipway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "slipway.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: slipway
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "slipway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "slipway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name an existing ServiceAccount, or set serviceAccount.create" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image's reference, of (dict "image" … "registry" <fallback> "tag" <fallback>). */}}
{{- define "slipway.image" -}}
{{- $registry := .image.registry | default .registry -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest -}}@{{ .image.digest }}{{- else -}}:{{ .image.tag | default .tag }}{{- end -}}
{{- end -}}

{{- define "slipway.operatorImage" -}}
{{- include "slipway.image" (dict "image" .Values.image "registry" "" "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- define "slipway.installerImage" -}}
{{- if .Values.kwasmOperator.installerImage -}}
{{- .Values.kwasmOperator.installerImage -}}
{{- else -}}
{{- include "slipway.image" (dict "image" .Values.installer.image "registry" .Values.image.registry "tag" .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Where installer and canary pods run. */}}
{{- define "slipway.installerNamespace" -}}
{{- .Values.installer.namespace | default .Release.Namespace -}}
{{- end -}}

{{/* The PriorityClass that the chart makes. */}}
{{- define "slipway.priorityClass" -}}
{{- .Values.priorityClass.name | default (include "slipway.fullname" .) -}}
{{- end -}}

{{/* The PriorityClass of pods, of (dict "own" <theirs> "root" $): their own, or the chart's, or none. */}}
{{- define "slipway.priorityClassName" -}}
{{- if .own -}}
{{- .own -}}
{{- else if .root.Values.priorityClass.create -}}
{{- include "slipway.priorityClass" .root -}}
{{- end -}}
{{- end -}}

{{/* The ConfigMap by which the operator makes the Shim `slipway`. */}}
{{- define "slipway.defaultShimName" -}}
{{- printf "%s-default-shim" (include "slipway.fullname" . | trunc 50 | trimSuffix "-") -}}
{{- end -}}

{{/* The specification of that Shim, as JSON. */}}
{{- define "slipway.defaultShim" -}}
{{- $handlers := list -}}
{{- range .Values.handlers -}}
{{- $handlers = append $handlers (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- $names := list -}}
{{- range $handlers }}{{ $names = append $names .name }}{{ end -}}
{{- if ne (len $names) (len (uniq $names)) }}{{ fail "handlers: a handler is named twice" }}{{ end -}}
{{- $rollout := dict "type" .Values.shim.rollout.type -}}
{{- if eq .Values.shim.rollout.type "Rolling" -}}
{{- $_ := set $rollout "maxUnavailable" (int64 .Values.shim.rollout.maxUnavailable) -}}
{{- $_ := set $rollout "stopOnFailure" .Values.shim.rollout.stopOnFailure -}}
{{- end -}}
{{- $spec := dict "source" (dict "bundled" dict) "handlers" $handlers "rollout" $rollout -}}
{{- with .Values.shim.nodeSelector }}{{ $_ := set $spec "nodeSelector" . }}{{ end -}}
{{- with .Values.shim.startupTaints }}{{ $_ := set $spec "startupTaints" . }}{{ end -}}
{{- if .Values.shim.localImagePull }}{{ $_ := set $spec "localImagePull" true }}{{ end -}}
{{- if ne .Values.shim.leftovers "Keep" }}{{ $_ := set $spec "leftovers" .Values.shim.leftovers }}{{ end -}}
{{- toPrettyJson $spec -}}
{{- end -}}

{{/* Name of the first RuntimeClass. */}}
{{- define "slipway.firstClass" -}}
{{- $first := first .Values.handlers -}}
{{- if kindIs "string" $first -}}
{{- $first -}}
{{- else -}}
{{- dig "runtimeClass" "name" $first.name $first -}}
{{- end -}}
{{- end -}}
