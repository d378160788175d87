#!/usr/bin/env bash
# Ordinary traffic of 20 pods through one node: TCP in bulk and in numbers,
# UDP, ping; with and without offloads; judged by the far side. The same rows
# run with nft masquerade first: that proves the rows themselves.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PODS=20
MIB=1024
# minutes each where a packet takes ten times longer: there less will do
[ "$TEST_SLOW" = 1 ] || MIB=128
PORT=443

lab_begin
lab_node_far
lab_pods $PODS
lab_serve far $PORT
lab_serve pod2 8080

bulk() {
	local line
	lab_saw_reset
	line=$(traffic pod1 "$1" "$dest" $PORT $((MIB << 20))) || fail "$line"
	is "source of the connection" "$(word source "$line")" $NODE_ADDR
	far_saw $NODE_ADDR
	note "$(word mbit "$line") Mbit/s"
}

# 20 pods x 50 source ports towards one destination
thousand() {
	local line
	lab_saw_reset
	line=$(traffic far many "$dest" $PORT --netns "$LAB_PODS" \
		--timeout 60 "$@") || fail "$line"
	is connections "$(word ok "$line")" 1000
	is "sources" "$(word sources "$line")" $NODE_ADDR
	case " $* " in
	*" --hold "*) is "distinct ports" "$(word distinct "$line")" 1000 ;;
	esac
	far_saw $NODE_ADDR
}

datagrams() {
	local line
	lab_saw_reset
	line=$(traffic far udp "$dest" $PORT --netns "$LAB_PODS" \
		--sport "$1" --sizes 0,1,2,511,1400,1450) || fail "$line"
	is answers "$(word ok "$line")" $((PODS * 6))
	is sources "$(word sources "$line")" $NODE_ADDR
	is "distinct ports" "$(word distinct "$line")" $PODS
	far_saw $NODE_ADDR
}

pings() {
	local line
	lab_saw_reset
	line=$(traffic far ping "$dest" 0 --netns "$LAB_PODS" --id "$1" \
		--sizes 0,1,56,1472) || fail "$line"
	is answers "$(word ok "$line")" $((PODS * 4))
	far_saw $NODE_ADDR
}

free_port_is_kept() {
	local line
	line=$(traffic pod3 who "$dest" $PORT --sport "$1") || fail "$line"
	is port "$(word port "$line")" "$1"
}

host_traffic() {
	local line
	line=$(traffic node who "$dest" $PORT --sport "$1") || fail "$line"
	is source "$(word source "$line")" $NODE_ADDR
	is port "$(word port "$line")" "$1"
}

# same_tuple PROTO SPORT FIRST SECOND: both talk to far from the same source
# port, of which the node has only one; neither may disturb the other.
same_tuple() {
	local proto=$1 sport=$2 first second again ns
	ns=$4
	coproc FIRST { traffic "$3" talk "$dest" $PORT --proto "$proto" \
		--sport "$sport" --timeout 3; }
	echo >&"${FIRST[1]}"
	read -r first <&"${FIRST[0]}"
	is "what far saw of $3" "$first" "$NODE_ADDR $sport"
	second=$(echo | traffic "$ns" talk "$dest" $PORT --proto "$proto" \
		--sport "$sport" --timeout 3) || fail "$ns: $second"
	is "source of $ns" "${second% *}" $NODE_ADDR
	[ "$second" != "$first" ] || fail "far saw both as $first"
	echo >&"${FIRST[1]}"
	read -r again <&"${FIRST[0]}"
	is "what far saw of $3 afterwards" "$again" "$first"
}

# A destination in the list keeps the pod's address; far has a route here.
kept_destination() {
	local line
	lab_in far ip route replace $POD_NET via $NODE_ADDR
	lab_saw_reset
	line=$(traffic pod1 who $FAR_GATEWAY $PORT) || fail "$line"
	is source "$(word source "$line")" 10.44.14.15
	far_saw 10.44.14.15
	lab_in far ip route del $POD_NET
}

pod_to_pod() {
	local line
	line=$(traffic pod1 who 10.44.14.16 8080) || fail "$line"
	is source "$(word source "$line")" 10.44.14.15
}

# No row shares a tuple with an earlier one, so none meets an old connection:
# rows have their own ports, and who translates has its own destination (nft
# gives colliding pods any port, and masqbpf leaves those alone that it finds
# in the conntrack table).
base=20000
rows() {
	local nat=$1
	row "$nat: a free source port is kept" free_port_is_kept $((base + 1))
	row "$nat: the node's own connection is left alone" \
		host_traffic $((base + 2))
	for proto in tcp udp; do
		base=$((base + 2))
		row "$nat: the node uses a pod's source port, $proto" \
			same_tuple $proto $((base + 1)) pod1 node
		row "$nat: a pod uses the node's source port, $proto" \
			same_tuple $proto $((base + 2)) node pod1
	done
	base=$((base + 100))
	row "$nat: a kept destination sees the pod" kept_destination
	row "$nat: pod to pod is left alone" pod_to_pod
	for offload in on off; do
		row "$nat: offloads $offload" lab_offload $offload
		row "$nat: $MIB MiB from the pod, offloads $offload" bulk up
		row "$nat: $MIB MiB to the pod, offloads $offload" bulk down
		base=$((base + 100))
		row "$nat: 1000 connections, 20 pods, same ports, offloads $offload" \
			thousand --sports $base-$((base + 49))
		base=$((base + 100))
		row "$nat: the same, all open at once, offloads $offload" \
			thousand --hold --sports $base-$((base + 49))
		base=$((base + 100))
		row "$nat: UDP requests, same port, offloads $offload" datagrams $base
		row "$nat: ping, same identifier, offloads $offload" pings $base
	done
}

for nat in ${LAB_NAT:-nft masqbpf}; do
	dest=$FAR_ADDR
	[ "$nat" = masqbpf ] || dest=172.30.12.111
	row "$nat: starts" lab_nat "$nat"
	row_ok || continue
	rows "$nat"
	row "$nat: stops" lab_nat_off "$nat"
done
tap_done
