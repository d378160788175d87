#!/usr/bin/env bash
# Uplinks without an Ethernet header, and with a tag in front of it: tun (also
# with checksums left to the device, as a virtual machine's network card does),
# a VLAN, wireguard, VXLAN, GRE, IPIP; a bond whose card fails; a VRF. Most need a
# kernel that has them:
#	scripts/vm.sh -k 6.12 bash tests/net/test_devices.sh
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

REMOTE=198.51.100.9
REMOTE6=2001:db8:9::9

export LAB_IPV6=true
lab_begin
lab_node_far
lab_pod pod1 10.44.14.15
lab_ipv6
lab_serve far 443
# what follows is about another uplink
lab_in node ip route del default
lab_in node ip -6 route del default

# uplink DEV ADDR ADDR6 ROUTE: masqbpf on it, the default route over it
uplink() {
	printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8]' 'enableIPv6: true' \
		>"$LAB_DIR/config.yaml"
	lab_in node ip addr add "$2" dev "$1"
	lab_in node ip addr add "$3" dev "$1" nodad
	# shellcheck disable=SC2086 # several words
	lab_in node ip route replace default $4 dev "$1"
	lab_in node ip route replace ::/0 dev "$1"
	masq attach "$1" --config "$LAB_DIR/config.yaml"
}

tun_up() { # DEV ADDR ADDR6 [VNET]
	[ -c /dev/net/tun ] || skip "this machine has no /dev/net/tun"
	lab_spawn node "$PYTHON" "$LAB_LIB/tun.py" "$LAB_ID-node" "$1" \
		"$LAB_DIR/$1" ${4+"$4"}
	lab_wait 10 grep -q ready "$LAB_DIR/$1"
	uplink "$1" "$2" "$3" ""
}

# heard DEV SOURCE PROTO HOW: every packet of that protocol came like this
heard() {
	is "packets of protocol $3" "$(awk -v p="$3" '$3 == p {
		print $1, $4 }' "$LAB_DIR/$1" | sort -u)" "$2 $4"
}

ping_through() { # DEST SIZE
	lab_in pod1 ping -c 2 -i 0.1 -W 3 -s "$2" "$1"
}

# A datagram and its echo: the pod's kernel checks the checksum of both.
udp_through() { # DEST
	"$PYTHON" - "$LAB_LIB" "$LAB_ID-pod1" "$1" <<-'END'
		import socket, sys
		sys.path.insert(0, sys.argv[1])
		import wire
		wire.enter(sys.argv[2])
		family = socket.AF_INET6 if ":" in sys.argv[3] else socket.AF_INET
		sock = socket.socket(family, socket.SOCK_DGRAM)
		sock.settimeout(5 * wire.SLOW)
		sock.connect((sys.argv[3], 5000))
		for text in (b"odd", b"even", b"x" * 1000):
		    sock.send(text)
		    assert sock.recv(2000) == text
	END
}

# No answer comes, but the SYN shows itself.
tcp_through() { # DEV DEST SOURCE
	lab_in pod1 "$PYTHON" -c '
import socket, sys
sock = socket.socket(socket.AF_INET6 if ":" in sys.argv[1]
                     else socket.AF_INET)
sock.setblocking(False)
sock.connect_ex((sys.argv[1], 80))' "$2"
	lab_wait 5 grep -q "^$3 $2 6 " "$LAB_DIR/$1"
}

tun_rows() { # DEV ADDR ADDR6 HOW VNET
	local how=$4
	row "$1: comes up as uplink" tun_up "$1" "$2/24" "$3/64" ${5+"$5"}
	row_ok || return 0
	for size in 0 56 1400; do
		row "$1: ping, $size bytes" ping_through $REMOTE $size
		row "$1: ping over IPv6, $size bytes" ping_through $REMOTE6 $size
	done
	row "$1: UDP" udp_through $REMOTE
	row "$1: UDP over IPv6" udp_through $REMOTE6
	row "$1: TCP" tcp_through "$1" $REMOTE "$2"
	row "$1: TCP over IPv6" tcp_through "$1" $REMOTE6 "$3"
	row "$1: ping leaves as the node's" heard "$1" "$2" 1 good
	row "$1: ping over IPv6 leaves as the node's" heard "$1" "$3" 58 good
	row "$1: UDP leaves as the node's, checksums $how" both_heard "$1" \
		"$2" "$3" 17 "$how"
	row "$1: TCP leaves as the node's, checksums $how" both_heard "$1" \
		"$2" "$3" 6 "$how"
	row "$1: masqbpf leaves" masq detach "$1"
}

