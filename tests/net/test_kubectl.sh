#!/usr/bin/env bash
# kubectl masq with a real kubectl, against an API server of the test's own
# whose pods are two labs' nodes: where a command runs, how answers of nodes
# come together, and what is said when a node does not answer.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

POD=10.44.14.15
PORT=443
PLUGIN=$LAB_ROOT/deploy/kubectl-masq

lab_begin
export HOME=$LAB_DIR KUBECONFIG=/dev/null NO_COLOR=1
lab_node_far
lab_pod pod1 $POD
lab_serve far $PORT
lab_reject $POD_NET
# the other node has another policy, and no traffic
lab_ns other
lab_link other eth0 far eth1
lab_in other ip addr add 10.142.0.7/20 dev eth0
lab_in other ip route add default via $FAR_GATEWAY

tools() {
	local status=0
	"$LAB_ROOT/scripts/tools.sh" >"$LAB_DIR/tools" 2>"$LAB_DIR/said" ||
		status=$?
	[ $status -ne 3 ] || skip "$(cat "$LAB_DIR/said")"
	[ $status -eq 0 ] || fail "$(cat "$LAB_DIR/said")"
	mkdir "$LAB_DIR/bin"
	ln -s "$(cat "$LAB_DIR/tools")/kubectl" "$PLUGIN" "$LAB_DIR/bin/"
}

other() { # COMMAND...
	nsenter --net="$(lab_netns other)" -- env \
		MASQBPF_PIN_DIR="$LAB_DIR/bpf/other" "$MASQBPF" "$@"
}

# agent NAME NODE NETNS INSTANCE: a pod of the DaemonSet, as JSON
agent() {
	jq -n --arg name "$1" --arg node "$2" --arg ns "$(lab_netns "$3")" \
		--arg pins "$LAB_DIR/bpf/$4" '{
		namespace: "kube-system", name: $name, node: $node,
		labels: {"app.kubernetes.io/name": "masqbpf"},
		exec: ["nsenter", "--net=" + $ns, "--", "env",
			"MASQBPF_PIN_DIR=" + $pins]}'
}

pod() { # NAMESPACE NAME NODE IP
	jq -n --arg namespace "$1" --arg name "$2" --arg node "$3" --arg ip "$4" \
		'$ARGS.named'
}

cluster() {
	{
		agent masqbpf-x2 node-b other other
		agent masqbpf-k9 node-a node masqbpf
		pod shop cart-0 node-a $POD
		pod shop idle-0 node-b 10.44.15.9
		pod shop far-0 node-c 10.44.16.9
		"$@"
	} | jq -s . >"$LAB_DIR/cluster.new"
	mv "$LAB_DIR/cluster.new" "$LAB_DIR/cluster"
}

dead_node() { # an agent whose node does not answer
	agent masqbpf-zz node-z other other | jq 'del(.exec)'
}

begin() {
	masq attach eth0 --preset ip-masq-agent
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$LAB_DIR/old.yaml"
	other attach eth0 --config "$LAB_DIR/old.yaml"
	# a pod's SYN that nobody answers
	traffic pod1 who $FAR_ADDR $PORT --timeout 1 && fail "answered"
	cluster true
	MASQBPF=$MASQBPF "$PYTHON" "$LAB_LIB/kubeapi.py" "$LAB_DIR/cluster" \
		"$LAB_DIR/port" >"$LAB_DIR/log" 2>&1 </dev/null &
	lab_own $!
	lab_wait 10 test -e "$LAB_DIR/port"
}

