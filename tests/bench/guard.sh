#!/usr/bin/env bash
# What the guard costs. Packets: the kernel's time of the egress program for
# sources outside podCIDRs, while a change of podCIDRs is watched and such flows
# have records, and while not; nanoseconds a packet. The agent: its processor
# time, helper included, at FLOWS live flows: off; on, with nothing to watch but
# a first policy; in the window of a change that flips them all; milliseconds a
# second.
#	tests/bench/guard.sh [FLOWS [SECONDS]]
# SECONDS 0: packets alone. Needs build/tests/bench/bench (make of that name).
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"

FLOWS=${1:-100000}
SECONDS_EACH=${2:-60}

lab_begin
chmod 755 "$LAB_DIR"
lab_node_far
lab_pods 2
CONF=$LAB_DIR/config.yaml

file() { # ACTION KEPT
	printf '%s\n' "guard: {action: $1}" "nonMasqueradeCIDRs: [$2]" \
		"maxFlows: $((4 * FLOWS))" "timeouts: {udpUnreplied: 3600s}" \
		>"$CONF.new"
	mv "$CONF.new" "$CONF"
}

ticks() { # of the agent and its helper
	local pid stat sum=0
	for pid in "$AGENT" $(pgrep -P "$AGENT"); do
		read -ra stat < <(sed 's/.*) //' "/proc/$pid/stat")
		sum=$((sum + stat[11] + stat[12]))
	done
	echo $sum
}

measure() { # NAME
	local before
	before=$(ticks)
	sleep "$SECONDS_EACH"
	printf '%-28s %6.1f ms/s at %s flows\n' "$1" \
		"$((($(ticks) - before) * 100000 / $(getconf CLK_TCK) / SECONDS_EACH))e-2" \
		"$(masq status --json | jq .flows)"
}

starts() { # ACTION KEPT
	[ -z "${AGENT-}" ] || {
		kill "$AGENT"
		while kill -0 "$AGENT" 2>/dev/null; do sleep 0.1; done
		masq detach -q --all
	}
	file "$1" "$2"
	lab_spawn node "$MASQBPF" agent -q eth0 --config "$CONF"
	AGENT=$LAB_PID
	lab_wait 60 lab_in node curl -sf http://127.0.0.1:9842/readyz >/dev/null
	for pod in pod1 pod2; do
		lab_in $pod "$PYTHON" - $((FLOWS / 2)) <<-'PY'
			import socket, sys
			s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
			s.bind(("", 5000))
			for i in range(int(sys.argv[1])):
			    s.sendto(b"x", (f"172.30.{i % 200}.{i // 200 % 250}",
			                    1000 + i // 50000))
		PY
	done
	sleep 3
}

only() { # podCIDRs
	printf '%s\n' "podCIDRs: [$1]" "nonMasqueradeCIDRs: [10.0.0.0/8]" \
		'maxFlows: 1048576' 'maxFlowsPerPod: 1048576' >"$CONF"
}

# flood FIRST FLOWS COUNT: prog_ns of so many packets of such flows
flood() {
	"$LAB_ROOT/build/tests/bench/bench" flood node="$LAB_ID-node" \
		dev=pod1 hook_dev=eth0 sink="$LAB_ID-far" sink_dev=eth0 \
		dst=172.30.0.1 prog="$MASQBPF_PIN_DIR/masq_egress" \
		first="$1" flows="$2" count="$3" |
		sed -n 's/.*\bprog_ns=\([0-9.]*\).*/\1/p'
}

# Seven times each: 64 flows over and over, and new flows alone.
packets() { # watched|unwatched
	local i
	if [ "$1" = watched ]; then
		only 10.44.0.0/16
		masq attach -q eth0 --config "$CONF"
	fi
	only 10.99.0.0/16
	masq attach -q eth0 --config "$CONF"
	for ((i = 0; i < 7; i++)); do
		flood 0 64 100000 >>"$LAB_DIR/$1-known"
		flood $(((i + 1) * 10000)) 10000 10000 >>"$LAB_DIR/$1-new"
	done
	masq flows --count >"$LAB_DIR/$1-flows"
	masq detach -q --all
}

packets unwatched
packets watched
for what in known new; do
	for when in unwatched watched; do
		printf '%-24s %s ns a packet, median of %s; %s records\n' \
			"$what flows, $when" \
			"$(sort -n "$LAB_DIR/$when-$what" | sed -n 4p)" \
			"$(sort -n "$LAB_DIR/$when-$what" | xargs)" \
			"$(cat "$LAB_DIR/$when-flows")"
	done
done
[ "$SECONDS_EACH" -gt 0 ] || exit 0

starts off 10.0.0.0/8
measure "guard: off"
starts alarm 10.0.0.0/8
measure "guard: on, nothing changed"
file alarm "10.0.0.0/8, 172.16.0.0/12"
sleep 3
measure "guard: in a window"
