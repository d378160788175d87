#!/usr/bin/env bash
# The Helm chart with a real helm: the same objects as the kustomizations, a
# schema that refuses what is wrong, values that arrive where they should.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

DEPLOY=$LAB_ROOT/deploy
CHART=$DEPLOY/helm

lab_begin
export HOME=$LAB_DIR KUBECONFIG=/dev/null

tools() {
	local status=0
	"$LAB_ROOT/scripts/tools.sh" >"$LAB_DIR/tools" 2>"$LAB_DIR/said" ||
		status=$?
	[ $status -ne 3 ] || skip "$(cat "$LAB_DIR/said")"
	[ $status -eq 0 ] || fail "$(cat "$LAB_DIR/said")"
	ln -s "$(cat "$LAB_DIR/tools")"/* "$LAB_DIR/"
}

# helm ARG...: that links lead to ../prometheus and ../grafana is meant so
helm() {
	"$LAB_DIR/helm" "$@" 2>"$LAB_DIR/err" || {
		grep -v 'found symbolic link' "$LAB_DIR/err" >&2 || true
		return 1
	}
}

kubectl() {
	"$LAB_DIR/kubectl" "$@"
}

# json: YAML documents on stdin, as a sorted JSON list without nulls between
json() {
	"$PYTHON" -c 'import json, sys, yaml
docs = [d for d in yaml.safe_load_all(sys.stdin) if d]
docs.sort(key=lambda d: (d["kind"], d["metadata"]["name"]))
json.dump(docs, sys.stdout, sort_keys=True, indent=1)'
}

# rendered ARG...: into LAB_DIR/chart, and all that is rendered is an object
rendered() {
	helm template masqbpf "$CHART" -n kube-system "$@" | json \
		>"$LAB_DIR/chart"
}

field() { # KIND FILTER
	jq -c ".[] | select(.kind == \"$1\") | $2" "$LAB_DIR/chart"
}

is_field() { # KIND FILTER WANT
	is "$1 $2" "$(field "$1" "$2")" "$3"
}

# The policy is no part of a kustomization, for it would replace the one that a
# cluster has.
same_as() { # OVERLAY ARG...
	kubectl kustomize "$DEPLOY/$1" >"$LAB_DIR/kustomization"
	is "ConfigMaps of $1" "$(json <"$LAB_DIR/kustomization" |
		jq '[.[] | select(.kind == "ConfigMap")] | length')" 0
	cat "$LAB_DIR/kustomization" "$DEPLOY/kubernetes/configmap.yaml" | json \
		>"$LAB_DIR/kustomized"
	shift
	rendered "$@"
	diff -u "$LAB_DIR/kustomized" "$LAB_DIR/chart"
	note "$(jq length "$LAB_DIR/chart") objects"
}

lints() {
	helm lint --strict "$CHART"
	helm lint --strict "$CHART" \
		--set metrics.expose=true,podMonitor.create=true \
		--set serviceMonitor.create=true,prometheusRule.create=true \
		--set dashboard.create=true,standby=true
}

# Every key of the config that the program knows, and no other.
knows_every_key() {
	local known
	known=$(jq -r '.definitions.config.properties | to_entries[] |
		if .value.properties then .key as $group |
			.value.properties | keys[] | "\($group).\(.)"
		else .key end' "$CHART/values.schema.json" | sort)
	is keys "$known" "$(sed -n -e 's/^static const struct key \*.*//' \
		-e 's/^\t\(KEY\|CIDRS\|DURATION\|TIMEOUT\)("\([^"]*\)".*/\2/p' \
		"$LAB_ROOT/user/config/keys.c" | sort)"
}

# refused WORDS ARG...: nothing is rendered, and these words are the reason
refused() {
	local said
	if said=$("$LAB_DIR/helm" template x "$CHART" "${@:2}" 2>&1); then
		fail "accepted: ${*:2}"
	fi
	[[ $said = *"$1"* ]] || fail "${*:2}: $said"
}

