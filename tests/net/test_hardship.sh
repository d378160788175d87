#!/usr/bin/env bash
# What a node may go through while masqbpf is at work: a SYN flood by a real
# tool, clocks that jump, an uplink that is down or moved away, little memory,
# another version with another layout. docs/faults.md has the list.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PORT=443
DEAD=172.30.99.1

lab_begin
chmod 755 "$LAB_DIR" # the agent is nobody and reads its config
lab_node_far
lab_pod pod1 10.44.14.15
lab_pod pod2 10.44.14.16
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_in far nft add table ip guard
lab_in far nft add chain ip guard in '{ type filter hook input priority filter; }'
lab_in far nft add rule ip guard in ip daddr 172.30.99.0/24 drop
lab_serve far $PORT
cd "$LAB_DIR"

get() {
	masq status --json | jq -c "$1"
}

drops() { # REASON
	masq counters --json | jq ".drops.$1"
}

source_now() {
	word source "$(traffic pod2 who $FAR_ADDR $PORT)"
}

# Every row has an instance of its own; the last one's may still be there.
attached() { # LINE...
	masq detach -q --all 2>/dev/null || true
	printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8]' "$@" >config.yaml
	masq attach -q eth0 --config config.yaml
}

nothing_left() {
	[ ! -e "$MASQBPF_PIN_DIR" ] ||
		fail "pins are left: $(ls "$MASQBPF_PIN_DIR")"
}

# --- a flood ----------------------------------------------------------------

# flood ARG...: 60,000 SYN from pod1, about 20,000 a second, never answered
flood() {
	lab_in pod1 hping3 -q -S -i u50 -c 60000 -p 80 "$@" $DEAD \
		>flood.out 2>&1 || true # 1: no answers
	grep -q '60000 packets transmitted' flood.out || fail "$(cat flood.out)"
}

# Others connect while it lasts, and what was there before lives on.
others_live() { # flood's ARG...
	local flood
	stream_start pod2 $FAR_ADDR $PORT
	flood "$@" &
	flood=$!
	traffic far many $FAR_ADDR $PORT --netns "$LAB_ID-pod2" \
		--sports 40000-40299 --timeout 60
	wait $flood || fail "$(cat flood.out)"
	stream_more 1
	stream_end
	is "source of the transfer" "$(word source "$STREAM_LINE")" $NODE_ADDR
	[ "$(masq flows --json | jq length)" -le 8192 ] || fail "too many flows"
	note "300 connections of another pod"
}

no_flows_of() {
	[ "$(masq flows --pod "$1" --json | jq length)" -eq 0 ]
}

# The pod's own flows make room for its new ones, within its quota.
flood_one() {
	local flows
	attached "maxFlows: 8192" "timeouts: {tcpTransitory: 5s}"
	others_live
	flows=$(masq flows --pod 10.44.14.15 --json | jq length)
	if [ "$flows" -gt 2048 ] || [ "$flows" -lt 1024 ]; then
		fail "$flows flows of the pod"
	fi
	lab_wait 30 no_flows_of 10.44.14.15
	note "$flows flows of the pod, $(drops pod_quota) SYN dropped by quota"
}

flood_random() {
	attached "maxFlows: 8192" "timeouts: {tcpTransitory: 5s}"
	others_live --rand-source
	is "pod_quota" "$(drops pod_quota)" 0
	note "$(drops table_full) dropped as table_full"
}

# Forged sources cost nothing where podCIDRs are known.
flood_foreign() {
	attached "maxFlows: 8192" "podCIDRs: [$POD_NET]" \
		"dropForeignSources: true"
	lab_saw_reset
	others_live --rand-source
	# the node's own stack drops some that are no addresses
	[ "$(drops foreign_source)" -gt 50000 ] || fail "$(masq counters)"
	# link-local sources are not ours: the contract's table lets them pass
	is "sources that far saw" "$(lab_saw | tr ' ' '\n' |
		grep -v '^169\.254\.')" $NODE_ADDR
}

# --- clocks -----------------------------------------------------------------

# ages COMMAND...: pod1's only flow is young, and lasts for two hours
ages() {
	"$@" flows --pod 10.44.14.15 --json | jq -e '.[0] |
		.age_s < 120 and .idle_s < 120 and
		.expires_s > 7000 and .expires_s < 7600' >/dev/null ||
		fail "$*: $("$@" flows --pod 10.44.14.15 --json)"
}

in_node() {
	nsenter --net="$(lab_netns node)" -- "$@"
}

clock_of_cli() {
	local offset
	attached
	stream_start pod1 $FAR_ADDR $PORT
	ages in_node "$MASQBPF"
	for offset in +1d -1d +400d; do
		ages in_node env LD_PRELOAD="$(faketime_library)" \
			FAKETIME=$offset FAKETIME_DONT_FAKE_MONOTONIC=1 \
			DONT_FAKE_MONOTONIC=1 "$MASQBPF"
	done
	stream_end
}