both_heard() {
	local lines
	lines=$(awk -v p="$4" '$3 == p { print $1, $4 }' "$LAB_DIR/$1" |
		sort -u)
	is "packets of protocol $4" "$lines" \
		"$(printf '%s %s\n' "$2" "$5" "$3" "$5" | sort)"
}

# --- real kernels at both ends --------------------------------------------

vlan_up() {
	lab_in node ip link add link eth0 name vlan7 type vlan id 7 \
		2>/dev/null || skip "this kernel has no VLANs"
	lab_in far ip link add link eth0 name vlan7 type vlan id 7
	lab_in node ip link set vlan7 up
	lab_in far ip link set vlan7 up
	lab_in far ip addr add 10.143.0.1/24 dev vlan7
	lab_in far ip addr add fd00:143::1/64 dev vlan7 nodad
	uplink vlan7 10.143.0.6/24 fd00:143::6/64 "via 10.143.0.1"
	lab_in node ip route replace ::/0 via fd00:143::1 dev vlan7
}

wg_up() {
	local ns other
	command -v wg >/dev/null || skip "no wg: install wireguard-tools"
	for ns in node far; do
		lab_in $ns ip link add wg0 type wireguard 2>/dev/null ||
			skip "this kernel has no wireguard"
		(umask 077 && wg genkey >"$LAB_DIR/key-$ns")
	done
	for ns in node far; do
		other=far
		[ $ns = node ] || other=node
		lab_in $ns wg set wg0 private-key "$LAB_DIR/key-$ns" \
			listen-port 51820 \
			peer "$(wg pubkey <"$LAB_DIR/key-$other")" \
			allowed-ips 0.0.0.0/0,::/0 endpoint \
			"$([ $ns = node ] && echo $FAR_GATEWAY ||
				echo $NODE_ADDR):51820"
		lab_in $ns ip link set wg0 up
	done
	lab_in far ip addr add 10.144.0.1/24 dev wg0
	lab_in far ip addr add fd00:144::1/64 dev wg0 nodad
	uplink wg0 10.144.0.6/24 fd00:144::6/64 ""
}

tcp_both_ways() { # SOURCE
	local line
	line=$(traffic pod1 up $FAR_ADDR 443 $((4 << 20))) || fail "$line"
	is source "$(word source "$line")" "$1"
	line=$(traffic pod1 down $FAR_ADDR 443 $((4 << 20))) || fail "$line"
	is source "$(word source "$line")" "$1"
}

udp_sizes() { # SOURCE
	local line
	line=$(traffic pod1 udp $FAR_ADDR 443 --netns "$LAB_ID-pod1" \
		--sport 40000 --sizes 0,1,512,1300,4000) || fail "$line"
	is source "$(word sources "$line")" "$1"
}

peer_rows() { # DEV ADDR
	local offload
	row "$1: comes up as uplink" "${1%[0-9]}_up"
	row_ok || return 0
	for offload in on off; do
		row "$1: offloads $offload" lab_offload $offload
		row "$1: TCP, offloads $offload" tcp_both_ways "$2"
		row "$1: UDP, offloads $offload" udp_sizes "$2"
	done
	row "$1: ping" ping_through $FAR_ADDR 1000
	[ "$1" = ipip4 ] ||
		row "$1: ping over IPv6" ping_through $FAR_ADDR6 1000
	case $1 in
	bond5) row "$1: another card takes over" bond_fails_over ;;
	esac
	row "$1: doctor is content" doctor_content "$1"
	row "$1: masqbpf leaves" masq detach "$1"
}

