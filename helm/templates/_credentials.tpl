{{/* Secrets as files: which are mounted, and the settings that name their files. */}}

{{/* One part as YAML: name of its volume, secret, and files (setting -> key). Arguments: name, part, settings. */}}
{{- define "connector.part" -}}
{{- $part := .part -}}
{{- $files := dict -}}
{{- range $setting, $key := $part.keys -}}
{{- if $key -}}
{{- $_ := set $files (get $.settings $setting | default (printf "KAFKA__PROPERTY_FILES__%s" (upper $setting | replace "." "_"))) $key -}}
{{- end -}}
{{- end -}}
{{- dict "name" .name "secret" $part.existingSecret "files" $files | toJson -}}
{{- end -}}

{{/* JSON list of the mounted parts. Arguments: root, provision (true: with the credentials that may create). */}}
{{- define "connector.parts" -}}
{{- $secrets := .root.Values.secrets -}}
{{- $own := .root.Values.provision -}}
{{- $registry := dict
  "password" "REGISTRY__BASIC__PASSWORD_FILE" "token" "REGISTRY__TOKEN_FILE" "ca" "REGISTRY__CA_FILE" -}}
{{- $source := dict
  "token" "SOURCE__TOKEN_FILE" "clientSecret" "SOURCE__OAUTH__CLIENT_SECRET_FILE" "ca" "SOURCE__CA_FILE" -}}
{{- $all := list
  (dict "name" "source" "part" $secrets.source "settings" $source)
  (dict "name" "http" "part" $secrets.http "settings" (dict "token" "HTTP__TOKEN_FILE"))
  (dict "name" "kafka-tls" "part" $secrets.kafkaTls "settings" dict) -}}
{{- if and .provision $own.kafka.existingSecret -}}
{{- $all = append $all (dict "name" "provision-kafka" "part" $own.kafka "settings" dict) -}}
{{- else -}}
{{- $all = append $all (dict "name" "kafka" "part" $secrets.kafka "settings" dict) -}}
{{- end -}}
{{- if and .provision $own.schemaRegistry.existingSecret -}}
{{- $all = append $all (dict "name" "provision-registry" "part" $own.schemaRegistry "settings" $registry) -}}
{{- else -}}
{{- $all = append $all (dict "name" "registry" "part" $secrets.schemaRegistry "settings" $registry) -}}
{{- end -}}
{{- $mounted := list -}}
{{- range $all -}}
{{- if .part.existingSecret -}}
{{- $mounted = append $mounted (include "connector.part" . | fromJson) -}}
{{- end -}}
{{- end -}}
{{- $mounted | toJson -}}
{{- end -}}

{{- define "connector.secretEnv" -}}
{{- range include "connector.parts" . | fromJsonArray }}
{{- $part := . }}
{{- range $setting, $key := .files }}
- name: {{ printf "ZCK_%s" $setting | quote }}
  value: {{ printf "/etc/zendesk-chat-kafka/secrets/%s/%s" $part.name $key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "connector.secretMounts" -}}
{{- range include "connector.parts" . | fromJsonArray }}
- name: {{ printf "secret-%s" .name | quote }}
  mountPath: {{ printf "/etc/zendesk-chat-kafka/secrets/%s" .name | quote }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* Volumes of the parts in the JSON list. */}}
{{- define "connector.secretVolumes" -}}
{{- range . }}
- name: {{ printf "secret-%s" .name | quote }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
    items:
      {{- range $key := values .files | uniq | sortAlpha }}
      - key: {{ $key | quote }}
        path: {{ $key | quote }}
      {{- end }}
{{- end }}
{{- end -}}