# A machine that was suspended: CLOCK_BOOTTIME is ahead; and a container in a
# time namespace, where both are.
clock_of_namespace() {
	attached
	stream_start pod1 $FAR_ADDR $PORT
	ages in_node unshare --time --boottime 86400 "$MASQBPF"
	ages in_node unshare --time --boottime 86400 --monotonic 86400 \
		"$MASQBPF"
	stream_end
}

agent_ready() {
	lab_in node curl -sf --max-time $((5 * TEST_SLOW)) http://127.0.0.1:9842/readyz
}

keeps() {
	masq cidr list --json | jq -e --arg cidr "$1" \
		'.prefixes | any(.prefix == $cidr)'
}

clock_of_agent() {
	local pid offset n=0
	attached
	echo +0 >clock
	chmod 644 clock config.yaml
	lab_spawn node env LD_PRELOAD="$(faketime_library)" \
		FAKETIME_TIMESTAMP_FILE="$LAB_DIR/clock" FAKETIME_NO_CACHE=1 \
		FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 \
		"$MASQBPF" agent --config "$LAB_DIR/config.yaml" eth0 2>agent.log
	pid=$LAB_PID
	lab_wait 20 agent_ready >/dev/null || fail "$(cat agent.log)"
	stream_start pod1 $FAR_ADDR $PORT
	for offset in +1d -1d +400d +0; do
		n=$((n + 1))
		echo $offset >clock.new
		chmod 644 clock.new
		mv clock.new clock
		echo "nonMasqueradeCIDRs: [10.0.0.0/8, 192.0.$n.0/24]" >new.yaml
		mv new.yaml config.yaml
		lab_wait 20 keeps 192.0.$n.0/24 >/dev/null ||
			fail "$offset: $(cat agent.log)"
		agent_ready >/dev/null || fail "$offset: $(cat agent.log)"
	done
	# the clock that it was given was the clock that it used
	lab_in node curl -sf http://127.0.0.1:9842/metrics >metrics
	grep -q '^masqbpf_config_last_reload_success_timestamp' metrics
	stream_more 1
	stream_end
	kill $pid
	lab_wait 5 lab_gone $pid
}

# The same with the machine's own clock: by hand, as by NTP's step.
clock_of_machine() {
	local pid step n=0
	[ -n "${TEST_OWN_MACHINE-}" ] ||
		skip "sets the machine's clock: only in scripts/vm.sh"
	attached
	chmod 644 config.yaml
	lab_spawn node "$MASQBPF" agent --config "$LAB_DIR/config.yaml" eth0 \
		2>agent.log
	pid=$LAB_PID
	lab_wait 20 agent_ready >/dev/null || fail "$(cat agent.log)"
	stream_start pod1 $FAR_ADDR $PORT
	for step in '+1 day' '-2 days' '+400 days' '-399 days'; do
		n=$((n + 1))
		date -s "$step"
		ages in_node "$MASQBPF"
		echo "nonMasqueradeCIDRs: [10.0.0.0/8, 192.0.$n.0/24]" >new.yaml
		mv new.yaml config.yaml
		lab_wait 20 keeps 192.0.$n.0/24 >/dev/null ||
			fail "$step: $(cat agent.log)"
		agent_ready >/dev/null || fail "$step: $(cat agent.log)"
		is "source of a new flow" "$(source_now)" $NODE_ADDR
	done
	stream_more 1
	stream_end
	kill $pid
	lab_wait 5 lab_gone $pid
}

faketime_library() {
	dpkg -L libfaketime | grep '/libfaketime\.so'
}

# --- the uplink -------------------------------------------------------------

uplink_up() {
	lab_in node ip link set eth0 up
	lab_in node ip addr replace $NODE_ADDR/20 dev eth0
	lab_in node ip route replace default via $FAR_GATEWAY
}

# Nothing of ours runs: the hooks are the interface's.
down_and_up() {
	attached
	stream_start pod1 $FAR_ADDR $PORT
	for _ in 1 2 3; do
		lab_in node ip link set eth0 down
		lab_in node ip link set eth0 up
		lab_in node ip route replace default via $FAR_GATEWAY
		stream_more 1
	done
	stream_end
	# the kernel takes up to a second to call it up again
	lab_wait 10 is_well || fail "$(masq status)"
	is source "$(source_now)" $NODE_ADDR
}

is_well() {
	[ "$(get .health)" = '"ok"' ]
}