# plugin ARG...: as a user would; sets OUT, ERR and STATUS
plugin() {
	local config
	config=$LAB_DIR/kubeconfig
	[ -e "$config" ] || cat >"$config" <<-YAML
		apiVersion: v1
		kind: Config
		clusters: [{name: c, cluster: {server: "http://127.0.0.1:$(cat "$LAB_DIR/port")"}}]
		contexts: [{name: c, context: {cluster: c}}]
		current-context: c
	YAML
	STATUS=0
	KUBECONFIG=$config PATH=$LAB_DIR/bin:$PATH kubectl masq "$@" \
		>"$LAB_DIR/out" 2>"$LAB_DIR/err" </dev/null || STATUS=$?
	OUT=$(cat "$LAB_DIR/out")
	ERR=$(cat "$LAB_DIR/err")
}

done_well() {
	is status "$STATUS" 0
	is stderr "$ERR" ""
}

all_nodes() {
	plugin explain $FAR_ADDR
	done_well
	is first "$(head -1 <<<"$OUT")" \
		"node-a  $FAR_ADDR  keep  leaves with the pod's own address"
	is second "$(grep '^node-b' <<<"$OUT" | head -1)" \
		"node-b  $FAR_ADDR  masquerade  leaves with the node's address"
	is others "$(grep -cv '^node-[ab]  ' <<<"$OUT" || true)" 0
	# in the order of the names, one after the other
	is order "$(cut -d' ' -f1 <<<"$OUT" | uniq | xargs)" "node-a node-b"
	plugin status
	is nodes "$(cut -d' ' -f1 <<<"$OUT" | uniq | xargs)" "node-a node-b"
}

json() {
	plugin explain $FAR_ADDR --json
	done_well
	is objects "$(jq -c 'map([.node, .action])' <<<"$OUT")" \
		'[["node-a","keep"],["node-b","masquerade"]]'
	# node comes first, and nothing else is lost
	is keys "$(jq -c '.[0] | keys_unsorted[0]' <<<"$OUT")" '"node"'
	diff <(jq -S '.[0] | del(.node)' <<<"$OUT") \
		<(masq explain $FAR_ADDR --json | jq -S .)
	plugin counters --json
	diff <(jq -S '.[1] | del(.node)' <<<"$OUT") \
		<(other counters --json | jq -S .)
	# arrays become one
	plugin flows --json
	is flows "$(jq -c 'map([.node, .orig.src])' <<<"$OUT")" \
		'[["node-a","10.44.14.15"]]'
	plugin history --json
	is generations "$(jq -c 'map([.node, .generation])' <<<"$OUT")" \
		'[["node-a",1],["node-b",1]]'
	diff <(jq -S '.[1] | del(.node)' <<<"$OUT") \
		<(other history --json | jq -S '.[0]')
	plugin flows --dest 192.0.2.1 --json
	done_well
	is none "$(jq -c . <<<"$OUT")" '[]'
}

# Texts that look like JSON inside JSON, and shapes that no command has today.
json_odd() {
	# shellcheck disable=SC1090,SC2016 # the plugin's own function
	. <(sed -n '/^elements()/,/^}/p' "$PLUGIN")
	odd() { # INPUT WANT
		is "$1" "$(printf '%s' "$1" | elements n | jq -cs .)" "$2"
	}
	odd '{"a": "}]{\"[\\"}' '[{"node":"n","a":"}]{\"[\\"}]'
	odd '{}' '[{"node":"n"}]'
	odd '[{},{"a":{"b":[{},[]]}}]' \
		'[{"node":"n"},{"node":"n","a":{"b":[{},[]]}}]'
	odd $'[\n  {\n    "a": [\n      1,\n      {\n      }\n    ]\n  }\n]\n' \
		'[{"node":"n","a":[1,{}]}]'
	odd $'{\n"a":1}\n{"b":"\\\\"}' '[{"node":"n","a":1},{"node":"n","b":"\\"}]'
	odd '' '[]'
	odd '[]' '[]'
	if printf '{"a": 1' | elements n; then
		fail "cut off, and not noticed"
	fi
}

