{{/* What the schema cannot say. Every mistake is collected and all are named at once. */}}

{{- define "connector.validate" -}}
{{- $problems := list -}}
{{- range list "connector.problemsOfConfig" "connector.problemsOfSecrets" "connector.problemsOfProvision" "connector.problemsOfPods" -}}
{{- $problems = concat $problems (include . $ | splitList "\n") -}}
{{- end -}}
{{- $problems = compact $problems -}}
{{- if $problems -}}
{{- fail (printf "\n%d wrong in the values:\n  - %s\n" (len $problems) (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "connector.problemsOfConfig" -}}
{{- $config := .Values.config -}}
{{- if and $config .Values.existingConfigMap }}
config stands beside existingConfigMap; remove one of the two
{{- end -}}
{{- if not .Values.existingConfigMap -}}
{{- range list "account" "kafka.bootstrap_servers" "registry.urls" "subscriptions" -}}
{{- $found := $config -}}
{{- range splitList "." . -}}
{{- $found = get (default dict $found) . -}}
{{- end -}}
{{- if not $found }}
config.{{ . }} is missing; set it, or name a ConfigMap in existingConfigMap
{{- end -}}
{{- end -}}
{{- end -}}
{{- $source := $config.source | default dict -}}
{{- $registry := $config.registry | default dict -}}
{{- $oauth := $source.oauth | default dict -}}
{{- $urls := dict "source.url" $source.url "source.rest_url" $source.rest_url "source.departments_url" $source.departments_url "source.oauth.token_url" $oauth.token_url -}}
{{- range $at, $url := $registry.urls -}}{{- $_ := set $urls (printf "registry.urls[%d]" $at) $url -}}{{- end -}}
{{- range $place, $url := $urls -}}
{{- /* Not in the schema, since what it refuses is repeated on the terminal. */ -}}
{{- if and $url (not (regexMatch `^[a-z]+://[^/@\s]+(/[^?#\s]*)?$` $url)) }}
config.{{ $place }} is no scheme://host/path without user, password and query; put credentials into Secrets
{{- end -}}
{{- end -}}
{{- $buffer := $config.buffer | default dict -}}
{{- $disk := $buffer.disk | default dict -}}
{{- if and .Values.persistence.enabled $disk.path }}
config.buffer.disk.path stands beside persistence.enabled, which sets it; remove one of the two
{{- end -}}
{{- if and $disk (not .Values.persistence.enabled) (not $disk.path) }}
config.buffer.disk needs a volume; set persistence.enabled: true
{{- end -}}
{{- if .Values.persistence.enabled -}}{{- else if $disk.path -}}
{{- if not .Values.extraVolumeMounts }}
config.buffer.disk.path is on a read-only file system; set persistence.enabled: true instead, or mount a volume there
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Arguments: root, place, part, needs (keys of which exactly one is used; empty: any). */}}
{{- define "connector.problemsOfPart" -}}
{{- $used := list -}}
{{- range $setting, $key := .part.keys -}}
{{- if $key -}}{{- $used = append $used $setting -}}{{- end -}}
{{- end -}}
{{- if .part.existingSecret -}}
{{- if not $used }}
{{ .place }}.keys names no key of {{ .part.existingSecret }}; name one
{{- end -}}
{{- $found := list -}}
{{- range .needs -}}{{- if has . $used -}}{{- $found = append $found . -}}{{- end -}}{{- end -}}
{{- if gt (len $found) 1 }}
{{ .place }}.keys names {{ join " and " $found }}; set all but one to ""
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "connector.problemsOfSecrets" -}}
{{- $secrets := .Values.secrets -}}
{{- $config := .Values.config -}}
{{- $source := $config.source | default dict -}}
{{- $http := $config.http | default dict -}}
{{- $kafka := $config.kafka | default dict -}}
{{- $registry := $config.registry | default dict -}}
{{- $alternatives := list "password" "token" -}}
{{- range list
  (dict "place" "secrets.source" "part" $secrets.source "needs" (list "token" "clientSecret"))
  (dict "place" "secrets.http" "part" $secrets.http "needs" list)
  (dict "place" "secrets.kafka" "part" $secrets.kafka "needs" list)
  (dict "place" "secrets.kafkaTls" "part" $secrets.kafkaTls "needs" list)
  (dict "place" "secrets.schemaRegistry" "part" $secrets.schemaRegistry "needs" $alternatives)
  (dict "place" "provision.kafka" "part" .Values.provision.kafka "needs" list)
  (dict "place" "provision.schemaRegistry" "part" .Values.provision.schemaRegistry "needs" $alternatives) -}}
{{- include "connector.problemsOfPart" . -}}
{{- end -}}
{{- if not .Values.existingConfigMap -}}
{{- $oauth := $source.oauth | default dict -}}
{{- $inFile := or $source.token_file $oauth.client_secret_file -}}
{{- if and $secrets.source.existingSecret $inFile }}
config.source names a file with a credential and secrets.source.existingSecret another; remove one of the two
{{- else if not (or $secrets.source.existingSecret $inFile) }}
secrets.source.existingSecret is missing; name the Secret with the token of the Streaming API
{{- end -}}
{{- if and $secrets.source.existingSecret $secrets.source.keys.clientSecret (not $source.oauth) }}
secrets.source.keys.clientSecret needs config.source.oauth with client_id
{{- end -}}
{{- if and $secrets.source.existingSecret $secrets.source.keys.token $source.oauth }}
config.source.oauth stands beside secrets.source.keys.token; set keys.token to "" and name keys.clientSecret
{{- end -}}
{{- $open := $http.allow_unauthenticated -}}
{{- if and $secrets.http.existingSecret (or $http.token_file $open) }}
config.http names another access than secrets.http.existingSecret; remove one of the two
{{- else if not (or $secrets.http.existingSecret $http.token_file $open) }}
secrets.http.existingSecret is missing; name the Secret with the token for the metrics, or set config.http.allow_unauthenticated: true
{{- end -}}
{{- $protocol := get ($kafka.properties | default dict) "security.protocol" | toString | upper -}}
{{- if and (hasPrefix "SASL" $protocol) (not $secrets.kafka.existingSecret) (not $kafka.property_files) }}
config.kafka.properties asks for {{ $protocol }} and secrets.kafka.existingSecret is missing; name the Secret with the credentials
{{- end -}}
{{- $basic := $registry.basic | default dict -}}
{{- range list $secrets.schemaRegistry .Values.provision.schemaRegistry -}}
{{- if and .existingSecret .keys.password (not .keys.token) (not $basic.username) }}
config.registry.basic.username is missing; the password of Secret {{ .existingSecret }} needs it
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "connector.problemsOfProvision" -}}
{{- $provision := .Values.provision -}}
{{- if and .Values.existingConfigMap (has $provision.mode (list "hook" "strimzi")) }}
provision.mode {{ $provision.mode }} needs config, since a hook runs before other objects and topics are made from it; set provision.mode: init, or move existingConfigMap into config
{{- end -}}
{{- if eq $provision.mode "strimzi" -}}
{{- if not $provision.strimzi.cluster }}
provision.strimzi.cluster is missing; name the Kafka object
{{- end -}}
{{- $topics := .Values.config.topics | default dict -}}
{{- if contains "{department}" ($topics.metrics | default "") }}
provision.mode strimzi cannot know the departments in config.topics.metrics; set provision.mode: init
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "connector.problemsOfPods" -}}
{{- $values := .Values -}}
{{- $drain := $values.shutdown.drainSeconds | int -}}
{{- $grace := $values.shutdown.terminationGracePeriodSeconds | int -}}
{{- if lt $grace (add $drain 5 | int) }}
shutdown.terminationGracePeriodSeconds: {{ $grace }} is less than drainSeconds + 5; set {{ add $drain 5 }} or more
{{- end -}}
{{- $pdb := $values.podDisruptionBudget -}}
{{- if $pdb.enabled -}}
{{- $both := and (not (kindIs "invalid" $pdb.maxUnavailable)) (not (kindIs "invalid" $pdb.minAvailable)) -}}
{{- $none := and (kindIs "invalid" $pdb.maxUnavailable) (kindIs "invalid" $pdb.minAvailable) -}}
{{- if or $both $none }}
podDisruptionBudget needs one of maxUnavailable and minAvailable; set the other to null
{{- end -}}
{{- if and (not $both) (not (kindIs "invalid" $pdb.minAvailable)) (not (kindIs "invalid" $values.replicas)) (not (kindIs "string" $pdb.minAvailable)) -}}
{{- if and (gt ($values.replicas | int) 1) (ge ($pdb.minAvailable | int) ($values.replicas | int)) }}
podDisruptionBudget.minAvailable: {{ $pdb.minAvailable | int }} of {{ $values.replicas | int }} replicas would block every drain of a node; lower it
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $values.image.digest -}}
{{- if not (regexMatch "^sha256:[0-9a-f]{64}$" .) }}
image.digest: {{ . | quote }} is no digest; write sha256: and 64 hexadecimal digits
{{- end -}}
{{- end -}}
{{- if $values.networkPolicy.enabled -}}
{{- range list "kafka" "registry" -}}
{{- if not (get $values.networkPolicy .) }}
networkPolicy.{{ . }} is empty and would cut the connector off; name where it is
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $values.extraEnv -}}
{{- $named := regexMatch `(PASSWORD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS|KEY_PEM|OAUTHBEARER_CONFIG)$` (upper .name) -}}
{{- if and .value (or $named (regexMatch `://[^/@\s]*@` .value)) }}
extraEnv {{ .name }} shows a credential to everybody who sees the pod; take it from a Secret by valueFrom, or use secrets
{{- end -}}
{{- if hasPrefix "ZCK_" (toString .name) -}}
{{- if or (has .name (list "ZCK_CONFIG" "ZCK_SHUTDOWN_TIMEOUT" "ZCK_INSTANCE" "ZCK_OWNERSHIP" "ZCK_BUFFER__DISK__PATH")) (hasPrefix "ZCK_HTTP__" .name) (hasSuffix "_FILE" .name) (contains "PROPERTY_FILES" .name) }}
extraEnv {{ .name }} is set by the chart; use the values for it
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
