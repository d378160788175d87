#!/usr/bin/env bash
# kube-proxy in netfilter beside us: clients outside reach a pod through a
# NodePort or a load balancer's address, under either traffic policy, over TCP
# and UDP, and ping it; the pod's own connections to the same client are
# masqueraded all the while.
#	local:   DNAT alone; the pod sees the client
#	cluster: DNAT, and kube-proxy masquerades what it marked to the node
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

POD=10.44.14.15
PORT=80
BALANCER=203.0.113.80	# an address of nobody: kube-proxy takes it anyway
LOCAL_PORT=30080
CLUSTER_PORT=30081

lab_begin
lab_node_far
lab_pod pod1 $POD
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_in far ip route add $BALANCER via $NODE_ADDR
lab_serve far 443
lab_serve pod1 $PORT
lab_saw_install pod1

# The rules as kube-proxy writes them.
proxy_rules() {
	local proto
	lab_in node iptables -t nat -N KUBE-SERVICES
	lab_in node iptables -t nat -N KUBE-MARK-MASQ
	lab_in node iptables -t nat -N KUBE-POSTROUTING
	lab_in node iptables -t nat -A PREROUTING -j KUBE-SERVICES
	lab_in node iptables -t nat -A POSTROUTING -j KUBE-POSTROUTING
	lab_in node iptables -t nat -A KUBE-MARK-MASQ \
		-j MARK --or-mark 0x4000
	lab_in node iptables -t nat -A KUBE-POSTROUTING \
		-m mark ! --mark 0x4000/0x4000 -j RETURN
	lab_in node iptables -t nat -A KUBE-POSTROUTING \
		-j MARK --xor-mark 0x4000
	lab_in node iptables -t nat -A KUBE-POSTROUTING -j MASQUERADE
	for proto in tcp udp; do
		lab_in node iptables -t nat -A KUBE-SERVICES -p $proto \
			-d $NODE_ADDR --dport $LOCAL_PORT \
			-j DNAT --to $POD:$PORT
		lab_in node iptables -t nat -A KUBE-SERVICES -p $proto \
			-d $NODE_ADDR --dport $CLUSTER_PORT -j KUBE-MARK-MASQ
		lab_in node iptables -t nat -A KUBE-SERVICES -p $proto \
			-d $NODE_ADDR --dport $CLUSTER_PORT \
			-j DNAT --to $POD:$PORT
		lab_in node iptables -t nat -A KUBE-SERVICES -p $proto \
			-d $BALANCER --dport 8080 -j DNAT --to $POD:$PORT
	done
}

# served PROTO DEST PORT SPORT REPLIER CLIENT: three exchanges over one flow;
# the pod's server sees CLIENT ("" for whichever port)
served() {
	local answers
	lab_saw_reset
	answers=$(printf '\n\n\n' | traffic far talk "$2" "$3" --proto "$1" \
		--source $FAR_ADDR --sport "$4" --timeout 3) ||
		fail "$answers"
	is answers "$(wc -l <<<"$answers")" 3
	is "client that the pod saw" \
		"$(sort -u <<<"$answers" | cut -d' ' -f1)" "$6"
	far_saw "$5"
}

pings() { # DEST
	lab_saw_reset
	lab_in far ping -c 3 -i 0.1 -W 3 -I $FAR_ADDR "$1" >/dev/null
	far_saw "$1"
}

# The same peer, the other way round, while its own connection lives.
own_opener() { # PROTO SPORT
	local answer
	lab_saw_reset
	answer=$(echo | traffic pod1 talk $FAR_ADDR 443 --proto "$1" \
		--sport "$2" --timeout 3)
	is "client that far saw" "$answer" "$NODE_ADDR $2"
	far_saw $NODE_ADDR
}

# From the very port that the client uses: its tuple is another one.
own_opener_same_ports() { # SPORT
	coproc TALK { traffic far talk $POD $PORT --source $FAR_ADDR \
		--sport "$1" --timeout 5; }
	echo >&"${TALK[1]}"
	read -r answer <&"${TALK[0]}"
	is "client that the pod saw" "$answer" "$FAR_ADDR $1"
	own_opener tcp "$1"
	echo >&"${TALK[1]}"
	read -r answer <&"${TALK[0]}"
	is "client that the pod saw, later" "$answer" "$FAR_ADDR $1"
}

row "kube-proxy's rules" proxy_rules
sport=40000
for nat in ${LAB_NAT:-nft masqbpf}; do
	row "$nat: starts" lab_nat "$nat"
	row_ok || continue
	for proto in tcp udp; do
		row "$nat: $proto to a NodePort, policy Local" served $proto \
			$NODE_ADDR $LOCAL_PORT $((sport += 1)) $NODE_ADDR \
			$FAR_ADDR
		row "$nat: $proto to a NodePort, policy Cluster" \
			served $proto $NODE_ADDR $CLUSTER_PORT \
			$((sport += 1)) $NODE_ADDR 10.44.14.1
		row "$nat: $proto to a load balancer's address" served $proto \
			$BALANCER 8080 $((sport += 1)) $BALANCER $FAR_ADDR
		row "$nat: $proto straight to the pod" served $proto $POD \
			$PORT $((sport += 1)) $POD $FAR_ADDR
		row "$nat: the pod's own $proto to that client" own_opener \
			$proto $((sport += 1))
	done
	row "$nat: ping to the pod" pings $POD
	row "$nat: ping to the node" pings $NODE_ADDR
	row "$nat: the pod's own connection from the client's port" \
		own_opener_same_ports $((sport += 1))
	row "$nat: stops" lab_nat_off "$nat"
done
tap_done