moved() {
	attached
	lab_ns elsewhere
	trap 'lab_in elsewhere ip link set eth0 netns "$LAB_ID-node" || true
		uplink_up' EXIT
	is source "$(source_now)" $NODE_ADDR
	lab_in node ip link set eth0 netns "$LAB_ID-elsewhere"
	is "health while it is away" "$(get .health)" '"failed"'
	lab_in elsewhere ip link set eth0 netns "$LAB_ID-node"
	trap - EXIT
	uplink_up
	masq attach -q eth0
	is health "$(get .health)" '"ok"'
	lab_saw_reset
	is source "$(source_now)" $NODE_ADDR
	far_saw $NODE_ADDR
}

# --- memory -----------------------------------------------------------------

# cgroup_make BYTES: with that limit; sets CGROUP
cgroup_make() {
	local v1=/sys/fs/cgroup/memory
	if [ -w $v1/memory.limit_in_bytes ]; then
		CGROUP=$v1/$LAB_ID
		mkdir "$CGROUP"
		echo "$1" >"$CGROUP/memory.limit_in_bytes"
	elif grep -qw memory /sys/fs/cgroup/cgroup.subtree_control; then
		CGROUP=/sys/fs/cgroup/$LAB_ID
		mkdir "$CGROUP"
		echo "$1" >"$CGROUP/memory.max"
	else
		skip "no memory controller"
	fi
}

cgroup_run() { # COMMAND...
	bash -c "echo \$BASHPID >$CGROUP/cgroup.procs; exec \"\$@\"" - "$@"
}

little_memory() {
	local status=0
	cgroup_make $((96 << 20)) # a table of the default size takes 158 MB
	trap 'masq detach -q --all 2>/dev/null || true
		lab_wait 10 rmdir "$CGROUP"' EXIT
	masq detach -q --all 2>/dev/null || true
	cgroup_run nsenter --net="$(lab_netns node)" -- "$MASQBPF" \
		attach -q eth0 2>err || status=$?
	# The kernel refuses, or its OOM killer comes: both end it early.
	case $status in
	1)
		is "lines on stderr ($(cat err))" "$(wc -l <err)" 1
		nothing_left
		note "$(cat err)"
		;;
	137) note "killed" ;;
	*) fail "exit code $status: $(cat err)" ;;
	esac
	is source "$(source_now)" 10.44.14.16
	# a smaller table fits in
	printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8]' \
		'maxFlows: 4096' >small.yaml
	cgroup_run nsenter --net="$(lab_netns node)" -- "$MASQBPF" \
		attach -q eth0 --config small.yaml
	is source "$(source_now)" $NODE_ADDR
}

# --- another version --------------------------------------------------------

# another NAME SED-EXPRESSION VERSION: a masqbpf that differs in the header
another() {
	mkdir "$1"
	cp -a "$LAB_ROOT"/{Makefile,bpf,include,user,build} "$1"
	sed -i.old "$2" "$1/include/masqbpf.h"
	cmp -s "$1/include/masqbpf.h" "$1/include/masqbpf.h.old" &&
		[ "$2" ] && fail "nothing changed: $2"
	touch -r "$1/include/masqbpf.h.old" "$1/include/masqbpf.h"
	# only these know the number, and with main.c the version
	is "files that know the layout's number" "$(cd "$LAB_ROOT" &&
		grep -lw MASQ_ABI user/*/*.c bpf/* | xargs)" \
		"user/plane/adopt.c user/plane/make.c user/plane/succeed.c user/policy/saved.c"
	rm -f "$1/build/user/"{plane/{adopt,make,succeed},policy/saved,cli/main}.o \
		"$1/build/masqbpf"
	make -C "$1" VERSION="$3" >make.log 2>&1 || fail "$(cat make.log)"
}

# Another version with the same layout takes over what runs, and back.
other_version() {
	local other=$LAB_DIR/version/build/masqbpf
	attached
	another version '' 9.9.9
	is version "$("$other" --version)" "masqbpf 9.9.9"
	stream_start pod1 $FAR_ADDR $PORT
	in_node "$other" attach -q eth0
	is health "$(in_node "$other" status --json | jq -r .health)" ok
	in_node "$other" cidr add -q 192.0.2.0/24
	stream_more 1
	masq attach -q eth0
	masq cidr del -q 192.0.2.0/24
	stream_more 1
	stream_end
	is "source of the transfer" "$(word source "$STREAM_LINE")" $NODE_ADDR
}

row "SYN flood of one pod" flood_one
row "SYN flood with random sources" flood_random
row "SYN flood with random sources, dropForeignSources" flood_foreign
row "the wall clock jumps under flows" clock_of_cli
row "the wall clock jumps under the agent" clock_of_agent
row "the machine's clock is set under both" clock_of_machine
row "monotonic and boot time a day ahead" clock_of_namespace
row "uplink: down and up" down_and_up
row "uplink: to another namespace and back" moved
row "a cgroup with little memory" little_memory
row "upgrade: another version and back" other_version
masq detach -q --all 2>/dev/null || true
tap_done
