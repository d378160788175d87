#!/usr/bin/env bash
# Pods as real CNI plugins make them (bridge and ptp with host-local), beside
# rules as kube-proxy's: conntrack in use, invalid packets dropped, a ClusterIP
# with a pod and one with a far endpoint behind it, NodePorts of both traffic
# policies.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

CNI_BIN=${CNI_BIN:-/usr/lib/cni}
SERVICE_POD=10.96.0.10
SERVICE_FAR=10.96.0.11
PORT_LOCAL=30080
PORT_CLUSTER=30081

if ! [ -x "$CNI_BIN/bridge" ]; then
	row_skip "CNI" "no plugins in $CNI_BIN: containernetworking-plugins"
	tap_done
	exit
fi

# A pod that asks a ClusterIP and gets a pod of its own bridge needs this, as
# Kubernetes says; where it is part of the kernel, there is no such module.
modprobe -q br_netfilter || true

# cni_config bridge|ptp SUBNET
cni_config() {
	cat <<-EOF
		{ "cniVersion": "0.4.0", "name": "$LAB_ID-$1", "type": "$1",
		  "bridge": "cni0", "isGateway": true, "hairpinMode": true,
		  "ipMasq": false,
		  "ipam": { "type": "host-local", "dataDir": "$LAB_DIR/cni",
			    "ranges": [[{ "subnet": "$2" }]],
			    "routes": [{ "dst": "0.0.0.0/0" }] } }
	EOF
}

# cni ADD|DEL PLUGIN SUBNET POD: as a container runtime calls it
cni() {
	cni_config "$2" "$3" | lab_in node env CNI_COMMAND="$1" \
		CNI_CONTAINERID="$LAB_ID-$4" CNI_IFNAME=eth0 \
		CNI_NETNS="/run/netns/$LAB_ID-$4" CNI_PATH="$CNI_BIN" \
		"$CNI_BIN/$2"
}

# cni_pod PLUGIN SUBNET POD: prints its address
cni_pod() {
	cni ADD "$1" "$2" "$3" | jq -r '.ips[0].address | sub("/.*"; "")'
}

# The shape of kube-proxy's rules, without its chains of probabilities.
kube_proxy() {
	lab_in node iptables-nft-restore <<-EOF
		*filter
		:KUBE-FORWARD - [0:0]
		-A FORWARD -j KUBE-FORWARD
		-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
		-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		COMMIT
		*nat
		:KUBE-SERVICES - [0:0]
		:KUBE-NODEPORTS - [0:0]
		:KUBE-MARK-MASQ - [0:0]
		:KUBE-POSTROUTING - [0:0]
		-A PREROUTING -j KUBE-SERVICES
		-A OUTPUT -j KUBE-SERVICES
		-A POSTROUTING -j KUBE-POSTROUTING
		-A KUBE-SERVICES -d $SERVICE_POD/32 -p tcp --dport 80 -j DNAT --to-destination $1:8080
		-A KUBE-SERVICES -d $SERVICE_POD/32 -p udp --dport 80 -j DNAT --to-destination $1:8080
		-A KUBE-SERVICES -d $SERVICE_FAR/32 -p tcp --dport 443 -j DNAT --to-destination $FAR_ADDR:443
		-A KUBE-SERVICES -d $SERVICE_FAR/32 -p udp --dport 443 -j DNAT --to-destination $FAR_ADDR:443
		-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
		-A KUBE-NODEPORTS -p tcp --dport $PORT_LOCAL -j DNAT --to-destination $1:8080
		-A KUBE-NODEPORTS -p tcp --dport $PORT_CLUSTER -j KUBE-MARK-MASQ
		-A KUBE-NODEPORTS -p tcp --dport $PORT_CLUSTER -j DNAT --to-destination $1:8080
		-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
		-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
		-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
		-A KUBE-POSTROUTING -j MASQUERADE --random-fully
		COMMIT
	EOF
}