of_a_pod() {
	plugin flows --pod shop/cart-0 --unreplied --json
	done_well
	is flows "$(jq -c 'map([.node, .orig.src, .orig.dst])' <<<"$OUT")" \
		"[[\"node-a\",\"$POD\",\"$FAR_ADDR\"]]"
	plugin flows --pod=shop/cart-0
	grep -q "^node-a  tcp .*$POD" <<<"$OUT"
	plugin explain $FAR_ADDR --source shop/idle-0
	is nodes "$(cut -d' ' -f1 <<<"$OUT" | uniq)" node-b
	# an address or a CIDR is no name, and asks all
	plugin flows --pod 10.44.0.0/16 --json
	done_well
	is flows "$(jq length <<<"$OUT")" 1
	plugin explain $FAR_ADDR --source $POD --json
	is nodes "$(jq length <<<"$OUT")" 2
	plugin --all-nodes explain $FAR_ADDR --source shop/cart-0 --json
	is nodes "$(jq length <<<"$OUT")" 2
	# who is not there, or nowhere that an agent runs
	plugin flows --pod shop/none-0
	is status "$STATUS" 1
	grep -q 'pods "none-0" not found' <<<"$ERR" || fail "$OUT $ERR"
	plugin flows --pod shop/far-0
	is "$STATUS $ERR" "$STATUS $ERR" \
		"1 kubectl-masq: node-c: no agent runs there"
	plugin --node node-b flows --pod shop/cart-0
	is status "$STATUS" 2
	grep -q 'the pod is on node node-a' <<<"$ERR"
}

one_node() {
	plugin --node node-b explain $FAR_ADDR --json
	is nodes "$(jq -c 'map(.node)' <<<"$OUT")" '["node-b"]'
	plugin --node=node-q status
	is "$STATUS $ERR" "$STATUS $ERR" \
		"1 kubectl-masq: node-q: no agent runs there"
	plugin -n nowhere status
	is status "$STATUS" 1
	grep -q 'no agent runs: .* in namespace nowhere' <<<"$ERR"
}

# Files of this machine: what is asked over there is what stands here.
files() {
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$LAB_DIR/new.yaml"
	plugin plan "$LAB_DIR/new.yaml" --exit-code --json
	is status "$STATUS" 3
	is stderr "$ERR" ""
	is flips "$(jq -c 'map([.node, (.flips | length)])' <<<"$OUT")" \
		'[["node-a",2],["node-b",0]]'
	plugin check --strict "$LAB_DIR/new.yaml"
	done_well
	is nodes "$(cut -d' ' -f1 <<<"$OUT" | uniq)" node-a
	echo 'nonMasqueradeCIDRs: [10.0.0.1/8]' >"$LAB_DIR/new.yaml"
	plugin plan "$LAB_DIR/new.yaml"
	is status "$STATUS" 2
	grep -q '^node-b  masqbpf: .*10.0.0.1/8' <<<"$ERR"
	plugin plan "$LAB_DIR/none.yaml"
	is "$STATUS $ERR" "$STATUS $ERR" \
		"2 kubectl-masq: $LAB_DIR/none.yaml: no such file here"
}

