#!/usr/bin/env bash
# The image in a container as the DaemonSet describes it, made by podman and
# runc, and its rolling update: another version takes over from it while 100
# connections live.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/steady.sh"

POD=10.44.14.15
PORT=443
OTHER=9.9.9
MANIFEST=$LAB_ROOT/deploy/kubernetes/daemonset.yaml

for tool in podman runc; do
	command -v $tool >/dev/null || {
		row_skip "image in a container" "no $tool: apt-get install $tool"
		tap_done
		exit
	}
done

lab_begin
trap image_end EXIT
chmod 755 "$LAB_DIR"
# images and containers of this test alone
cat >"$LAB_DIR/storage.conf" <<-TOML
	[storage]
	driver = "vfs"
	graphroot = "$LAB_DIR/storage"
	runroot = "$LAB_DIR/run"
TOML
export CONTAINERS_STORAGE_CONF=$LAB_DIR/storage.conf
lab_node_far
lab_pod pod1 $POD
lab_serve far $PORT
mkdir "$LAB_DIR/conf"
echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$LAB_DIR/conf/ip-masq-agent"

image_end() {
	local status=$?
	[ "$BASHPID" = "$LAB_SHELL" ] || return 0
	podman rm -f -a -t 0 >/dev/null 2>&1 || true
	(exit $status)
	lab_end
}

# manifest FILTER: a value of the container, out of the DaemonSet
manifest() {
	"$PYTHON" -c 'import json, sys, yaml
print(json.dumps(yaml.safe_load(sys.stdin)["spec"]["template"]["spec"]))' \
		<"$MANIFEST" | jq -r "$1"
}

# The same sources with another version: what knows it is made anew.
images() {
	local out=$LAB_DIR/other file
	"$PYTHON" -c 'import yaml' || skip "no yaml: apt-get install python3-yaml"
	mkdir "$out" "$LAB_DIR/this"
	cp -a "$LAB_ROOT/build/user" "$LAB_ROOT"/build/*.skel.h \
		"$LAB_ROOT"/build/*.bpf.* "$out/"
	while read -r file; do
		rm "$out/${file%.c}.o"
	done < <(cd "$LAB_ROOT" && grep -l MASQ_VERSION user/*/*.c)
	make -sC "$LAB_ROOT" O="$out" VERSION=$OTHER all
	cp "$MASQBPF" "$LAB_DIR/this/"
	BUILDER=podman O=$LAB_DIR/this "$LAB_ROOT/scripts/image.sh" \
		localhost/masqbpf:this
	BUILDER=podman O=$out "$LAB_ROOT/scripts/image.sh" \
		localhost/masqbpf:other
	note "$(podman images --format '{{.Size}}' localhost/masqbpf:this)"
}

# url PROBE: what kubelet asks, from the node
url() {
	manifest ".containers[0].$1.httpGet |
		\"http://\(.host):\(.port)\(.path)\""
}

ready() {
	lab_in node curl -sf --max-time 5 "$READY" >/dev/null
}

# container TAG: as the DaemonSet says; limits are no larger than ours
container() {
	local args caps context='.containers[0].securityContext'
	is "read-only root" "$(manifest "$context.readOnlyRootFilesystem")" true
	is "user" "$(manifest "$context.runAsUser")" 0
	is "escalation" "$(manifest "$context.allowPrivilegeEscalation")" false
	is "seccomp" "$(manifest "$context.seccompProfile.type")" Unconfined
	is "mount" "$(manifest '.containers[0].volumeMounts |
		map(.mountPath) | join(" ")')" \
		"/sys/fs/bpf /etc/config /var/lib/cni/results /var/lib/masqbpf"
	mkdir -p "$LAB_DIR/cni"
	caps=$(manifest "$context.capabilities.add | join(\",\")")
	mapfile -t args < <(manifest '.containers[0].args[]')
	podman --runtime runc run -d --name "$LAB_ID" --pull=never \
		--network "ns:$(lab_netns node)" --read-only \
		--user 0 --cap-drop=all --cap-add="$caps" \
		--security-opt no-new-privileges \
		--security-opt seccomp=unconfined \
		--ulimit nofile=1024:1024 --ulimit nproc=1000:1000 \
		--memory "$(manifest '.containers[0].resources.limits.memory' |
			tr -d i)" \
		-v "$LAB_DIR/bpf:/sys/fs/bpf" \
		-v "$LAB_DIR/conf:/etc/config:ro" \
		-v "$LAB_DIR/cni:/var/lib/cni/results:ro" \
		-v "$MASQBPF_STATE_DIR:/var/lib/masqbpf" \
		"localhost/masqbpf:$1" "${args[@]}"
	lab_wait 60 ready || fail "$(podman logs "$LAB_ID" 2>&1)"
}

version() {
	lab_in node curl -s --max-time 5 "${READY%/*}/metrics" |
		sed -n 's/^masqbpf_build_info{version="\(.*\)"} 1/\1/p'
}