# asks NS PROTO DEST PORT [ARG...]: whom the server saw, without the port
asks() {
	echo | traffic "$1" talk "$3" "$4" --proto "$2" --timeout 3 "${@:5}" |
		sed 's/ .*//'
}

# sees POD DEST PORT WHOM FAR-SOURCES: tcp and udp
sees() {
	lab_saw_reset
	for proto in tcp udp; do
		is "$proto: source" "$(asks "$1" $proto "$2" "$3")" "$4"
	done
	is "sources that far saw" "$(lab_saw)" "$5"
}

pings() {
	local line
	lab_saw_reset
	line=$(traffic "$1" ping $FAR_ADDR 0 --id 7 \
		--netns "$LAB_ID-$1") || fail "$line"
	far_saw $NODE_ADDR
}

bulk() {
	local line
	lab_saw_reset
	for way in up down; do
		line=$(traffic "$1" $way $FAR_ADDR 443 $((64 << 20))) ||
			fail "$line"
		note "$way $(word mbit "$line") Mbit/s"
	done
	far_saw $NODE_ADDR
}

# from_far DEST PORT WHOM FAR-SOURCES: a client in far
from_far() {
	lab_saw_reset
	is "client that the pod saw" \
		"$(asks far tcp "$1" "$2" --source $FAR_ADDR)" "$3"
	is "sources that far saw" "$(lab_saw)" "$4"
}

healthy() {
	masq status --json >"$LAB_DIR/status"
	is problems "$(jq -c .problems "$LAB_DIR/status")" '[]'
	is "packets of no flow" \
		"$(masq counters --json | jq '[.drops[]] | add // 0')" 0
}

attach() {
	echo "nonMasqueradeCIDRs: [10.0.0.0/8]" >"$LAB_DIR/config.yaml"
	masq attach eth0 --config "$LAB_DIR/config.yaml"
}

deleted() {
	cni DEL "$1" "$2" "$3"
	! lab_in "$3" ip link show eth0 2>/dev/null || fail "eth0 is left"
}

for plugin in bridge ptp; do
	[ -z "${LAB_DIR:-}" ] || lab_clean
	lab_begin
	lab_node_far
	lab_in far ip route add $POD_NET via $NODE_ADDR
	lab_ns pod1 pod2
	subnet=10.44.14.0/24
	POD1=$(cni_pod $plugin $subnet pod1)
	POD2=$(cni_pod $plugin $subnet pod2)
	kube_proxy "$POD2"
	lab_serve far 443
	lab_serve pod2 8080
	row "$plugin: attach" attach
	row_ok || continue
	row "$plugin: pod to a masqueraded destination" \
		sees pod1 $FAR_ADDR 443 $NODE_ADDR $NODE_ADDR
	row "$plugin: pod to a kept one" \
		sees pod1 $FAR_GATEWAY 443 "$POD1" "$POD1"
	row "$plugin: pod to pod" sees pod1 "$POD2" 8080 "$POD1" ""
	row "$plugin: pod to a ClusterIP with a pod" \
		sees pod1 $SERVICE_POD 80 "$POD1" ""
	row "$plugin: pod to a ClusterIP with a far endpoint" \
		sees pod1 $SERVICE_FAR 443 $NODE_ADDR $NODE_ADDR
	row "$plugin: ping from a pod" pings pod1
	row "$plugin: 64 MiB each way" bulk pod1
	row "$plugin: client to the pod" \
		from_far "$POD2" 8080 $FAR_ADDR "$POD2"
	row "$plugin: client to a NodePort, policy Local" \
		from_far $NODE_ADDR $PORT_LOCAL $FAR_ADDR $NODE_ADDR
	row "$plugin: client to a NodePort, policy Cluster" \
		from_far $NODE_ADDR $PORT_CLUSTER 10.44.14.1 $NODE_ADDR
	row "$plugin: the node itself to a ClusterIP" \
		is node "$(asks node tcp $SERVICE_FAR 443)" $NODE_ADDR
	row "$plugin: healthy, nothing dropped" healthy
	row "$plugin: the plugin takes a pod away" deleted $plugin $subnet pod1
done
tap_done