# Wherever the file stands among the options, and by its own name.
files_anywhere() {
	local new=$LAB_DIR/new.yaml none="no such file here"
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$new"
	plugin plan --against running "$new"
	done_well
	grep -q 'To apply: put it into the ConfigMap' <<<"$OUT" || fail "$OUT"
	grep -q "^node-b  $new: nothing changes" <<<"$OUT" || fail "$OUT"
	plugin plan --color never --json -- "$new"
	done_well
	echo 'nonMasqueradeCIDRs: [203.0.113.0/24]' >"$new"
	plugin --node node-a plan --color=never "$new"
	grep -qF "203.0.113.0/24       keep  (config $new:1)" <<<"$OUT" ||
		fail "$OUT"
	plugin plan --color=never --against=running "$LAB_DIR/none.yaml"
	is "$STATUS $ERR" "$STATUS $ERR" \
		"2 kubectl-masq: $LAB_DIR/none.yaml: $none"
	plugin plan "$new" --against "$new"
	is "$STATUS $ERR" "$STATUS $ERR" "2 kubectl-masq: plan --against $new: what runs on the nodes is compared; two files of this machine are: masqbpf plan FILE --against $new"
	echo 'nonMasqueradeCIDRs: [10.0.0.1/8]' >"$new"
	plugin check --color never "$new"
	is status "$STATUS" 2
	grep -qF "node-a  masqbpf: $new:1:22: " <<<"$ERR" || fail "$ERR"
	echo 'nonMasqueradeCIDR: [10.0.0.0/8]' >"$LAB_DIR/a \"b\".yaml"
	plugin check --json "$LAB_DIR/a \"b\".yaml"
	jq -e --arg name "$LAB_DIR/a \"b\".yaml:" \
		'.[0].warnings[0] | startswith($name)' <<<"$OUT" >/dev/null ||
		fail "$OUT $ERR"
}

# What would be written in the pod is written here, or refused.
written_here() {
	plugin doctor --report "$LAB_DIR/report.tar"
	is "$STATUS $ERR" "$STATUS $ERR" \
		"2 kubectl-masq: doctor --report: an archive is of one node: --node NODE"
	plugin --node node-a doctor --report "$LAB_DIR/report.tar"
	is stdout "$OUT" ""
	tar -xOf "$LAB_DIR/report.tar" masqbpf-report/status.json |
		jq -e .generation >/dev/null
	plugin metrics --textfile x
	is status "$STATUS" 2
	grep -q '^kubectl-masq: metrics --textfile x: ' <<<"$ERR"
	plugin completion bash
	done_well
	diff - <(masq completion bash) <<<"$OUT"
	plugin detach --help
	done_well
	diff - <(masq detach --help) <<<"$OUT"
	plugin cidr
	is status "$STATUS" 2
	! grep -q 'changes something' <<<"$ERR" || fail "$ERR"
	plugin cidr --json list
	done_well
	plugin cidr --guard 1m add 198.51.100.0/24
	is status "$STATUS" 2
	grep -q 'cidr: changes something' <<<"$ERR" || fail "$ERR"
}

changes_want_a_place() {
	plugin cidr add 198.51.100.0/24
	is status "$STATUS" 2
	grep -q -- '--node NODE or --all-nodes' <<<"$ERR"
	masq cidr list --json | jq -e \
		'all(.prefixes[]; .prefix != "198.51.100.0/24")' >/dev/null
	plugin cidr list
	done_well
	plugin --node node-b cidr add 198.51.100.0/24
	is status "$STATUS" 0
	grep -q '^node-b  masqbpf: ' <<<"$ERR"
	plugin --all-nodes cidr del 198.51.100.0/24
	# one had it, the other had not: the worst of both
	is status "$STATUS" 1
	plugin flush
	is status "$STATUS" 2
}

# A node that does not answer takes no other's answer away.
dead() {
	cluster dead_node
	plugin explain $FAR_ADDR --json
	is status "$STATUS" 1
	is nodes "$(jq -c 'map(.node)' <<<"$OUT")" '["node-a","node-b"]'
	grep -q '^node-z  .*node-z' <<<"$ERR"
	plugin --parallel 1 --node node-z --node node-a explain $FAR_ADDR
	is status "$STATUS" 1
	is nodes "$(cut -d' ' -f1 <<<"$OUT" | uniq)" node-a
	cluster true
}

usage() {
	plugin
	is status "$STATUS" 2
	grep -q '^usage: kubectl masq' <<<"$ERR"
	plugin --help
	done_well
	plugin --everywhere status
	is "$STATUS $ERR" "$STATUS $ERR" \
		"2 kubectl-masq: --everywhere: no such option (see kubectl masq --help)"
	plugin statsu
	is status "$STATUS" 2
	is lines "$(wc -l <<<"$ERR")" 2 # each node's word, and no more
	plugin --node node-a --all-nodes status
	is status "$STATUS" 2
	plugin top
	is status "$STATUS" 2
	plugin top --once
	done_well
}