status_of() { # FIELD
	sed -n "s/^$1:\t//p" \
		"/proc/$(podman inspect -f '{{.State.Pid}}' "$LAB_ID")/status"
}

runs() {
	local set
	READY=$(url readinessProbe)
	container this
	lab_in node curl -sf --max-time 5 "$(url livenessProbe)"
	is "source" "$(word source "$(traffic pod1 who $FAR_ADDR $PORT)")" \
		$NODE_ADDR
	for set in CapInh CapPrm CapEff CapBnd CapAmb; do
		is $set "$(status_of $set)" 0000000000000000
	done
	is NoNewPrivs "$(status_of NoNewPrivs)" 1
	is Seccomp "$(status_of Seccomp)" 2
	is "uid" "$(status_of Uid | cut -f1)" 60842
}

# As `kubectl exec` does it: a process beside the agent, which has none of its
# capabilities any more; of a pod that the container's files name.
probes() {
	MASQBPF_CNI_RESULTS=$LAB_DIR/cni \
		lab_cni_file bridge cart-0 $POD fd00:44::15 pod1
	podman exec "$LAB_ID" masqbpf probe -q $FAR_ADDR:$PORT \
		--source shop/cart-0 --json >"$LAB_DIR/probe" || true
	is "both are tried" "$(jq -c '[.as_node.answered, .as_pod.source,
		.as_pod.pod.name]' "$LAB_DIR/probe")" "[true,\"$POD\",\"cart-0\"]"
}

health_is() {
	[ "$(masq status --json | jq -r .health)" = "$1" ]
}

# The config lies in the container; status on the node looks at it there.
status_outside() {
	[ ! -e /etc/config/ip-masq-agent ] || skip "the node has such a file"
	lab_wait 10 health_is ok || fail "$(masq status)"
	echo 'nonMasqueradeCIDRs: [10.0.0.1/8]' \
		>"$LAB_DIR/conf/ip-masq-agent"
	lab_wait 10 health_is degraded
	masq status | grep -q '/etc/config/ip-masq-agent:1:22: .*is older' ||
		fail "$(masq status)"
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' \
		>"$LAB_DIR/conf/ip-masq-agent"
	lab_wait 10 health_is ok || fail "$(masq status)"
}

more() { # three rounds of the 100, and short ones meanwhile
	local name
	for name in long short; do
		lab_wait 30 reached $name $(($(progress $name) + $1)) ||
			fail "$name: $(cat "$LAB_DIR/$name.result")"
		set -- 5
	done
}

steady_end() { # NAME
	local line
	touch "$LAB_DIR/$1.stop"
	lab_wait 30 lab_gone "$(cat "$LAB_DIR/$1.pid")"
	line=$(tail -1 "$LAB_DIR/$1.result")
	is "$1: failures" "$(word failed "$line")" 0
	is "$1: sources" "$(word sources "$line")" $NODE_ADDR
	note "$1: $(word ok "$line")"
}

# sums: of all counters that only grow, by name
sums() {
	lab_in node curl -s --max-time 10 "${READY%/*}/metrics" |
		awk '/^# TYPE/ { kind[$3] = $4; next } /^#/ { next }
			{ name = $1; sub(/[{].*/, "", name) }
			kind[name] == "counter" { sum[name] += $2 }
			END { for (n in sum) print n, sum[n] }' | sort
}

update() {
	local before=$LAB_DIR/before after=$LAB_DIR/after
	READY=$(url readinessProbe)
	steady long pod1 --timeout 10
	steady short pod1 --timeout 10 --short
	more 300
	is version "$(version)" "$("$MASQBPF" --version | cut -d' ' -f2)"
	sums >"$before"
	# the old one goes first: within its grace, or it is killed
	podman stop -t "$(manifest .terminationGracePeriodSeconds)" "$LAB_ID"
	is "exit status" "$(podman inspect -f '{{.State.ExitCode}}' "$LAB_ID")" 0
	podman rm "$LAB_ID"
	more 300
	container other
	more 300
	is version "$(version)" $OTHER
	podman logs "$LAB_ID" 2>&1 | grep -q 'generation 1 is in force: taken over'
	sums >"$after"
	join "$before" "$after" | awk '$3 < $2 { print; bad = 1 }
		$3 > $2 { more = 1 }
		END { exit bad || !more }'
	is "names" "$(cut -d' ' -f1 "$after")" "$(cut -d' ' -f1 "$before")"
	steady_end long
	steady_end short
	is "connections" "$(word open "$(tail -1 "$LAB_DIR/long.result")")" 100
}

row "images of two versions" images
row_ok || { tap_done; exit; }
row "in a container, as the DaemonSet says" runs
row_ok && row "probe in it, as kubectl exec does it" probes
row_ok && row "status outside sees the config inside" status_outside
row "rolling update: 100 connections, counters go on" update
tap_done
