#!/usr/bin/env bash
# What the guard costs the agent: its processor time, helper included, at FLOWS
# live flows: off; on, with nothing to watch but a first policy; in the window of
# a change that flips them all. Prints milliseconds a second.
#	tests/bench/guard.sh [FLOWS [SECONDS]]
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

starts off 10.0.0.0/8
measure "guard: off"
starts alarm 10.0.0.0/8
measure "guard: on, nothing changed"
file alarm "10.0.0.0/8, 172.16.0.0/12"
sleep 3
measure "guard: in a window"