streams() { # FILE NODE
	grep -q "\"node\": \"$2\"" "$1" 2>/dev/null
}

opens() { # until the watch has seen one
	traffic pod1 who $FAR_ADDR $PORT --timeout 0.2 || true
	streams "$LAB_DIR/watched" node-a
}

gone() {
	local pid
	for pid in $(pgrep -f "[w]atch --json --events new,policy"); do
		! grep -qz "$LAB_DIR/bpf/" "/proc/$pid/environ" 2>/dev/null ||
			return 1
	done
}

# Events as they happen, of both; and what ends it ends all of it.
watches() {
	local pid
	plugin explain $FAR_ADDR # a kubeconfig
	KUBECONFIG=$LAB_DIR/kubeconfig PATH=$LAB_DIR/bin:$PATH setsid \
		kubectl masq watch --json --events new,policy \
		>"$LAB_DIR/watched" 2>"$LAB_DIR/err" </dev/null &
	pid=$!
	lab_own $pid
	lab_wait 20 opens || fail "$(cat "$LAB_DIR/watched" "$LAB_DIR/err")"
	other cidr add 198.51.100.0/24
	lab_wait 20 streams "$LAB_DIR/watched" node-b ||
		fail "$(cat "$LAB_DIR/watched" "$LAB_DIR/err")"
	jq -es 'all(.[]; .node == "node-a" or .node == "node-b")' \
		"$LAB_DIR/watched" >/dev/null
	kill -TERM $pid
	lab_wait 20 lab_gone $pid
	lab_wait 20 gone
	plugin watch --events never
	is status "$STATUS" 2
	grep -q '^node-b  masqbpf: ' <<<"$ERR"
}