schema_refuses() {
	local config=ipMasqAgent.config
	refused "Additional property nonMasqueradeCidrs is not allowed" \
		--set "$config.nonMasqueradeCidrs={10.0.0.0/8}"
	refused "$config.nonMasqueradeCIDRs.1: Does not match pattern" \
		--set "$config.nonMasqueradeCIDRs={10.0.0.0/8,172.16.0.0}"
	refused "$config.masqueradeCIDRs.0: Does not match pattern" \
		--set "$config.masqueradeCIDRs={10.0.0.0/33}"
	refused "$config.podCIDRs: Invalid type" \
		--set $config.podCIDRs=10.44.0.0/16
	refused "$config.masqLinkLocal: Invalid type. Expected: boolean" \
		--set-string $config.masqLinkLocal=yes
	refused "$config.resyncInterval: Invalid type" \
		--set $config.resyncInterval=60
	refused "$config.timeouts.udp: Does not match pattern" \
		--set-string $config.timeouts.udp=60
	refused "$config.maxFlows: Must be greater than or equal to 1" \
		--set $config.maxFlows=0
	refused "$config.snat: Additional property ports is not allowed" \
		--set $config.snat.ports=1-2
	refused "$config.snat.addresses.0: " \
		--set "$config.snat.addresses={10.0.0.1-9}"
	refused "Additional property ipMasqAgnet is not allowed" \
		--set ipMasqAgnet.create=false
	refused "image.digest: Does not match pattern" --set image.digest=sha256:12
	refused "image.pullPolicy: " --set image.pullPolicy=Sometimes
	refused "interfaces: Array must have at least 1 items" \
		--set-json 'interfaces=[]'
	refused "metrics.port: Must be less than or equal to 65535" \
		--set metrics.port=65536
	refused "podMonitor.interval: Does not match pattern" \
		--set podMonitor.interval=often
	refused "updateStrategy.type" --set updateStrategy.type=Sometime
	refused "need metrics.expose=true" --set podMonitor.create=true
	refused "need metrics.expose=true" --set serviceMonitor.create=true
}

# What people write in values files is what the program reads.
config_arrives() {
	cat >"$LAB_DIR/values.yaml" <<-YAML
		ipMasqAgent:
		  config:
		    nonMasqueradeCIDRs: [10.0.0.0/8, "fd00::/8", "::/0"]
		    masqueradeCIDRs: [172.30.0.0/16]
		    podCIDRs: [10.44.0.0/16]
		    masqLinkLocal: true
		    resyncInterval: 1m30s
		    timeouts: {tcpEstablished: 1h, udp: 1.5m}
		    maxFlows: 1000000
		    snat:
		      portRange: 20000-30000
		      nodePortRange: none
		      addresses:
		        - 10.142.0.100
		        - {destination: 172.30.0.0/16, address: 10.142.0.101}
		        - {destination: 172.31.0.0/16, address: [10.142.0.101,
		           10.142.0.104/30, 10.142.0.110-10.142.0.119]}
		        - {address: ["2001:db8::1-2001:db8::9", "2001:db8::10/124"]}
	YAML
	helm template x "$CHART" -f "$LAB_DIR/values.yaml" \
		--show-only templates/configmap.yaml >"$LAB_DIR/configmap.yaml"
	"$MASQBPF" check --strict --json - <"$LAB_DIR/configmap.yaml" \
		>"$LAB_DIR/checked" || fail "$(cat "$LAB_DIR/configmap.yaml")"
	is lists "$(jq -c '[.nonMasqueradeCIDRs, .masqueradeCIDRs,
		.masqLinkLocal, .resyncInterval_s]' "$LAB_DIR/checked")" \
		'[["10.0.0.0/8","fd00::/8","::/0"],["172.30.0.0/16"],true,90]'
	# and the sample, which has every default
	{
		echo 'ipMasqAgent: {config:'
		"$PYTHON" -c 'import json, sys, yaml
print(json.dumps(yaml.safe_load(sys.stdin)))' <"$DEPLOY/masqbpf.yaml"
		echo '}'
	} >"$LAB_DIR/values.yaml"
	helm template x "$CHART" -f "$LAB_DIR/values.yaml" \
		--show-only templates/configmap.yaml |
		"$MASQBPF" check --strict -
	# a key taken back by null is one that is not there
	helm template x "$CHART" \
		--set-json 'ipMasqAgent.config.nonMasqueradeCIDRs=null' \
		--show-only templates/configmap.yaml |
		"$MASQBPF" check --strict --json - |
		jq -e '.nonMasqueradeCIDRs | length == 3' >/dev/null
	rendered --set ipMasqAgent.create=false,ipMasqAgent.configMap=mine
	is_field ConfigMap . ""
	is_field DaemonSet '.spec.template.spec.volumes[1].configMap |
		[.name, .optional]' '["mine",false]'
}

