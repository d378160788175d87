#!/usr/bin/env bash
# Watches as filters of clsact, which they are where there is no TCX (before
# 6.6), or where the uplinks are hooked by filters: what comes in by a card that
# is not attached is answered from the pod's own address, nobody else's filter or
# qdisc is touched, and nothing of ours stays.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/agent.sh"

export URL=http://127.0.0.1:9842
POD=10.44.14.15
CARD_ADDR=10.150.0.1
PORT=443

lab_agent $POD
echo 0 >"$LAB_DIR/agent"
LOG=$LAB_DIR/log
for card in lb0 lb1; do
	lab_link node $card far $card
	for ns in node far; do
		lab_in $ns sysctl -qw net.ipv4.conf.$card.rp_filter=0
	done
done
lab_in node ip addr add $CARD_ADDR/24 dev lb0
lab_in far ip addr add 10.150.0.2/24 dev lb0
lab_serve pod1 80
CONFIG=$LAB_DIR/config.yaml
put_config 10.0.0.0/8

# on DEV: programs of watches at its ingress
watches() {
	lab_in node tc filter show dev "$1" ingress 2>/dev/null |
		grep -c masq_beside || true
}

watches_are() { # DEV COUNT
	[ "$(watches "$1")" = "$2" ]
}

qdiscs() {
	lab_in node tc qdisc show dev "$1" | grep -c clsact || true
}

# talk_by PROTO DEV SPORT: far asks the pod by lb0, the answer's way is eth0
talk_by() {
	local answer
	lab_in far ip route replace "$POD/32" via $CARD_ADDR src $FAR_ADDR
	answer=$(echo | traffic far talk $POD 80 --proto "$1" \
		--source $FAR_ADDR --sport "$2" --timeout 3)
	lab_in far ip route del "$POD/32"
	is "client that the server saw, $1" "$answer" "$FAR_ADDR $2"
}

in_by_lb0() { # SPORT
	talk_by udp "$1"
	talk_by tcp "$1"
	lab_in far ip route replace "$POD/32" via $CARD_ADDR src $FAR_ADDR
	lab_in far ping -q -c 1 -W $((2 * TEST_SLOW)) -I $FAR_ADDR $POD >"$LAB_DIR/ping" ||
		fail "no answer to a ping"
	lab_in far ip route del "$POD/32"
}

attach() {
	masq attach eth0 --hook tc -q --config "$CONFIG" "$@"
}

by_filters() {
	attach
	is "watches of lb0" "$(watches lb0)" 1
	is "watches of a pod's interface" "$(watches pod1)" 0
	in_by_lb0 43001
	# and once is enough
	attach
	is "watches of lb0" "$(watches lb0)" 1
}


# A table of before would stay in memory with a program that uses it.
table() {
	bpftool -j map show pinned "$MASQBPF_PIN_DIR/masq_flows4" | jq .id
}

table_is_gone() { # ID
	! bpftool map show id "$1" >/dev/null 2>&1
}

another_size() {
	local before
	attach
	before=$(table)
	talk_by udp 43010
	echo 'maxFlows: 100000' >>"$CONFIG"
	masq reload -q --config "$CONFIG"
	lab_wait 20 table_is_gone "$before"
	is "watches of lb0" "$(watches lb0)" 1
	talk_by udp 43011
}

others_there() {
	lab_in node tc qdisc add dev lb0 clsact
	lab_in node tc filter add dev lb0 ingress prio 4 protocol all u32 \
		match u32 0xdeadbeef 0xffffffff at 12
	attach
	is "watches of lb0" "$(watches lb0)" 1
	talk_by udp 43020
	masq detach -q --all
	lab_nothing_left eth0 lb0 pod1
	is "clsact of theirs" "$(qdiscs lb0)" 1
	lab_in node tc filter show dev lb0 ingress | grep -c deadbeef >/dev/null ||
		fail "their filter is gone"
	lab_in node tc qdisc del dev lb0 clsact
	# ours goes
	attach
	is "clsact" "$(qdiscs lb0)" 1
	masq detach -q eth0
	is "clsact" "$(qdiscs lb0)" 0
	lab_nothing_left eth0 lb0 lb1 pod1
}

# Two instances watch the same card, each its own filter.
two_instances() {
	attach
	MASQBPF_PIN_DIR=$LAB_DIR/bpf/second masq attach lb1 --hook tc -q \
		--config "$CONFIG" 2>/dev/null
	is "watches of lb0" "$(watches lb0)" 2
	talk_by udp 43030
	MASQBPF_PIN_DIR=$LAB_DIR/bpf/second masq detach -q --all
	is "watches of lb0" "$(watches lb0)" 1
	talk_by udp 43031
	masq detach -q --all
	is "clsact" "$(qdiscs lb0)" 0
}

# An uplink now, and one no more.
attached_and_not() {
	attach
	masq attach -q lb0 --hook tc 2>/dev/null
	is "watches of an uplink" "$(watches lb0)" 0
	masq detach -q lb0
	is "watches of lb0" "$(watches lb0)" 1
	talk_by udp 43040
}

other_kind() {
	[ "$(lab_hook)" = tcx ] || skip "this kernel has no TCX"
	attach
	masq attach -q eth0 --hook tcx
	is "filters" "$(watches lb0)" 0
	lab_in node "$PYTHON" "$LAB_LIB/foreign.py" tcx-list lb0 ingress |
		grep -c masq_beside >/dev/null || fail "no link"
	talk_by udp 43050
	masq attach -q eth0 --hook tc
	is "filters" "$(watches lb0)" 1
	lab_in node "$PYTHON" "$LAB_LIB/foreign.py" tcx-list lb0 ingress |
		grep -c masq_beside >/dev/null && fail "the link is there, too"
	talk_by udp 43051
}

agent_looks_after() {
	attach
	# whose filters would be on these cards, which are veths, as well
	lab_spawn node "$MASQBPF" agent --fast-path off --config "$CONFIG" \
		eth0 2>"$LOG"
	echo "$LAB_PID" >"$LAB_DIR/agent"
	lab_wait 20 ready || fail "$(cat "$LOG")"
	lab_in node tc qdisc del dev lb0 clsact
	lab_wait 20 watches_are lb0 1 || fail "$(cat "$LOG")"
	talk_by udp 43060
	# a port of a bridge of pods, and not any more
	lab_in node ip link add br0 type bridge
	lab_in node ip link set lb0 master br0
	lab_wait 20 watches_are lb0 0 || fail "$(cat "$LOG")"
	is "clsact of lb0" "$(qdiscs lb0)" 0
	lab_in node ip link del br0
	lab_wait 20 watches_are lb0 1 || fail "$(cat "$LOG")"
	masq doctor --json >"$LAB_DIR/doctor" || true
	is "findings about lb0" "$(jq -r '.findings[] | select(.level != "ok") |
		select(.check == "uplinks" and (.what | contains("lb0"))).what' "$LAB_DIR/doctor")" ""
	stop
	masq detach -q --all
	lab_nothing_left eth0 lb0 pod1
}

row "UDP, TCP and ping by another card" by_filters
row "another size" another_size
row "attached, and detached" attached_and_not
row "from filters to links and back" other_kind
row "an agent looks after them" agent_looks_after
row "somebody's filter and clsact" others_there
row "two instances" two_instances
tap_done