# What krew would install is the plugin, and the manifest knows it.
krew() {
	local out
	out=$(make -sC "$LAB_ROOT" O="$LAB_DIR/made" krew URI=https://example.org/masq.tar.gz)
	is manifest "$out" "$LAB_DIR/made/krew/masq.yaml"
	"$PYTHON" - "$out" "$("$MASQBPF" --version | cut -d' ' -f2)" <<-'PYTHON'
		import hashlib, os, sys, tarfile, yaml
		manifest = yaml.safe_load(open(sys.argv[1]))
		assert manifest["kind"] == "Plugin"
		assert manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
		assert manifest["metadata"]["name"] == "masq"
		spec = manifest["spec"]
		assert spec["version"] == "v" + sys.argv[2], spec["version"]
		assert len(spec["shortDescription"]) <= 50
		archive = os.path.dirname(sys.argv[1]) + "/masq.tar.gz"
		sum = hashlib.sha256(open(archive, "rb").read()).hexdigest()
		for platform in spec["platforms"]:
		    assert platform["sha256"] == sum
		    assert platform["uri"] == "https://example.org/masq.tar.gz"
		    with tarfile.open(archive) as tar:
		        tar.getmember(platform["bin"])
	PYTHON
	tar -xOf "$LAB_DIR/made/krew/masq.tar.gz" kubectl-masq | cmp - "$PLUGIN"
	mv "$LAB_DIR/made/krew/masq.tar.gz" "$LAB_DIR/"
	make -sC "$LAB_ROOT" O="$LAB_DIR/made" krew
	cmp "$LAB_DIR/made/krew/masq.tar.gz" "$LAB_DIR/masq.tar.gz"
}

# on_node COMMAND...: where the agent listens; that cluster is one of its own
on_node() {
	nsenter --net="$(lab_netns node)" -- env NODE=node-a NODE_ADDRESS=$NODE_ADDR ONCE=yes PAUSE=0.2 \
		KUBECONFIG="$LAB_DIR/node.config" PATH="$LAB_DIR/bin:$PATH" "$@"
}

taints() {
	on_node kubectl get node node-a -o jsonpath='{.spec.taints[*].key}'
}

start_up_taint() { # ADDRESS that the agent listens at
	local agent api job untaint=$LAB_ROOT/deploy/kubernetes-taint/untaint.sh
	jq -n '[{name: "node-a", spec: {taints: [
		{key: "dedicated", value: "x", effect: "NoSchedule"},
		{key: "masqbpf/agent-not-ready", effect: "NoSchedule"}]}}]' \
		>"$LAB_DIR/nodes"
	rm -f "$LAB_DIR/node.port"
	lab_spawn node "$PYTHON" "$LAB_LIB/kubeapi.py" "$LAB_DIR/nodes" \
		"$LAB_DIR/node.port" >"$LAB_DIR/node.log" 2>&1
	api=$LAB_PID
	lab_wait 10 test -e "$LAB_DIR/node.port"
	sed "s/127.0.0.1:[0-9]*/127.0.0.1:$(cat "$LAB_DIR/node.port")/" \
		"$LAB_DIR/kubeconfig" >"$LAB_DIR/node.config"
	chmod 755 "$LAB_DIR" # the agent is another user by then
	is "taints at first" "$(taints)" "dedicated masqbpf/agent-not-ready"
	masq detach -q --all
	echo 'nonMasqueradeCIDRs: nonsense' >"$LAB_DIR/agent.yaml"
	lab_spawn node "$MASQBPF" agent --config "$LAB_DIR/agent.yaml" \
		--pin-dir "$MASQBPF_PIN_DIR" --listen "$1:9842" eth0 \
		>"$LAB_DIR/agent.log" 2>&1
	agent=$LAB_PID
	on_node sh "$untaint" >"$LAB_DIR/untaint" 2>&1 &
	job=$!
	lab_wait 20 grep -q listening "$LAB_DIR/agent.log"
	sleep 1
	is "taints with a broken file" "$(taints)" \
		"dedicated masqbpf/agent-not-ready"
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$LAB_DIR/agent.yaml"
	lab_wait 30 lab_gone $job ||
		fail "$(cat "$LAB_DIR/untaint" "$LAB_DIR/agent.log")"
	is taints "$(taints)" dedicated
	# once more: it is gone, which is nothing to complain of
	is "said" "$(on_node sh "$untaint" | tail -n 1)" \
		"node-a: without masqbpf/agent-not-ready"
	is taints "$(taints)" dedicated
	kill "$agent" "$api"
	lab_wait 10 lab_gone "$agent"
	masq attach -q eth0 --preset ip-masq-agent
}

removed() { # the way that NOTES and the chart's README say
	plugin --all-nodes detach --all
	is status "$STATUS" 0
	[ ! -e "$MASQBPF_PIN_DIR" ]
	[ ! -e "$LAB_DIR/bpf/other" ]
	plugin --all-nodes detach --all
	is status "$STATUS" 1
}

row "JSON that is odd" json_odd
row "the manifest for krew" krew
row "helm and kubectl" tools
if ! [ -e "$LAB_DIR/bin" ]; then
	row_skip "kubectl masq" "no kubectl; see above"
	tap_done
	exit
fi
row "a cluster of two nodes" begin
row_ok || { tap_done; exit; }
row "all nodes" all_nodes
row "JSON is one array" json
row "the node of a pod" of_a_pod
row "one node" one_node
row "files" files
row "files, wherever they stand" files_anywhere
row "what is written, here; and the words of a program alone" written_here
row "what changes something" changes_want_a_place
row "a node that does not answer" dead
row "usage" usage
row "watch, of all nodes" watches
row "the start-up taint goes when the agent is ready" start_up_taint 127.0.0.1
row "the start-up taint goes when the agent listens for all" start_up_taint \
	$NODE_ADDR
row "detach, everywhere" removed
tap_done
