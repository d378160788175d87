#!/usr/bin/env bash
# What belongs to a flow and is not one of its packets: ICMP errors about it,
# in both directions, and the fragments of large datagrams. Masqueraded and
# inbound flows; nft masquerade is the twin.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PODS=5
PORT=443
POD=10.44.14.15
DEEP=198.51.100.10	# far -- 1,300 bytes -- mid -- deep
CLOSED=9		# nobody listens there

lab_begin
lab_node_far
lab_pods $PODS
lab_ns mid deep
lab_link far mid mid eth0
lab_link mid deep deep eth0
lab_in far ip link set mid mtu 1300
lab_in far ip addr add 203.0.113.1/30 dev mid
lab_in far ip route add 198.51.100.0/23 via 203.0.113.2
lab_in mid ip link set eth0 mtu 1300
lab_in mid ip addr add 203.0.113.2/30 dev eth0
lab_in mid ip addr add 198.51.100.1/24 dev deep
lab_in mid ip route add 198.51.101.0/24 via $DEEP
lab_in mid ip route add default via 203.0.113.1
lab_in deep ip addr add $DEEP/24 dev eth0
lab_in deep ip route add default via 198.51.100.1
for ns in far mid; do
	lab_in $ns sysctl -qw net.ipv4.ip_forward=1
done
lab_in far ip route add $POD_NET via $NODE_ADDR
# An error a second each is the kernel's default; rows come faster.
for ns in node far pod1; do
	lab_in $ns sysctl -qw net.ipv4.icmp_ratelimit=0
done
lab_serve far $PORT
lab_serve deep $PORT

# error_is WANT FROM NS ARG...: the ICMP error that a datagram comes back as
error_is() {
	local want=$1 from=$2 line
	lab_saw_reset
	line=$(traffic "$3" icmp_error "${@:4}") || fail "$line"
	is "type/code" "$(word error "$line")" "$want"
	is sender "$(word sender "$line")" "$from"
}

from_pod_error_is() {
	error_is "$@"
	far_saw $NODE_ADDR
}

# Large segments with DF: only an error that reaches the pod shrinks them. A
# destination of its own for every row: what is learnt of a path stays.
path_mtu() { # DEST
	local line
	lab_in deep ip addr add "$1/32" dev lo
	lab_saw_reset
	line=$(traffic pod1 up "$1" $PORT $((8 << 20))) || fail "$line"
	is source "$(word source "$line")" $NODE_ADDR
	far_saw $NODE_ADDR
	lab_in pod1 ip route get "$1" | grep 'mtu 1300' ||
		fail "the pod has not learnt the path's MTU"
}

# The pod has closed the socket that an answer comes for: its ICMP error about
# that answer leaves as the node's, and about the node's port.
pods_own_error() {
	local out=$LAB_DIR/capture pid
	lab_saw_reset
	lab_spawn far tcpdump -i eth0 --immediate-mode -U -Z root -nn -v -l \
		'icmp[0] == 3' >"$out" 2>"$out.err"
	pid=$LAB_PID
	lab_wait 5 grep listening "$out.err" >/dev/null
	answer_after_close "$1"
	lab_wait 5 grep -E "$NODE_ADDR\.$1" "$out" >/dev/null ||
		fail "far saw no error about $NODE_ADDR:$1: $(cat "$out")"
	kill "$pid"
	if grep "$POD" "$out"; then
		fail "the above tells the pod's address"
	fi
	far_saw $NODE_ADDR
}

answer_after_close() { # SPORT
	"$PYTHON" - "$LAB_LIB" "$LAB_ID-pod1" "$LAB_ID-far" $FAR_ADDR "$1" <<-'EOF'
		import socket, sys
		sys.path.insert(0, sys.argv[1])
		import traffic
		pod, far, dest, port = sys.argv[2:]
		traffic.enter(far)
		server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		server.bind((dest, 7777))
		server.settimeout(5 * traffic.SLOW)
		traffic.enter(pod)
		client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		client.bind(("", int(port)))
		client.sendto(b"question", (dest, 7777))
		_, peer = server.recvfrom(100)
		client.close()
		server.sendto(b"answer", peer)
	EOF
}

fragments() { # udp|ping ARG...
	local line
	lab_saw_reset
	line=$(traffic far "$@" --netns "$LAB_PODS" \
		--sizes 1473,4000,20000) || fail "$line"
	is answers "$(word ok "$line")" $((PODS * 3))
	far_saw $NODE_ADDR
}

kept_fragments() {
	local line
	lab_saw_reset
	line=$(traffic pod1 udp $FAR_GATEWAY $PORT --netns "$LAB_ID-pod1" \
		--sport "$1" --sizes 4000) || fail "$line"
	is source "$(word sources "$line")" $POD
	far_saw $POD
}

port=20000
path=0
for nat in ${LAB_NAT:-nft masqbpf}; do
	row "$nat: starts" lab_nat "$nat"
	row_ok || continue
	row "$nat: port unreachable, from far to the pod" \
		from_pod_error_is 3/3 $FAR_ADDR pod1 $FAR_ADDR $CLOSED
	row "$nat: time exceeded, from a router to the pod" \
		from_pod_error_is 11/0 $FAR_GATEWAY pod1 $DEEP $CLOSED --ttl 2
	row "$nat: time exceeded, from the node to the pod" \
		error_is 11/0 10.44.14.1 pod1 $DEEP $CLOSED --ttl 1
	row "$nat: port unreachable, from the pod to a client" \
		error_is 3/3 $POD far $POD $CLOSED --source $FAR_ADDR
	row "$nat: the pod's error about an answer to it" \
		pods_own_error $((port += 1))
	for offload in on off; do
		row "$nat: offloads $offload" lab_offload $offload
		row "$nat: path MTU, offloads $offload" \
			path_mtu 198.51.101.$((path += 1))
		row "$nat: UDP in fragments, offloads $offload" \
			fragments udp $FAR_ADDR $PORT --sport $((port += 1))
		row "$nat: ping in fragments, offloads $offload" \
			fragments ping $FAR_ADDR 0 --id $((port += 1))
	done
	row "$nat: a kept flow in fragments" kept_fragments $((port += 1))
	row "$nat: stops" lab_nat_off "$nat"
done
tap_done
