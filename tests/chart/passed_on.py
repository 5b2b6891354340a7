"""Values that go to Kubernetes as they are, drawn from what Kubernetes takes: the chart's schema cannot say more."""

from __future__ import annotations

from hypothesis import strategies as st

WORD = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
TEMPLATED = WORD | st.just("{{ .Release.Name }}-x")
"""For what the chart gives to `tpl`."""

LABELS = st.dictionaries(WORD, WORD, max_size=2)
SELECTOR = st.fixed_dictionaries({"matchLabels": LABELS})
ID = st.integers(1, 2**31 - 1)
PORTS = st.lists(
    st.fixed_dictionaries({"port": st.integers(1, 65535)}, optional={"protocol": st.sampled_from(["TCP", "UDP"])}),
    max_size=2,
)
PEERS = st.lists(
    st.fixed_dictionaries({"namespaceSelector": SELECTOR}, optional={"podSelector": SELECTOR})
    | st.just({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}),
    max_size=2,
)
EGRESS = st.lists(st.fixed_dictionaries({}, optional={"to": PEERS, "ports": PORTS}), max_size=2)
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
RESTRICTION = {name: st.just(value) for name, value in RESTRICTED.items()}


def named(optional=None, **required):
    """Up to two objects, each with a name of its own."""
    one = st.fixed_dictionaries({"name": WORD, **required}, optional=optional or {})
    return st.lists(one, max_size=2, unique_by=lambda found: found["name"])


def containers(prefix):
    """Containers as restricted as the chart's own; others are refused by the cluster, which the chart cannot know."""
    more = {"args": st.lists(WORD, max_size=2), "env": named(value=TEMPLATED)}
    found = named(more, image=WORD, securityContext=st.just(RESTRICTED))
    return found.map(lambda all_: [{**one, "name": f"{prefix}-{one['name']}"} for one in all_])


TERM = st.fixed_dictionaries(
    {"topologyKey": st.just("kubernetes.io/hostname"), "labelSelector": SELECTOR},
    optional={"namespaces": st.lists(TEMPLATED, min_size=1, max_size=2)},
)
EXPRESSION = st.fixed_dictionaries(
    {"key": WORD, "operator": st.sampled_from(["In", "NotIn"]), "values": st.lists(WORD, min_size=1, max_size=2)}
)
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
RELABELING = st.fixed_dictionaries(
    {"action": st.sampled_from(["keep", "drop"]), "sourceLabels": st.lists(st.just("pod"), min_size=1, max_size=1)},
    optional={"regex": WORD},
)

STRATEGIES = {
    # What both a Deployment and a StatefulSet know.
    "strategy": st.sampled_from([{}, {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}]),
    "affinity": st.fixed_dictionaries(
        {},
        optional={
            "podAntiAffinity": st.fixed_dictionaries({REQUIRED: st.lists(TERM, max_size=2)}),
            "nodeAffinity": st.fixed_dictionaries(
                {
                    REQUIRED: st.fixed_dictionaries(
                        {
                            "nodeSelectorTerms": st.lists(
                                st.fixed_dictionaries({"matchExpressions": st.lists(EXPRESSION, max_size=2)}),
                                min_size=1,
                                max_size=2,
                            )
                        }
                    )
                }
            ),
        },
    ),
    "tolerations": st.lists(
        st.fixed_dictionaries(
            {"key": WORD, "operator": st.sampled_from(["Exists"])},
            optional={"effect": st.sampled_from(["NoSchedule", "NoExecute"]), "tolerationSeconds": st.integers(0, 99)},
        ),
        max_size=2,
    ),
    "hostAliases": st.lists(
        st.fixed_dictionaries({"ip": st.just("10.0.0.1"), "hostnames": st.lists(WORD, min_size=1, max_size=2)}),
        max_size=1,
    ),
    "dnsConfig": st.fixed_dictionaries(
        {}, optional={"searches": st.lists(WORD, max_size=2), "options": named({"value": WORD})}
    ),
    "topologySpreadConstraints": st.none()
    | st.lists(
        st.fixed_dictionaries(
            {
                "maxSkew": st.integers(1, 3),
                "topologyKey": TEMPLATED,
                "whenUnsatisfiable": st.sampled_from(["DoNotSchedule", "ScheduleAnyway"]),
            },
            optional={"labelSelector": SELECTOR},
        ),
        max_size=2,
    ),
    "extraEnv": named({"value": TEMPLATED}),
    "extraEnvFrom": st.lists(
        st.fixed_dictionaries({"configMapRef": st.fixed_dictionaries({"name": TEMPLATED})}), max_size=2
    ),
    "extraVolumes": st.lists(
        WORD.flatmap(
            lambda word: st.sampled_from(
                [{"emptyDir": {}}, {"configMap": {"name": "{{ .Release.Name }}-x"}}, {"secret": {"secretName": "x"}}]
            ).map(lambda source: {"name": f"extra-{word}", **source})
        ),
        max_size=2,
        unique_by=lambda found: found["name"],
    ),
    "extraVolumeMounts": named({"readOnly": st.booleans()}, mountPath=WORD.map(lambda word: f"/x/{word}")),
    "initContainers": containers("init"),
    "extraContainers": containers("beside"),
    "extraObjects": named().map(
        lambda found: [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": one, "data": {"a": "{{ .Release.Name }}"}}
            for one in found
        ]
    ),
    "networkPolicy.metricsFrom": PEERS,
    **{f"networkPolicy.{part}": EGRESS for part in ("kafka", "registry", "source", "dns", "extraEgress")},
    "monitoring.podMonitor.relabelings": st.lists(RELABELING, max_size=2),
    "monitoring.podMonitor.metricRelabelings": st.lists(RELABELING, max_size=2),
    "global": st.dictionaries(WORD, LABELS, max_size=2),
    # What the standard *restricted* leaves open: who loosens the rest is refused by the cluster, not by the chart.
    "podSecurityContext": st.fixed_dictionaries(
        {"runAsNonRoot": st.just(True)},
        optional={
            "runAsUser": ID,
            "runAsGroup": ID,
            "fsGroup": ID,
            "supplementalGroups": st.lists(ID, max_size=2),
            "seccompProfile": st.just({"type": "RuntimeDefault"}),
        },
    ),
    "securityContext": st.fixed_dictionaries(
        RESTRICTION, optional={"readOnlyRootFilesystem": st.booleans(), "runAsUser": ID}
    ),
}
"""Path of a value -> what Kubernetes takes there."""
