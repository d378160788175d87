#!/usr/bin/env bash
# The tools that people find paths with, from a pod, over both families: ping
# of every size, traceroute over UDP, TCP and ICMP, mtr, tracepath, and a
# transfer over a path with a smaller MTU. Far sees the node alone.
#
#	pod -- node -- far -- mid (1,300 bytes) -- deep
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

DEEP=198.51.100.10
DEEP6=2001:db8:51::10

export LAB_IPV6=true
lab_begin
lab_node_far
lab_pod pod1 10.44.14.15
lab_ns mid deep
lab_link far mid mid eth0
lab_link mid deep deep eth0
# lab_ipv6 looks after node, far and pods; the rest of the path by hand
sed -i '/^mid /d;/^deep /d;/^far mid$/d' "$LAB_DIR/links"
lab_ipv6
for ns in far mid deep; do
	for dev in all default eth0 mid deep; do
		lab_in $ns sysctl -qew "net.ipv6.conf.$dev.disable_ipv6=0" \
			"net.ipv6.conf.$dev.accept_dad=0" 2>/dev/null || true
	done
done
hop() { # NS DEV ADDR ADDR6
	lab_in "$1" ip addr add "$3" dev "$2"
	lab_in "$1" ip addr add "$4" dev "$2" nodad
}
hop far mid 203.0.113.1/30 2001:db8:50::1/64
hop mid eth0 203.0.113.2/30 2001:db8:50::2/64
hop mid deep 198.51.100.1/24 2001:db8:51::1/64
hop deep eth0 $DEEP/24 $DEEP6/64
lab_in far ip link set mid mtu 1300
lab_in mid ip link set eth0 mtu 1300
lab_in far ip route add 198.51.100.0/24 via 203.0.113.2
lab_in far ip route add 2001:db8:51::/64 via 2001:db8:50::2
lab_in mid ip route add default via 203.0.113.1
lab_in mid ip route add ::/0 via 2001:db8:50::1
lab_in deep ip route add default via 198.51.100.1
lab_in deep ip route add ::/0 via 2001:db8:51::1
for ns in node far mid deep; do
	lab_in $ns sysctl -qw net.ipv4.icmp_ratelimit=0 \
		net.ipv6.icmp.ratelimit=0
done
for ns in far mid; do
	lab_in $ns sysctl -qw net.ipv4.ip_forward=1 \
		net.ipv6.conf.all.forwarding=1
done
# far's eth0, at the wire: every source that is no link-local one
lab_in far nft -f - <<-END
	table inet pods {
		chain in {
			type filter hook prerouting priority raw - 10
			iifname eth0 ip saddr $POD_NET counter
			iifname eth0 ip6 saddr fd00:44::/64 counter
		}
	}
END

no_pod_seen() {
	is "packets with a pod's source at far" "$(lab_in far nft -j list \
		chain inet pods in | jq '[.. | .packets? // empty] | add')" 0
}

pings() { # DEST SIZE
	lab_in pod1 ping -c 3 -i 0.05 -W 3 -s "$2" "$1"
	no_pod_seen
}