pod_arrives() {
	local digest container='.spec.template.spec.containers[0]'
	digest=sha256:$(printf '%064d' 7)
	rendered --set image.registry=example.org:5000,image.tag=v9 \
		--set interfaces='{eth0,eth1}',fastPath=on \
		--set extraArgs='{--verbose}',nodeSelector.pool=a \
		--set resources.limits.memory=1Gi,podLabels.team=net \
		--set podAnnotations.seen=yes,imagePullSecrets[0].name=key \
		--set priorityClassName=high,affinity.nodeAffinity.x=1 \
		--set updateStrategy.type=OnDelete,updateStrategy.rollingUpdate=null \
		--set-json 'tolerations=[]' \
		--set-json 'extraEnv=[{"name":"NO_COLOR","value":"1"}]' \
		--set-json 'extraVolumes=[{"name":"a","emptyDir":{}}]' \
		--set-json 'extraVolumeMounts=[{"name":"a","mountPath":"/a"}]'
	is_field DaemonSet "$container.image" '"example.org:5000/masqbpf:v9"'
	is_field DaemonSet "$container.args" '["agent","--config=/etc/config/ip-masq-agent","--listen=127.0.0.1:9842","--fast-path=on","--verbose","eth0","eth1"]'
	is_field DaemonSet "$container.env[1:]" \
		'[{"name":"NO_COLOR","value":"1"}]'
	is_field DaemonSet "$container.volumeMounts[4].name" '"a"'
	is_field DaemonSet "$container.resources.limits.memory" '"1Gi"'
	is_field DaemonSet '.spec.updateStrategy' '{"type":"OnDelete"}'
	is_field DaemonSet '.spec.template | [.metadata.labels.team,
		.metadata.annotations.seen, .spec.priorityClassName,
		.spec.nodeSelector.pool, .spec.tolerations,
		.spec.imagePullSecrets[0].name, .spec.affinity.nodeAffinity.x,
		.spec.volumes[4].name]' \
		'["net","yes","high","a",null,"key",1,"a"]'
	rendered --set image.tag=v9,image.digest="$digest"
	is_field DaemonSet "$container.image" "\"masqbpf@$digest\""
	# as YAML reads off
	rendered --set fastPath=false
	is_field DaemonSet "$container.args[3]" '"--fast-path=off"'
	# nothing that attaches, follows or asks
	rendered --set standby=true
	is_field DaemonSet "$container | [.args, .livenessProbe, .readinessProbe]" \
		'[["metrics","--listen=127.0.0.1:9842"],null,null]'
}

