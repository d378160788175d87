#!/usr/bin/env bash
# What comes in from outside: straight to a pod, through a NodePort, to the
# node itself. Replies keep the address that was asked, even where the policy
# masquerades what a pod opens towards that client (rows I1, I2, I4 and E2).
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

POD=10.44.14.15
PORT=80
NODE_PORT=30080

lab_begin
lab_node_far
lab_pod pod1 $POD
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_serve far 443
lab_serve pod1 $PORT
lab_serve node 8080
lab_saw_install pod1

# A NodePort as kube-proxy makes it, the client's address left alone.
lab_in node nft -f - <<-EOF
	table ip services {
		chain in {
			type nat hook prerouting priority dstnat
			ip daddr $NODE_ADDR meta l4proto { tcp, udp } \
				th dport $NODE_PORT dnat to $POD:$PORT
		}
	}
EOF

# asks PROTO DEST PORT SPORT [SOURCE]: prints whom the server saw
asks() {
	echo | traffic far talk "$2" "$3" --proto "$1" \
		--source "${5:-$FAR_ADDR}" --sport "$4" --timeout 3
}

# served PROTO DEST PORT SPORT REPLIER: two exchanges, all replies from REPLIER
served() {
	local answer
	lab_saw_reset
	answer=$(asks "$1" "$2" "$3" "$4")
	[ "$1" = icmp ] || is "client that the server saw" "$answer" \
		"$FAR_ADDR $4"
	[ "$answer" != none ] || fail "no answer"
	far_saw "$5"
}

bulk() {
	local line
	lab_saw_reset
	line=$(traffic far "$1" $POD $PORT $((256 << 20)) \
		--source $FAR_ADDR) || fail "$line"
	is "client that the pod saw" "$(word source "$line")" $FAR_ADDR
	far_saw $POD
	note "$(word mbit "$line") Mbit/s"
}

# What the pod opens itself towards the same client is masqueraded.
own_opener() {
	local line
	lab_saw_reset
	line=$(traffic pod1 who $FAR_ADDR 443) || fail "$line"
	is source "$(word source "$line")" $NODE_ADDR
	far_saw $NODE_ADDR
}

# I1 wants the exact tuple: nobody else reaches the pod through its port.
strangers_stay_out() {
	local answer sport=$1
	coproc TALK { traffic pod1 talk $FAR_ADDR 443 --proto udp \
		--sport "$sport" --timeout 3; }
	echo >&"${TALK[1]}"
	read -r answer <&"${TALK[0]}"
	is "pod's own exchange" "$answer" "$NODE_ADDR $sport"
	lab_saw_reset pod1
	asks udp $NODE_ADDR "$sport" 9999 >/dev/null 2>&1 || true
	asks udp $NODE_ADDR "$sport" 9999 172.30.1.1 >/dev/null 2>&1 || true
	echo >&"${TALK[1]}"
	read -r answer <&"${TALK[0]}"
	is "pod's own exchange" "$answer" "$NODE_ADDR $sport"
	is "packets that the pod saw" "$(pod_packets)" 1
}

pod_packets() {
	lab_in pod1 nft -j list set ip saw sources |
		jq '[.nftables[].set.elem[]?.elem.counter.packets] | add'
}

sport=40000
for nat in ${LAB_NAT:-nft masqbpf}; do
	row "$nat: starts" lab_nat "$nat"
	row_ok || continue
	for proto in tcp udp icmp; do
		row "$nat: I4, E2: $proto straight to the pod" \
			served $proto $POD $PORT $((sport += 1)) $POD
	done
	row "$nat: I4, E2: 256 MiB to the pod" bulk up
	row "$nat: I4, E2: 256 MiB from the pod" bulk down
	for proto in tcp udp; do
		row "$nat: $proto through a NodePort" \
			served $proto $NODE_ADDR $NODE_PORT $((sport += 1)) \
			$NODE_ADDR
	done
	for proto in tcp udp icmp; do
		row "$nat: I2: $proto to the node itself" served $proto \
			$NODE_ADDR 8080 $((sport += 1)) $NODE_ADDR
	done
	row "$nat: the pod's own connection to that client" own_opener
	row "$nat: I1: strangers do not reach the pod" \
		strangers_stay_out $((sport += 1))
	row "$nat: stops" lab_nat_off "$nat"
done
tap_done