# Nothing is found about this uplink, or the ways out; but that pods have a larger
# MTU than a tunnel is so here.
doctor_content() {
	local said
	masq doctor --json >"$LAB_DIR/doctor" || true
	said=$(jq -r --arg dev "$1" '.findings[] |
		select(.level != "ok" and .check != "mtu") |
		select((.check | IN("routing", "chain", "rp_filter",
			"forwarding", "foreign-nat")) or
			(.what | contains($dev))) |
		"\(.level) \(.check): \(.what)"' "$LAB_DIR/doctor")
	is "findings" "$said" ""
}

# both_ends DEV ADDR ADDR6: DEV is there in node and far; the far end is up, and
# the node's is the uplink. ADDR and ADDR6 are networks without the last part.
both_ends() {
	lab_in node ip link set "$1" up
	lab_in far ip link set "$1" up
	lab_in far ip addr add "$2.1/24" dev "$1"
	lab_in far ip addr add "$3::1/64" dev "$1" nodad
	uplink "$1" "$2.6/24" "$3::6/64" "via $2.1"
	lab_in node ip route replace ::/0 via "$3::1" dev "$1"
}

# on_both COMMAND...: @ is the other end's address
on_both() {
	lab_in node "${@//@/$FAR_GATEWAY}" 2>/dev/null || return 1
	lab_in far "${@//@/$NODE_ADDR}"
}

vxlan_up() {
	on_both ip link add vxlan4 type vxlan id 44 remote @ dstport 4789 ||
		skip "this kernel has no VXLAN"
	both_ends vxlan4 10.147.0 fd00:147
}

gre_up() {
	on_both ip link add gre4 type gre remote @ ||
		skip "this kernel has no GRE"
	both_ends gre4 10.148.0 fd00:148
}

# Without a fixed peer: who is where stands in the neighbours' table, and packets
# show the header around them.
nbma_up() {
	local ns other last
	for ns in node far; do
		other=$FAR_GATEWAY last=1
		[ $ns = node ] || other=$NODE_ADDR last=6
		lab_in $ns ip link add nbma5 type gre local \
			"$([ $ns = node ] && echo $NODE_ADDR || echo $FAR_GATEWAY)" \
			key 5 2>/dev/null || skip "this kernel has no GRE"
		lab_in $ns ip link set nbma5 up
		lab_in $ns ip neigh replace 10.151.0.$last lladdr $other dev nbma5
		lab_in $ns ip -6 neigh replace fd00:151::$last lladdr $other \
			dev nbma5
	done
	both_ends nbma5 10.151.0 fd00:151
}

# carries IPv4 alone
ipip_up() {
	on_both ip link add ipip4 type ipip remote @ ||
		skip "this kernel has no IPIP"
	both_ends ipip4 10.149.0 fd00:149
}

# two cards to the same network; the second one is spare
cards() { # NODE-DEV FAR-DEV
	lab_in far ip link add "$2" type bridge
	lab_in far ip link set "$2" up
	for number in 1 2; do
		lab_link node "$1p$number" far "$2p$number"
		lab_in far ip link set "$2p$number" master "$2"
		# a port has no addresses
		lab_in node ip link set "$1p$number" down
		lab_in node ip link set "$1p$number" master "$1"
		lab_in node ip link set "$1p$number" up
	done
	lab_in far ip addr add "$3.1/24" dev "$2"
	lab_in far ip addr add "$4::1/64" dev "$2" nodad
	lab_in node ip link set "$1" up
	uplink "$1" "$3.6/24" "$4::6/64" "via $3.1"
	lab_in node ip route replace ::/0 via "$4::1" dev "$1"
}

bond_up() {
	lab_in node ip link add bond5 type bond mode active-backup miimon 50 \
		2>/dev/null || skip "this kernel has no bonds"
	cards bond5 far5 10.150.0 fd00:150
}

active_port() {
	lab_in node ip -d -j link show bond5 |
		jq -r '.[0].linkinfo.info_data.active_slave'
}

port_is_active() {
	[ "$(active_port)" = "$1" ]
}

# Hooks are on the bond: which card it uses is nobody's business.
bond_fails_over() {
	local before after other=bond5p1
	[ "$(active_port)" = bond5p2 ] || other=bond5p2
	coproc FLOW { traffic pod1 talk $FAR_ADDR 443 --sport 41050 \
		--timeout 20; }
	echo >&"${FLOW[1]}"
	read -r before <&"${FLOW[0]}"
	lab_in node ip link set "$(active_port)" down
	lab_wait 10 port_is_active "$other"
	echo >&"${FLOW[1]}"
	read -r after <&"${FLOW[0]}"
	is "the connection" "$after" "$before"
	is "its source" "${before% *}" 10.150.0.6
	eval "exec ${FLOW[1]}>&-"
	wait "$FLOW_PID" || true
}

# A pod and an uplink in a VRF, with its own table, beside the main one.
vrf_up() {
	lab_in node ip link add blue type vrf table 77 2>/dev/null ||
		skip "this kernel has no VRF"
	lab_in node ip link set blue up
	lab_pod pod2 10.44.14.16
	lab_link node vrf6 far vrf6
	lab_in node ip link set vrf6 master blue
	lab_in node ip link set pod2 master blue
	lab_in node ip route add 10.44.14.16/32 dev pod2 table 77
	lab_in far ip addr add 10.151.0.1/24 dev vrf6
	printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8]' \
		>"$LAB_DIR/config.yaml"
	lab_in node ip addr add 10.151.0.6/24 dev vrf6
	lab_in node ip addr add 10.151.0.7/32 dev vrf6
	lab_in node ip route add default via 10.151.0.1 table 77
	lab_in node ip route add $FAR_ADDR/32 via 10.151.0.1 src 10.151.0.7 \
		table 77
	masq attach -q vrf6 --config "$LAB_DIR/config.yaml"
}