monitors() {
	rendered --set metrics.expose=true,metrics.port=9999 \
		--set podMonitor.create=true,podMonitor.interval=30s \
		--set podMonitor.labels.release=prometheus \
		--set serviceMonitor.create=true,serviceMonitor.scrapeTimeout=5s \
		--set-json 'serviceMonitor.relabelings=[{"targetLabel":"a"}]' \
		--set prometheusRule.create=true,prometheusRule.labels.x=y \
		--set dashboard.create=true,dashboard.annotations.folder=net
	# shellcheck disable=SC2016 # Kubernetes fills it in
	is_field DaemonSet '.spec.template.spec.containers[0] |
		[.ports[0].name, .ports[0].containerPort, .args[2],
		.readinessProbe.httpGet.port]' \
		'["metrics",9999,"--listen=$(NODE_ADDRESS):9999",9999]'
	# twice is once too often
	is_field DaemonSet .spec.template.metadata.annotations null
	is_field PodMonitor '[.metadata.labels.release, .spec.podMetricsEndpoints]' \
		'["prometheus",[{"interval":"30s","path":"/metrics","port":"metrics"}]]'
	is_field ServiceMonitor .spec.endpoints \
		'[{"path":"/metrics","port":"metrics","relabelings":[{"targetLabel":"a"}],"scrapeTimeout":"5s"}]'
	# what the monitors select is there
	is labels "$(field PodMonitor .spec.selector.matchLabels)" \
		"$(field DaemonSet .spec.template.metadata.labels)"
	is labels "$(field ServiceMonitor .spec.selector.matchLabels)" \
		"$(field Service .metadata.labels)"
	is labels "$(field Service .spec.selector)" \
		"$(field DaemonSet .spec.template.metadata.labels)"
	# the rules and the dashboard are the files that have tests of their own
	is_field PrometheusRule .metadata.labels.x '"y"'
	diff <(field PrometheusRule .spec | jq -S .) <("$PYTHON" -c '
import json, sys, yaml
print(json.dumps(yaml.safe_load(sys.stdin)))' \
		<"$DEPLOY/prometheus/masqbpf.rules.yaml" | jq -S .)
	diff <(jq -S . "$DEPLOY/grafana/masqbpf.json") \
		<(field ConfigMap 'select(.metadata.name == "masqbpf-dashboard") |
			.data["masqbpf.json"] | fromjson' | jq -S .)
	is_field ConfigMap 'select(.metadata.annotations) |
		.metadata | [.labels.grafana_dashboard, .annotations.folder]' \
		'["1","net"]'
	rendered --set metrics.expose=true --show-only templates/daemonset.yaml
	is_field DaemonSet .spec.template.metadata.annotations \
		'{"prometheus.io/port":"9842","prometheus.io/scrape":"true"}'
}

# README's table has every value with its default, and the schema has it.
table_is_true() {
	"$PYTHON" - "$CHART" <<-'PYTHON'
		import json, re, sys, yaml
		chart = sys.argv[1]
		values = yaml.safe_load(open(chart + "/values.yaml"))
		schema = json.load(open(chart + "/values.schema.json"))
		rows = {}
		for line in open(chart + "/README.md"):
		    found = re.match(r"\| `([\w.]+)` \| `(.*?)` \|", line)
		    if found:
		        rows[found[1]] = json.loads(found[2])
		left = dict(values)
		for name, default in rows.items():
		    value = values
		    for word in name.split("."):
		        value = value[word]
		    assert value == default, (name, value, default)
		# what a row does not say a row below it does
		def walk(value, name):
		    if name in rows:
		        return
		    assert isinstance(value, dict) and value, name + ": no row"
		    for key in value:
		        walk(value[key], f"{name}.{key}" if name else key)
		walk(values, "")
		known = set(schema["properties"]) - {"global"}
		assert known == set(values), known ^ set(values)
		print(len(rows), "rows")
	PYTHON
}

# By helm itself, which wants a cluster to talk to.
notes_are_true() {
	local port
	echo '[]' >"$LAB_DIR/cluster"
	MASQBPF=$MASQBPF "$PYTHON" "$LAB_LIB/kubeapi.py" "$LAB_DIR/cluster" \
		"$LAB_DIR/port" >"$LAB_DIR/log" 2>&1 </dev/null &
	lab_own $!
	lab_wait 10 test -e "$LAB_DIR/port"
	port=$(cat "$LAB_DIR/port")
	said() { # ARG...
		helm install mine "$CHART" -n net --dry-run=client \
			--disable-openapi-validation \
			--kube-apiserver "http://127.0.0.1:$port" "$@" |
			sed -n '/^NOTES:/,$p'
	}
	said >"$LAB_DIR/notes"
	grep -qxF '  172.16.0.0/12' "$LAB_DIR/notes"
	grep -q '^masqbpf 0.1.0 in net' "$LAB_DIR/notes"
	grep -q 'kubectl -n net rollout status daemonset/masqbpf' \
		"$LAB_DIR/notes"
	grep -q 'metrics.expose=false' "$LAB_DIR/notes"
	grep -q 'ip-masq-agent is this release' "$LAB_DIR/notes"
	# to the end of it, and in the same namespace all the way
	is removal "$(sed -n '/^`helm uninstall`/,$s/^  //p' "$LAB_DIR/notes")" \
		"helm upgrade mine CHART -n net --reuse-values --set standby=true
kubectl -n net rollout status daemonset/masqbpf
kubectl masq -n net --all-nodes detach --all
helm uninstall mine -n net"
	said --set metrics.expose=true,ipMasqAgent.create=false \
		--set interfaces='{eth0,eth1}' >"$LAB_DIR/notes"
	grep -q 'eth0, eth1' "$LAB_DIR/notes"
	grep -q 'ConfigMap ip-masq-agent keeps' "$LAB_DIR/notes"
	if grep -q 'this release' "$LAB_DIR/notes"; then
		fail "$(cat "$LAB_DIR/notes")"
	fi
	if grep -q 'metrics.expose=false' "$LAB_DIR/notes"; then
		fail "$(cat "$LAB_DIR/notes")"
	fi
	said --set-json 'ipMasqAgent.config.nonMasqueradeCIDRs=[]' |
		grep -q 'everything is masqueraded'
}

# What is packaged is whole without the repository around it.
packaged() {
	helm package "$CHART" -d "$LAB_DIR"
	helm template masqbpf "$LAB_DIR"/masqbpf-*.tgz -n kube-system \
		--set prometheusRule.create=true,dashboard.create=true | json \
		>"$LAB_DIR/packaged"
	rendered --set prometheusRule.create=true,dashboard.create=true
	cmp "$LAB_DIR/packaged" "$LAB_DIR/chart"
}

# One version, wherever it is written.
versions_agree() {
	local version
	version=$("$MASQBPF" --version | cut -d' ' -f2)
	is chart "$(sed -n 's/^appVersion: //p' "$CHART/Chart.yaml")" "$version"
	is kustomization "$(sed -n 's/^ *newTag: //p' \
		"$DEPLOY/kubernetes/kustomization.yaml")" "$version"
}

row "one version" versions_agree
row "helm and kubectl" tools
if ! [ -e "$LAB_DIR/helm" ]; then
	row_skip "the chart" "no helm; see above"
	tap_done
	exit
fi
"$PYTHON" -c 'import yaml' || {
	row_skip "the chart" "no yaml: apt-get install python3-yaml"
	tap_done
	exit
}
row "helm lint" lints
row "the kustomization's objects" same_as kubernetes
row "the kustomization's objects for Prometheus" same_as \
	kubernetes-prometheus --set metrics.expose=true
row "the kustomization's objects for removal" same_as \
	kubernetes-standby --set standby=true
row "the schema knows every key of the config" knows_every_key
row "the schema refuses what is wrong" schema_refuses
row "the config arrives" config_arrives
row "the pod's values arrive" pod_arrives
row "monitors, rules and dashboard" monitors
row "the table of values" table_is_true
row "NOTES" notes_are_true
row "the package" packaged
tap_done
