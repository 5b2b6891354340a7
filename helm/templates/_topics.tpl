{{/* The topics of the configuration, as `zendesk-chat-kafka provision` makes them; a test compares the two. */}}

{{/* A duration of the configuration in milliseconds. */}}
{{- define "connector.milliseconds" -}}
{{- $text := toString . | replace " " "" -}}
{{- $unit := regexFind "(us|ms|s|m|h|d)?$" $text -}}
{{- $factor := get (dict "us" 0.001 "ms" 1.0 "s" 1000.0 "" 1000.0 "m" 60000.0 "h" 3600000.0 "d" 86400000.0) $unit -}}
{{- mulf (trimSuffix $unit $text | float64) $factor | floor | int64 -}}
{{- end -}}

{{- define "connector.topics" -}}
{{- $config := .Values.config -}}
{{- $kafka := $config.kafka | default dict -}}
{{- $topics := $config.topics | default dict -}}
{{- $keep := $topics.retention | default dict -}}
{{- $partitions := $kafka.partitions | default 12 | int -}}
{{- $shards := $kafka.shards | default 1 | int -}}
{{- $account := $config.account | toString -}}
{{- $rows := list -}}
{{- range list
  (list "metrics" "{prefix}.metrics" "7d" $partitions)
  (list "latest" "{prefix}.latest" "" ($kafka.latest_partitions | default 1 | int))
  (list "gaps" "{prefix}.gaps" "30d" $partitions)
  (list "dead_letters" "{prefix}.dead-letters" "30d" $partitions)
  (list "heartbeats" "{prefix}.{account}.heartbeats" "1d" $partitions)
  (list "offsets" "{prefix}.{account}.offsets" "" $shards)
  (list "control" "{prefix}.{account}.control" "1h" $shards) -}}
{{- $key := index . 0 -}}
{{- $template := get $topics $key | default (index . 1) -}}
{{- $config := dict "message.timestamp.type" "CreateTime" "min.insync.replicas" ($kafka.min_insync_replicas | default 2 | int | toString) -}}
{{- if index . 2 -}}
{{- $kept := hasKey $keep $key | ternary (get $keep $key) (index . 2) -}}
{{- $config = merge $config (dict "cleanup.policy" "delete" "retention.ms" (include "connector.milliseconds" $kept)) -}}
{{- else -}}
{{- $config = merge $config (dict "cleanup.policy" "compact") -}}
{{- end -}}
{{- $names := list -}}
{{- if contains "{family}" $template -}}
{{- range include "connector.families" $ | fromJsonArray -}}
{{- $names = append $names ($template | replace "{family}" .) -}}
{{- end -}}
{{- else -}}
{{- $names = list $template -}}
{{- end -}}
{{- $count := index . 3 -}}
{{- if not (and (eq $key "latest") (eq ($topics.latest_enabled | toString) "false")) -}}
{{- range $names -}}
{{- $name := . | replace "{account}" $account | replace "{prefix}" ($topics.prefix | default "zendesk.chat") -}}
{{- /* An object's name allows less than a topic's: what differs gets a hash. */ -}}
{{- $object := $name | lower | replace "_" "-" | trunc 52 | trimAll ".-" -}}
{{- if ne $object $name -}}
{{- $object = printf "%s-%s" $object (sha256sum $name | trunc 10) -}}
{{- end -}}
{{- $rows = append $rows (dict "object" $object "name" $name "partitions" $count "replicas" ($kafka.replication_factor | default 3 | int) "config" $config) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $rows | toJson -}}
{{- end -}}

{{/* JSON list of the families in the subscriptions. */}}
{{- define "connector.families" -}}
{{- $families := list -}}
{{- range .Values.config.subscriptions -}}
{{- range .metrics -}}
{{- $families = append $families (splitList "." . | first) -}}
{{- end -}}
{{- end -}}
{{- uniq $families | sortAlpha | toJson -}}
{{- end -}}