# has_hops OUTPUT ADDR...: all of them, in this order
has_hops() {
	local text=$1 addr
	shift
	for addr; do
		[[ $text == *"$addr"* ]] || fail "no $addr in: $text"
		text=${text#*"$addr"}
	done
}

hops() { # DEST COMMAND...
	local text dest=$1
	shift
	text=$(lab_in pod1 "$@" "$dest" 2>&1) || fail "$text"
	if [[ $dest == *:* ]]; then
		has_hops "$text" fd00:44::1 $FAR_GATEWAY6 2001:db8:50::2 \
			$DEEP6
	else
		has_hops "$text" 10.44.14.1 $FAR_GATEWAY 203.0.113.2 $DEEP
	fi
	no_pod_seen
}

# The pod's kernel learns the path's MTU from the error that far sends.
learns_mtu() { # DEST
	lab_in pod1 ip route flush cache
	lab_in pod1 ip -6 route flush cache
	lab_in pod1 ping -M "do" -c 3 -i 0.05 -W 1 -s 1400 "$1" || true
	lab_in pod1 ip route get "$1" | grep 'mtu 1300' ||
		fail "the pod has not learnt the path's MTU"
	no_pod_seen
}

# 8 MiB in large segments: only that error makes them small enough.
transfers() { # DEST
	"$PYTHON" - "$LAB_LIB" "$LAB_ID-pod1" "$LAB_ID-deep" "$1" <<-'END'
		import socket, sys, threading
		sys.path.insert(0, sys.argv[1])
		import wire
		family = socket.AF_INET6 if ":" in sys.argv[4] else socket.AF_INET
		wire.enter(sys.argv[3])
		server = socket.create_server(("", 5001), family=family)
		got = []
		def serve():
		    peer, who = server.accept()
		    got.append(who[0])
		    count = 0
		    while data := peer.recv(1 << 18):
		        count += len(data)
		    got.append(count)
		thread = threading.Thread(target=serve)
		thread.start()
		wire.enter(sys.argv[2])
		client = socket.socket(family)
		client.settimeout(20 * wire.SLOW)
		client.connect((sys.argv[4], 5001))
		client.sendall(bytes(8 << 20))
		client.close()
		thread.join(20 * wire.SLOW)
		node = "fd00:142::6" if ":" in sys.argv[4] else "10.142.0.6"
		assert got == [node, 8 << 20], got
	END
	no_pod_seen
}

need() {
	command -v "$1" >/dev/null || skip "no $1: install the package $2"
}

traceroutes() { # DEST ARG...
	need traceroute traceroute
	hops "$1" traceroute -n -q 1 -w 2 -m 6 "${@:2}"
}

mtrs() {
	need mtr mtr-tiny
	hops "$1" mtr -n -r -c 2 -i 0.2 -m 6 "${@:2}"
}

tracepaths() {
	local text
	need tracepath iputils-tracepath
	lab_in pod1 ip route flush cache
	lab_in pod1 ip -6 route flush cache
	text=$(lab_in pod1 tracepath -n -m 6 "$1" 2>&1) || fail "$text"
	[[ $text == *"pmtu 1300"* ]] || fail "no path MTU in: $text"
	[[ $text == *reached* ]] || fail "not reached: $text"
	no_pod_seen
}

# The node is the hop that cannot go on: its errors quote what the pod sent.
node_is_the_small_hop() { # DEST
	lab_in node ip link set eth0 mtu 1280
	lab_in pod1 ip route flush cache
	lab_in pod1 ip -6 route flush cache
	lab_in pod1 ping -M "do" -c 2 -i 0.05 -W 1 -s 1400 "$1" || true
	lab_in node ip link set eth0 mtu 1500
	lab_in pod1 ip route get "$1" | grep 'mtu 1280' ||
		fail "the pod has not learnt the node's MTU"
}

row "masqbpf starts" lab_nat masqbpf
for dest in $DEEP $DEEP6; do
	row "$dest: the path answers" lab_wait 10 pings "$dest" 56
	for size in 0 1200 1400 4000 20000; do
		row "$dest: ping, $size bytes" pings "$dest" $size
	done
	row "$dest: path MTU" learns_mtu "$dest"
	row "$dest: 8 MiB" transfers "$dest"
	row "$dest: traceroute over UDP" traceroutes "$dest"
	row "$dest: traceroute over ICMP" traceroutes "$dest" -I
	row "$dest: traceroute over TCP" traceroutes "$dest" -T -p 80
	row "$dest: mtr over ICMP" mtrs "$dest"
	row "$dest: mtr over UDP" mtrs "$dest" -u
	row "$dest: tracepath" tracepaths "$dest"
done
row "$DEEP: the node is the small hop" node_is_the_small_hop 198.51.100.1
row "$DEEP6: the node is the small hop" node_is_the_small_hop 2001:db8:51::1
tap_done
