{{/* Names and labels. Objects get suffixes of at most 11 characters, so a name has at most 52. */}}

{{- define "connector.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "connector.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- $name = .Release.Name -}}
{{- else -}}
{{- $name = printf "%s-%s" .Release.Name $name -}}
{{- end -}}
{{- /* A Service's name must begin with a letter; a release's need not. */ -}}
{{- if regexMatch "^[0-9]" $name -}}
{{- $name = printf "r%s" $name -}}
{{- end -}}
{{- /* What is cut off may be all that tells two charts of one release apart. */ -}}
{{- if gt (len $name) 52 -}}
{{- $name = printf "%s-%s" ($name | trunc 43 | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- end -}}
{{- $name | trimSuffix "-" -}}
{{- end -}}

{{- define "connector.selector" -}}
app.kubernetes.io/name: {{ include "connector.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: "connector"
{{- end -}}

{{/* Labels of an object: (list root more…). More wins over commonLabels, not over the chart's own. */}}
{{- define "connector.labels" -}}
{{- $root := first . -}}
{{- $version := $root.Values.image.tag | default $root.Chart.AppVersion | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- $all := dict
  "app.kubernetes.io/name" (include "connector.name" $root)
  "app.kubernetes.io/instance" $root.Release.Name
  "app.kubernetes.io/version" $version
  "app.kubernetes.io/managed-by" $root.Release.Service
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- range rest . -}}
{{- $all = merge $all . -}}
{{- end -}}
{{- range $key, $value := merge $all $root.Values.commonLabels }}
{{ $key | quote }}: {{ $value | toString | quote }}
{{- end -}}
{{- end -}}

{{/* metadata.annotations of an object: (list root more…); nothing at all if there are none. */}}
{{- define "connector.annotations" -}}
{{- $root := first . -}}
{{- $all := dict -}}
{{- range rest . -}}
{{- $all = merge $all . -}}
{{- end -}}
{{- $all = merge $all $root.Values.commonAnnotations -}}
{{- if $all }}
annotations:
  {{- range $key, $value := $all }}
  {{ $key | quote }}: {{ $value | toString | quote }}
  {{- end }}
{{- end -}}
{{- end -}}

{{- define "connector.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "connector.fullname" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "connector.image" -}}
{{- $image := .Values.image -}}
{{- $repository := list $image.registry $image.repository | compact | join "/" -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "connector.configMap" -}}
{{- .Values.existingConfigMap | default (printf "%s-config" (include "connector.fullname" .)) -}}
{{- end -}}
