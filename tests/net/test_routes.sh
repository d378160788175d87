#!/usr/bin/env bash
# Random routing on the node: rules by source, interface and destination, tables,
# source hints, ways that are none, uplinks that are not attached. What explain
# says, what comes out at the far side and what `ip route get` says are one.
# ROUTES_NODES (25) nodes from ROUTES_SEED (TEST_SEED, or another one each time).
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

NODES=${ROUTES_NODES:-25}
SEED=${ROUTES_SEED:-${TEST_SEED:-$RANDOM}}
export LAB_IPV6=true

lab_begin
lab_node_far
lab_pods 2
lab_ipv6
n=0
for card in lb0 side0; do
	lab_link node $card far $card
	for ns in node far; do
		lab_in $ns sysctl -qw net.ipv4.conf.$card.rp_filter=0 \
			net.ipv6.conf.$card.disable_ipv6=0 \
			net.ipv6.conf.$card.accept_dad=0
	done
	lab_in node ip addr add 10.15$n.0.1/24 dev $card
	lab_in far ip addr add 10.15$n.0.2/24 dev $card
	lab_in node ip addr add fd00:15$n::1/64 dev $card nodad
	lab_in far ip addr add fd00:15$n::2/64 dev $card nodad
	n=$((n + 1))
done
lab_in node ip addr add 10.142.0.66/32 dev eth0
lab_nat masqbpf 2>/dev/null
masq attach -q lb0 2>/dev/null

agree() {
	"$PYTHON" "$LAB_LIB/routes.py" "$MASQBPF" "$LAB_ID" "$SEED" "$NODES" \
		>"$LAB_DIR/out" || fail "$(cat "$LAB_DIR/out")"
	note "seed $SEED, $(cat "$LAB_DIR/out")"
}

if ! lab_fib_source; then
	# docs/node.md
	row_skip "explain, packets and the kernel agree" \
		"routes tell a program no source"
else
	row "explain, packets and the kernel agree" agree
fi
tap_done
