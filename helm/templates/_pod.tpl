{{/* The pod: one for Deployment and StatefulSet, and its parts for the hook and the test. */}}

{{- define "connector.podSecurity" -}}
{{- $context := deepCopy .Values.podSecurityContext -}}
{{- if .Values.openshift -}}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" "fsGroupChangePolicy" -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "connector.containerSecurity" -}}
{{- $context := deepCopy .Values.securityContext -}}
{{- if .Values.openshift -}}
{{- $context = omit $context "runAsUser" "runAsGroup" -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* What every pod of the chart has. */}}
{{- define "connector.podCommon" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "connector.podSecurity" . | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- range $key, $value := . }}
  {{ $key | quote }}: {{ $value | toString | quote }}
  {{- end }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A container of the connector's image. Arguments: root, name, arguments, provision. */}}
{{- define "connector.container" -}}
{{- $values := .root.Values -}}
name: {{ .name | quote }}
image: {{ include "connector.image" .root | quote }}
imagePullPolicy: {{ $values.image.pullPolicy | quote }}
args: {{ .arguments | toJson }}
securityContext:
  {{- include "connector.containerSecurity" .root | nindent 2 }}
env:
  - name: "ZCK_CONFIG"
    value: "/etc/zendesk-chat-kafka/config/config.yaml"
  - name: "ZCK_HTTP__HOST"
    value: {{ $values.http.host | quote }}
  - name: "ZCK_HTTP__PORT"
    value: {{ $values.http.port | int | quote }}
  - name: "ZCK_SHUTDOWN_TIMEOUT"
    value: {{ $values.shutdown.drainSeconds | int | printf "%ds" | quote }}
  {{- if $values.persistence.enabled }}
  - name: "ZCK_BUFFER__DISK__PATH"
    value: "/var/lib/zendesk-chat-kafka"
  {{- end }}
  {{- include "connector.secretEnv" . | nindent 2 }}
  {{- with $values.extraEnv }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
{{- with $values.extraEnvFrom }}
envFrom:
  {{- tpl (toYaml .) $.root | nindent 2 }}
{{- end }}
volumeMounts:
  - name: "config"
    mountPath: "/etc/zendesk-chat-kafka/config"
    readOnly: true
  - name: "tmp"
    mountPath: "/tmp"
  {{- include "connector.secretMounts" . | nindent 2 }}
  {{- with $values.extraVolumeMounts }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Volumes of a pod. Arguments: root, configMap, provision (list of booleans, one per kind of container). */}}
{{- define "connector.volumes" -}}
{{- $parts := list -}}
{{- range .provision -}}
{{- $parts = concat $parts (include "connector.parts" (dict "root" $.root "provision" .) | fromJsonArray) -}}
{{- end -}}
- name: "config"
  configMap:
    name: {{ .configMap | quote }}
- name: "tmp"
  emptyDir:
    sizeLimit: "64Mi"
{{- include "connector.secretVolumes" (uniq $parts) }}
{{- with .root.Values.extraVolumes }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end -}}

{{- define "connector.probe" -}}
httpGet:
  path: {{ .path | quote }}
  port: "http"
periodSeconds: {{ .numbers.periodSeconds | int }}
timeoutSeconds: {{ .numbers.timeoutSeconds | int }}
failureThreshold: {{ .numbers.failureThreshold | int }}
{{- end -}}

{{- define "connector.spread" -}}
{{- $constraints := .Values.topologySpreadConstraints -}}
{{- if kindIs "invalid" $constraints }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . | quote }}
    maxSkew: 1
    whenUnsatisfiable: "ScheduleAnyway"
    labelSelector:
      matchLabels:
        {{- include "connector.selector" $ | nindent 8 }}
    {{- if not $.Values.persistence.enabled }}
    matchLabelKeys: ["pod-template-hash"]
    {{- end }}
  {{- end }}
{{- else if $constraints }}
topologySpreadConstraints:
  {{- tpl (toYaml $constraints) . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Annotations of the pod template, as JSON. The checksum is over the configuration alone: labels change often. */}}
{{- define "connector.podAnnotations" -}}
{{- $annotations := tpl (toJson .Values.podAnnotations) . | fromJson -}}
{{- if not .Values.existingConfigMap -}}
{{- $annotations = merge (dict "checksum/config" (toJson .Values.config | sha256sum)) $annotations -}}
{{- end -}}
{{- $annotations | toJson -}}
{{- end -}}

{{- define "connector.workloadAnnotations" -}}
{{- $annotations := deepCopy .Values.workloadAnnotations -}}
{{- if eq .Values.secrets.reload "rollout" -}}
{{- $names := list -}}
{{- range list false true -}}
{{- range include "connector.parts" (dict "root" $ "provision" .) | fromJsonArray -}}
{{- $names = append $names .secret -}}
{{- end -}}
{{- end -}}
{{- $annotations = merge (dict "secret.reloader.stakater.com/reload" (uniq $names | sortAlpha | join ",")) $annotations -}}
{{- end -}}
{{- $annotations | toJson -}}
{{- end -}}

{{- define "connector.podTemplate" -}}
{{- $arguments := eq .Values.provision.mode "strimzi" | ternary (list "provision" "--schemas-only") (list "provision") -}}
{{- $provisions := has .Values.provision.mode (list "init" "strimzi") -}}
metadata:
  labels:
    {{- include "connector.selector" . | nindent 4 }}
    {{- range $key, $value := .Values.podLabels }}
    {{ $key | quote }}: {{ $value | toString | quote }}
    {{- end }}
  {{- with include "connector.podAnnotations" . | fromJson }}
  annotations:
    {{- range $key, $value := . }}
    {{ $key | quote }}: {{ $value | toString | quote }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "connector.serviceAccount" . | quote }}
  terminationGracePeriodSeconds: {{ .Values.shutdown.terminationGracePeriodSeconds | int }}
  {{- include "connector.podCommon" . | nindent 2 }}
  {{- with .Values.affinity }}
  affinity:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- include "connector.spread" . | indent 2 }}
  {{- if or $provisions .Values.initContainers }}
  initContainers:
    {{- if $provisions }}
    - {{- include "connector.container" (dict "root" . "name" "zendesk-chat-kafka-provision" "arguments" $arguments "provision" true) | nindent 6 }}
      resources:
        {{- toYaml .Values.provision.resources | nindent 8 }}
    {{- end }}
    {{- with .Values.initContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - {{- include "connector.container" (dict "root" . "name" "zendesk-chat-kafka" "arguments" (list "run") "provision" false) | nindent 6 }}
        {{- if .Values.persistence.enabled }}
        - name: "buffer"
          mountPath: "/var/lib/zendesk-chat-kafka"
        {{- end }}
      ports:
        - name: "http"
          containerPort: {{ .Values.http.port | int }}
          protocol: "TCP"
      startupProbe:
        {{- include "connector.probe" (dict "path" "/livez" "numbers" .Values.probes.startup) | nindent 8 }}
      livenessProbe:
        {{- include "connector.probe" (dict "path" "/livez" "numbers" .Values.probes.liveness) | nindent 8 }}
      readinessProbe:
        {{- include "connector.probe" (dict "path" "/readyz" "numbers" .Values.probes.readiness) | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
    {{- with .Values.extraContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  volumes:
    {{- $kinds := $provisions | ternary (list false true) (list false) }}
    {{- include "connector.volumes" (dict "root" . "configMap" (include "connector.configMap" .) "provision" $kinds) | nindent 4 }}
{{- end -}}
