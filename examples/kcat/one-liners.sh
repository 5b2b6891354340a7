#!/usr/bin/env bash
# kcat (librdkafka) reads committed records only, unless told otherwise; -e ends at the end of the topic, -q keeps quiet.
# It cannot decode these values: Debian's build knows neither Avro nor a registry.
set -euo pipefail
broker=$KAFKA_BOOTSTRAP_SERVERS
prefix=${PREFIX:-zendesk.chat}
account=${ACCOUNT:-acme}

echo "# updates by partition and key (department id, or all)"
kcat -b "$broker" -C -t "$prefix.metrics" -e -q -f '%p %k\n' | sort | uniq -c

echo "# time, key and headers of the first update of partition 0"
kcat -b "$broker" -C -t "$prefix.metrics" -p 0 -o beginning -c 1 -e -q -f '%T %k %h\n'

echo "# updates by schema id: the zero byte and the four bytes of the id that stand before every value"
kcat -b "$broker" -C -t "$prefix.metrics" -e -q -s value='b >I' -f '%s\n' | sort | uniq -c

echo "# series that are no longer followed: the newest record of their key has no value"
kcat -b "$broker" -C -t "$prefix.latest" -e -q -f '%k %S\n' |
    awk '{size[$1] = $2} END {for (key in size) if (size[key] == -1) print key}' | sort

echo "# gap records by department; the header ce_id ends in /open or /final"
kcat -b "$broker" -C -t "$prefix.gaps" -e -q -f '%k %h\n' | sed -E 's#^([^ ]*) .*/(open|final),.*#\1 \2#' | sort | uniq -c

echo "# complete_through of partition 0: the timestamp of its newest heartbeat, milliseconds"
kcat -b "$broker" -C -t "$prefix.$account.heartbeats" -p 0 -e -q -f '%T\n' | tail -1

echo "# how much uncommitted data a careless reader would see besides (0 at rest, unless transactions were aborted)"
committed=$(kcat -b "$broker" -C -t "$prefix.metrics" -e -q -f x | wc -c)
everything=$(kcat -b "$broker" -C -t "$prefix.metrics" -e -q -X isolation.level=read_uncommitted -f x | wc -c)
echo $((everything - committed))