vrf_by_its_table() {
	local hinted=10.151.0.7
	is "another route of the VRF's" "$(word source \
		"$(traffic pod2 who 172.30.0.5 443)")" 10.151.0.6
	lab_fib_source || hinted=10.151.0.6
	is "the route with a source" "$(word source \
		"$(traffic pod2 who $FAR_ADDR 443)")" $hinted
}

# Both lead out: with hooks on the parent alone a flow still has the address of
# the device that its route names, where the kernel tells which that is.
through_parent() {
	lab_in node ip route replace default via $FAR_GATEWAY dev eth0
	lab_in node ip route add 172.31.0.0/16 via 10.143.0.1 dev vlan7
	lab_in far ip route add local 172.31.0.0/16 dev lo
	masq attach -q eth0 --config "$LAB_DIR/config.yaml"
	is "through eth0" "$(word source "$(traffic pod1 who $FAR_ADDR 443)")" \
		$NODE_ADDR
	set -- $NODE_ADDR
	! lab_fib_source || set -- 10.143.0.6
	is "through vlan7" "$(word source "$(traffic pod1 who 172.31.0.5 443)")" \
		"$1"
	masq detach -q eth0
}

tun_rows tun0 10.145.0.6 fd00:145::6 good
tun_rows tun1 10.146.0.6 fd00:146::6 partial VNET
peer_rows vlan7 10.143.0.6
! row_ok || row "vlan7: through the hooks of its parent" through_parent
peer_rows wg0 10.144.0.6
peer_rows vxlan4 10.147.0.6
peer_rows gre4 10.148.0.6
peer_rows nbma5 10.151.0.6
peer_rows ipip4 10.149.0.6
peer_rows bond5 10.150.0.6
row "vrf6: comes up as uplink" vrf_up
if row_ok && [ -e "$(lab_netns pod2)" ]; then
	row "vrf6: by the VRF's table" vrf_by_its_table
	row "vrf6: doctor is content" doctor_content vrf6
	row "vrf6: masqbpf leaves" masq detach vrf6
fi
tap_done
