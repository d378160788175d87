#!/usr/bin/env bash
# A real node: routes in tables of their own, proxies, neighbours that
# netfilter translates, tunnels, a second card, an uplink that fails over.
# `explain` says of each what the packets do.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

export LAB_IPV6=true
POD=10.44.14.15
POD6=fd00:44::15
PORT=443
PORT6=444
SECOND_ADDR=10.142.0.66 # the node's on eth0, for one route
CARD_ADDR=10.150.0.1    # the node's on lb0
VIP=203.0.113.80

lab_begin
lab_node_far
lab_pod pod1 $POD
lab_ipv6
# a second card
lab_link node lb0 far lb0
lab_in node ip addr add $CARD_ADDR/24 dev lb0
lab_in far ip addr add 10.150.0.2/24 dev lb0
for ns in node far; do
	lab_in $ns sysctl -qw net.ipv4.conf.lb0.rp_filter=0
done
lab_in node ip addr add $SECOND_ADDR/32 dev eth0
lab_serve far $PORT
lab_serve far $PORT6 $FAR_ADDR6
lab_serve pod1 80
lab_nat masqbpf

# saw NS DEST PROTO SPORT: the address and port that the server there saw
saw() {
	local port=$PORT
	[[ $2 != *:* ]] || port=$PORT6
	echo | traffic "$1" talk "$2" $port --proto "$3" --sport "$4" \
		--timeout 3 "${@:5}"
}

# explained DEST [ARG...]: what explain says that the far side sees
explained() {
	masq explain "$@" --json |
		jq -r '.no_route // .source_seen // "unknown"'
}

# goes DEST WANT SPORT: both protocols, and explain agrees
goes() {
	local source=$POD
	[[ $1 != *:* ]] || source=$POD6
	is "explain, of the pod" "$(explained "$1" --source $source)" "$2"
	is udp "$(saw pod1 "$1" udp "$3")" "$2 $3"
	is tcp "$(saw pod1 "$1" tcp "$3")" "$2 $3"
	# as one whose way is known by now
	is "explain, of any pod" "$(explained "$1")" "$2"
}

# by_rule RULE WANT SPORT [ROUTE...]: the way out in a table of its own
by_rule() {
	local rule=$1 want=$2 sport=$3
	lab_in node ip route del default
	lab_in node ip route add default via $FAR_GATEWAY "${@:4}" table 100
	# shellcheck disable=SC2086 # words
	lab_in node ip rule add $rule lookup 100
	goes $FAR_ADDR "$want" "$sport"
}

# undoing COMMAND...: the row, and the routes as they were
undoing() {
	local status=0
	("$@") || status=$?
	lab_in node ip rule del lookup 100 2>/dev/null || true
	lab_in node ip route flush table 100 2>/dev/null || true
	lab_in node ip route replace default via $FAR_GATEWAY
	lab_in node ip -6 route replace default via $FAR_GATEWAY6
	masq flush --yes >/dev/null 2>&1 || masq flush >/dev/null 2>&1 || true
	return $status
}

# Before any pod has flows: the way of one that a route leads to.
nobody_yet() {
	lab_in node ip route del default
	lab_in node ip route add default via $FAR_GATEWAY table 100
	lab_in node ip rule add from $POD_NET lookup 100
	is "explain, of any pod" "$(explained $FAR_ADDR)" $NODE_ADDR
}

# Rules that take a pod's packets for the node's own: nothing leaves.
taken() {
	lab_in node ip route add local $FAR_ADDR/32 dev lo table 100
	lab_in node ip rule add iif pod1 lookup 100
	is stays "$(masq explain $FAR_ADDR --source $POD --json |
		jq -r '.stays, .source_seen' | xargs)" "node null"
	# where another pod's would go on, and another port's
	is "another's" "$(explained $FAR_ADDR --source 10.44.14.99)" $NODE_ADDR
}

# A route that puts packets into others (SRv6): no hook sees the pod's.
wrapped() {
	lab_in node ip -6 route add $FAR_ADDR6/128 encap seg6 mode encap \
		segs $FAR_GATEWAY6 dev eth0 || skip "no SRv6"
	is explain "$(masq explain $FAR_ADDR6 --source $POD6 --json |
		jq .wrapped)" true
	masq explain $FAR_ADDR6 --source $POD6 | grep -q \
		'its route wraps it before our hook' ||
		fail "$(masq explain $FAR_ADDR6 --source $POD6)"
	(masq doctor || true) | grep -q "the route to $FAR_ADDR6/128 wraps" ||
		fail "$(masq doctor)"
	lab_in node ip -6 route del $FAR_ADDR6/128
	is afterwards "$(masq explain $FAR_ADDR6 --source $POD6 --json |
		jq .wrapped)" false
}

# What is not of that kind goes as before
by_kind() {
	lab_in node ip route add default via $FAR_GATEWAY src $SECOND_ADDR \
		table 100
	lab_in node ip rule add ipproto udp dport $PORT lookup 100
	is udp "$(saw pod1 $FAR_ADDR udp 41035)" "$SECOND_ADDR 41035"
	is tcp "$(saw pod1 $FAR_ADDR tcp 41035)" "$NODE_ADDR 41035"
	is "explain, udp" "$(explained $FAR_ADDR --source $POD --proto udp \
		--port $PORT)" $SECOND_ADDR
	is "explain, another port" "$(explained $FAR_ADDR --source $POD \
		--proto udp --port 53)" $NODE_ADDR
}

# By TOS, or by IPv6's traffic class, which only its own packets have.
by_tos() { # FAMILY DEST VIA SOURCE NODE POD
	local ip=(ip -"$1")
	[ "$1" = 4 ] || lab_in node ip addr add "$4/128" dev eth0 nodad \
		preferred_lft 0
	lab_in node "${ip[@]}" route add default via "$3" src "$4" table 100 ||
		skip "no route with this source"
	lab_in node "${ip[@]}" rule add tos 0x10 lookup 100
	is "with it" "$(saw pod1 "$2" udp 41141 --tos 16)" "$4 41141"
	is "without" "$(saw pod1 "$2" udp 41142)" "$5 41142"
	is "with another" "$(saw pod1 "$2" udp 41143 --tos 8)" "$5 41143"
	is explain "$(explained "$2" --source "$6")" "$5"
	lab_in node "${ip[@]}" rule del lookup 100
	lab_in node "${ip[@]}" route flush table 100
	[ "$1" = 4 ] || lab_in node ip addr del "$4/128" dev eth0
}

# Several ways at once, by each flow's ports: the route's source all the same.
several_ways() {
	local sport
	masq attach -q lb0 2>/dev/null
	lab_in node sysctl -qw net.ipv4.fib_multipath_hash_policy=1
	lab_in node ip route replace default src $SECOND_ADDR \
		nexthop via $FAR_GATEWAY dev eth0 \
		nexthop via 10.150.0.2 dev lb0
	for sport in 41036 41037 41038 41039 41040; do
		is udp "$(saw pod1 $FAR_ADDR udp $sport)" "$SECOND_ADDR $sport"
	done
	is "explain" "$(explained $FAR_ADDR --source $POD)" $SECOND_ADDR
	is ways "$(ways $FAR_ADDR)" "eth0 true lb0 true"
	masq detach -q lb0
	is "ways, one of them not attached" "$(ways $FAR_ADDR)" \
		"eth0 true lb0 false"
	masq explain $FAR_ADDR --source $POD |
		grep -q 'lb0 is not attached: what leaves by it passes' ||
		fail "explain does not say that lb0 is not attached"
	lab_in node ip nexthop add id 1 via $FAR_GATEWAY dev eth0
	lab_in node ip nexthop add id 2 via 10.150.0.2 dev lb0
	lab_in node ip nexthop add id 3 group 1/2
	lab_in node ip route replace default nhid 3
	is "ways of an object" "$(ways $FAR_ADDR)" "eth0 true lb0 false"
	lab_in node ip route replace default via $FAR_GATEWAY
	lab_in node ip nexthop flush >/dev/null
	is "one way" "$(ways $FAR_ADDR)" ""
	is "its far side" "$(explained $FAR_ADDR --source $POD)" $NODE_ADDR
}

# A macvlan has an address of its own. Where only its card is attached the pod
# gets the card's, and all say so.
on_a_card() {
	local text
	lab_in node ip link add link eth0 name mac0 type macvlan mode bridge ||
		skip "this kernel has no macvlan"
	lab_in node ip link set mac0 up
	lab_in node ip addr add 10.142.0.50/20 dev mac0
	lab_in node ip route add $FAR_ADDR/32 via $FAR_GATEWAY dev mac0
	goes $FAR_ADDR $NODE_ADDR 41151
	text=$(masq explain $FAR_ADDR --source $POD)
	grep -q 'mac0, by the hooks of eth0, which it is on' <<<"$text" ||
		fail "$text"
	! grep -q 'untouched' <<<"$text" || fail "$text"
	masq status | tr -s ' \n' '  ' | grep -q \
		"mac0: not attached: what leaves by it gets the address of eth0" ||
		fail "$(masq status)"
	masq attach -q mac0
	goes $FAR_ADDR 10.142.0.50 41152
	goes 172.30.99.1 $NODE_ADDR 41153
	masq status | grep -c 'mac0: not attached' >/dev/null &&
		fail "$(masq status)"
	masq detach -q mac0
	lab_in node ip link del mac0
}

ways() { # DEST
	masq explain "$1" --source $POD --json |
		jq -r '[.ways[] | .uplink, .attached] | map(tostring) | join(" ")'
}

by_mark() {
	lab_in node nft add table ip marks
	lab_in node nft 'add chain ip marks in { type filter hook prerouting priority mangle; }'
	lab_in node nft add rule ip marks in iifname pod1 meta mark set 7
	lab_in node ip route del default
	lab_in node ip route add default via $FAR_GATEWAY table 100
	lab_in node ip rule add fwmark 7 lookup 100
	is udp "$(saw pod1 $FAR_ADDR udp 41031)" "$NODE_ADDR 41031"
	lab_in node nft delete table ip marks
}

source_specific() {
	lab_in node ip -6 route del default
	lab_in node ip -6 route add default from fd00:44::/64 \
		via $FAR_GATEWAY6 dev eth0
	goes $FAR_ADDR6 $NODE_ADDR6 41041
	lab_in node ip -6 route del default from fd00:44::/64
}

# no_way TYPE WORD: explain names it
no_way() {
	lab_in node ip route add "$1" $FAR_ADDR/32
	is "explain" "$(explained $FAR_ADDR --source $POD)" "$2"
	is "its first line" "$(masq explain $FAR_ADDR --source $POD | head -n 1)" \
		"$FAR_ADDR  masquerade  would leave with the node's address, and has no way out"
	lab_in node ip route del "$1" $FAR_ADDR/32
}

# by_no_rule SELECTOR: a rule in the way of this pod alone
by_no_rule() {
	lab_in node ip route del default
	# shellcheck disable=SC2086 # words
	lab_in node ip rule add $1 unreachable priority 40000
	is explain "$(explained $FAR_ADDR --source $POD "${@:3}")" "$2"
	lab_in node ip rule del priority 40000
	is "without" "$(explained $FAR_ADDR --source $POD "${@:3}")" none
}

# A proxy of the node that takes the pod's address: IP_TRANSPARENT.
proxy() { # [LENGTH [MARK]]
	masq flush >/dev/null
	lab_saw_reset
	lab_in node "$PYTHON" - $POD $FAR_ADDR "${1:-1}" "${2:-0}" <<-'EOF'
		import socket, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.setsockopt(socket.SOL_IP, 19, 1)
		s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(sys.argv[4]))
		s.bind((sys.argv[1], 41050))
		s.sendto(b"x" * int(sys.argv[3]), (sys.argv[2], 9))
	EOF
	lab_wait 3 saw_someone
	far_saw $NODE_ADDR
}

# To whom the path is narrower than out.
proxy_large() {
	lab_in node ip link set pod1 mtu 1280
	proxy 1400
	lab_in node ip link set pod1 mtu 1500
}

# What it sends has a way of its own, where pods are not.
proxy_marked() {
	lab_in node ip route add default via $FAR_GATEWAY table 100
	lab_in node ip rule add fwmark 2 lookup 100
	proxy 1 2
}

# As TPROXY is set up: what has the mark is all for the proxy.
proxy_table() {
	lab_in node ip route add local default dev lo table 100
	lab_in node ip route add local $POD_NET dev lo table 100
	lab_in node ip rule add fwmark 0x99 lookup 100
	masq attach -q eth0
	proxy
	# nobody's address is the node's by that
	lab_in far ip route add $POD/32 via $NODE_ADDR
	is udp "$(from_far $POD udp 41055)" "$FAR_ADDR 41055"
	is tcp "$(from_far $POD tcp 41056)" "$FAR_ADDR 41056"
	lab_in far ip route del $POD/32
}

# What comes back from outside goes to the proxy, by the uplink's name.
proxy_iif() {
	lab_in node ip route add local $POD_NET dev lo table 100
	lab_in node ip rule add iif eth0 lookup 100
	masq attach -q eth0
	proxy
}

# from_far ADDR PROTO SPORT: the client that the server there saw
from_far() {
	echo | traffic far talk "$1" 80 --proto "$2" --source $FAR_ADDR \
		--sport "$3" --timeout 3
}

saw_someone() {
	[ -n "$(lab_saw)" ]
}

# What nobody has an address of, and no route leads to elsewhere.
bound_without_being_there() {
	lab_saw_reset
	lab_in node "$PYTHON" - $FAR_ADDR <<-'EOF'
		import socket, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.setsockopt(socket.SOL_IP, 19, 1)
		s.bind(("192.0.2.77", 41051))
		s.sendto(b"x", (sys.argv[1], 9))
	EOF
	lab_wait 3 saw_someone
	far_saw 192.0.2.77
}

# A default route by a card that is not attached leads there, too.
bound_and_the_default_elsewhere() {
	lab_in node ip route replace default via 10.150.0.2
	lab_in node ip route add 172.30.0.0/16 via $FAR_GATEWAY
	bound_without_being_there
	lab_in node ip route del 172.30.0.0/16
}

# IPv6 that conntrack has put together goes out in new fragments, which have
# come in by no interface.
fragmented_anew() { # SOURCE
	local seen
	lab_in node nft add table ip6 defrag
	lab_in node nft 'add chain ip6 defrag in { type filter hook prerouting priority 0; }'
	lab_in node nft add rule ip6 defrag in ct state new counter
	timeout 6 nsenter --net="$(lab_netns far)" \
		tcpdump -lnni eth0 'ip6 and not icmp6' \
		>"$LAB_DIR/frags" 2>/dev/null &
	sleep 1
	lab_in pod1 "$PYTHON" - $POD6 $FAR_ADDR6 <<-'EOF'
		import socket, struct, sys
		ends = [socket.inet_pton(socket.AF_INET6, a) for a in sys.argv[1:]]
		udp = struct.pack("!HHHH", 41060, 9, 2408, 0) + b"y" * 2400
		total = sum(struct.unpack("!%dH" % (len(b) // 2), b)[i]
		            for b in (ends[0] + ends[1] + struct.pack("!II", 2408, 17)
		                      + udp,) for i in range(len(b) // 2))
		while total >> 16:
		    total = (total & 0xffff) + (total >> 16)
		udp = udp[:6] + struct.pack("!H", ~total & 0xffff) + udp[8:]
		s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
		# the first has a header more, which the others have no room for
		hop = bytes([44, 0, 1, 4, 0, 0, 0, 0])
		for off, end, more in (0, 1232, 1), (1232, 2408, 0):
		    body = struct.pack("!BBHI", 17, 0, off | more, 77) + udp[off:end]
		    if not off:
		        body = hop + body
		    s.sendto(struct.pack("!IHBB", 6 << 28, len(body),
		                         44 if off else 0, 64)
		             + ends[0] + ends[1] + body, (sys.argv[2], 0))
	EOF
	sleep 1
	kill %1 2>/dev/null || true
	lab_in node nft delete table ip6 defrag
	seen=$(awk '/frag/ { print $3 }' "$LAB_DIR/frags" |
		sed 's/\.[0-9]*$//' | sort | uniq -c | tr -s ' \n' ' ')
	is "fragments by source" "$seen" " 2 $1 "
}

# Its route is that of the interface that it came in by.
fragmented_anew_by_rule() {
	masq flush >/dev/null
	lab_in node ip addr add fd00:142::77/128 dev eth0 nodad preferred_lft 0
	lab_in node ip -6 route add default via $FAR_GATEWAY6 \
		src fd00:142::77 table 100 || skip "no route with this source"
	lab_in node ip -6 rule add iif pod1 lookup 100
	is explain "$(explained $FAR_ADDR6 --source $POD6)" fd00:142::77
	fragmented_anew fd00:142::77
	lab_in node ip -6 rule del lookup 100
	lab_in node ip -6 route flush table 100
	lab_in node ip addr del fd00:142::77/128 dev eth0
}

# --- neighbours ---------------------------------------------------------------

# A container of docker's kind: netfilter translates it, and has done so only
# since after the attach.
neighbour() {
	lab_ns guest
	lab_link guest eth0 node guest
	lab_in node ip addr add 172.17.0.1/16 dev guest
	lab_in guest ip addr add 172.17.0.2/16 dev eth0
	lab_in guest ip route add default via 172.17.0.1
	lab_in node nft add table ip docker
	lab_in node nft 'add chain ip docker out { type nat hook postrouting priority srcnat; }'
	lab_in node nft add rule ip docker out ip saddr 172.17.0.0/16 \
		oifname eth0 masquerade
}

# Whoever is first has the port; the other one's changes; nobody loses.
same_port() {
	local proto=$1 first=$2 second=$3 sport=$4 answer port
	coproc FIRST { traffic "$first" talk $FAR_ADDR $PORT --proto "$proto" \
		--sport "$sport" --timeout 5; }
	echo >&"${FIRST[1]}"
	read -r answer <&"${FIRST[0]}"
	is "$first" "$answer" "$NODE_ADDR $sport"
	answer=$(saw "$second" $FAR_ADDR "$proto" "$sport")
	port=${answer#"$NODE_ADDR "}
	if [ "$port" = "$sport" ] || [[ ! $port =~ ^[0-9]+$ ]]; then
		fail "$second: $answer"
	fi
	echo >&"${FIRST[1]}"
	read -r answer <&"${FIRST[0]}"
	is "$first, afterwards" "$answer" "$NODE_ADDR $sport"
	eval "exec ${FIRST[1]}>&-"
	wait "$FIRST_PID" || true
}

# gre NS SOURCE DEST: sends a packet there and waits for one that comes back
gre() {
	lab_in "$1" "$PYTHON" - "$2" "$3" <<-'EOF'
		import socket, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
		s.bind((sys.argv[1], 0))
		s.settimeout(1.5)
		s.sendto(b"\0\0\x08\0" + b"ask" + b"x" * 20, (sys.argv[2], 0))
		try:
		    while b"answer" not in s.recv(2048):
		        pass
		    print("answered")
		except OSError:
		    print("none")
	EOF
}

# The node speaks GRE with a peer, and so does a pod: the node is answered,
# whoever was first; a pod only with a peer of its own.
tunnel() {
	lab_spawn far "$PYTHON" -uc 'if 1:
		import socket
		s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
		s.bind(("'$FAR_ADDR'", 0))
		print("ready")
		while True:
		    data, peer = s.recvfrom(2048)
		    if b"ask" in data:
		        s.sendto(b"\\0\\0\\x08\\0answer", (peer[0], 0))
	' >"$LAB_DIR/gre"
	lab_wait 5 grep -q ready "$LAB_DIR/gre"
	is "the pod" "$(gre pod1 $POD $FAR_ADDR)" answered
	is "the node" "$(gre node $NODE_ADDR $FAR_ADDR)" answered
	is "the pod, afterwards" "$(gre pod1 $POD $FAR_ADDR)" none
	is "the node, afterwards" "$(gre node $NODE_ADDR $FAR_ADDR)" answered
	masq counters --json | jq -e '.drops.protocol > 0' >/dev/null ||
		fail "no drop counted as protocol"
}

# --- other cards ---------------------------------------------------------------

# in_by_lb0 PROTO ADDR SPORT: far asks, its way in is lb0, the way back eth0
in_by_lb0() {
	local answer
	lab_in far ip route replace "$2/32" via $CARD_ADDR src $FAR_ADDR
	answer=$(echo | traffic far talk "$2" 80 --proto "$1" \
		--source $FAR_ADDR --sport "$3" --timeout 3)
	lab_in far ip route del "$2/32"
	is "client that the server saw" "$answer" "$FAR_ADDR $3"
}

# What answers a pod comes back by lb0, which is not attached: answers, whole and
# in fragments, and errors.
comes_back() {
	local refused="
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(3)
    s.connect(('$FAR_ADDR', 5999))
    s.send(b'x')
    try:
        s.recv(1)
    except ConnectionRefusedError:
        print('refused')
"
	lab_in far ip route add $NODE_ADDR/32 via $CARD_ADDR
	is udp "$(saw pod1 $FAR_ADDR udp 41171)" "$NODE_ADDR 41171"
	is tcp "$(saw pod1 $FAR_ADDR tcp 41172)" "$NODE_ADDR 41172"
	lab_in pod1 ping -q -c 2 -i 0.2 -W 3 -s 4000 $FAR_ADDR >/dev/null ||
		fail "a datagram in fragments"
	is "an error" "$(lab_in pod1 "$PYTHON" -c "$refused")" refused
	# the node's own
	is node "$(saw node $FAR_ADDR udp 41171 |
		cut -d' ' -f1)" $NODE_ADDR
	lab_in far ip route del $NODE_ADDR/32
	lab_in node ip -6 addr add fd00:150::1/64 dev lb0 nodad
	lab_in far ip -6 addr add fd00:150::2/64 dev lb0 nodad
	lab_in far ip -6 route add $NODE_ADDR6/128 via fd00:150::1
	is "IPv6" "$(saw pod1 $FAR_ADDR6 udp 41173)" "$NODE_ADDR6 41173"
	lab_in far ip -6 route del $NODE_ADDR6/128 via fd00:150::1
	lab_in far ip -6 addr del fd00:150::2/64 dev lb0
	lab_in node ip -6 addr del fd00:150::1/64 dev lb0
}

# One client asks two pods within a second; the other one's answers leave by lb0.
in_by_lb0_twice() {
	local pod=10.44.14.30 sport
	lab_in pod1 ip addr add $pod/32 dev eth0
	lab_in node ip route add $pod/32 dev pod1
	lab_in node ip route add default via 10.150.0.2 table 100
	lab_in node ip rule add from $pod lookup 100
	lab_in far ip route add $POD/32 via $CARD_ADDR
	lab_in far ip route add $pod/32 via $CARD_ADDR
	for sport in 41091 41092 41093; do
		is "the other" "$(from_far $pod udp $sport)" "$FAR_ADDR $sport"
		is "this one" "$(from_far $POD udp $sport)" "$FAR_ADDR $sport"
	done
	lab_in far ip route del $POD/32
	lab_in far ip route del $pod/32
	lab_in node ip route del $pod/32
	lab_in pod1 ip addr del $pod/32 dev eth0
}

# The answer's way out is chosen by the service's port.
in_by_lb0_out_by_port() {
	lab_in node ip route replace default via 10.150.0.2
	lab_in node ip route add default via $FAR_GATEWAY table 100
	lab_in node ip rule add ipproto udp sport 80 lookup 100
	in_by_lb0 udp $POD 41094
}

direct_return() {
	lab_in pod1 ip addr add $VIP/32 dev lo
	lab_in node ip route add $VIP/32 via $POD dev pod1 onlink
	in_by_lb0 udp $VIP 41081
	in_by_lb0 tcp $VIP 41082
	lab_in node ip route del $VIP/32
	lab_in pod1 ip addr del $VIP/32 dev lo
}

# kube-proxy's: netfilter translates the address that nobody has
load_balancer() {
	lab_in node nft add table ip proxy
	lab_in node nft 'add chain ip proxy in { type nat hook prerouting priority dstnat; }'
	lab_in node nft add rule ip proxy in ip daddr $VIP \
		meta l4proto '{ tcp, udp }' th dport 80 dnat to $POD:80
	in_by_lb0 udp $VIP 41083
	in_by_lb0 tcp $VIP 41084
	lab_in node nft delete table ip proxy
}

# A UDP flow that has been answered for long, and the route goes to lb0.
fail_over() {
	local answer
	masq attach lb0 >/dev/null
	lab_in far ip route add 10.142.0.66/32 via $CARD_ADDR 2>/dev/null || true
	coproc FLOW { traffic pod1 talk $FAR_ADDR $PORT --proto udp \
		--sport 41090 --timeout 5; }
	for _ in 1 2 3; do
		echo >&"${FLOW[1]}"
		read -r answer <&"${FLOW[0]}"
		is before "$answer" "$NODE_ADDR 41090"
		sleep 1
	done
	lab_in node ip route replace default via 10.150.0.2
	echo >&"${FLOW[1]}"
	read -r answer <&"${FLOW[0]}"
	is after "$answer" "$CARD_ADDR 41090"
	is "explain" "$(explained $FAR_ADDR --source $POD)" $CARD_ADDR
	lab_in node ip route replace default via $FAR_GATEWAY
	echo >&"${FLOW[1]}"
	read -r answer <&"${FLOW[0]}"
	is "back again" "$answer" "$NODE_ADDR 41090"
	eval "exec ${FLOW[1]}>&-"
	wait "$FLOW_PID" || true
	masq detach lb0 >/dev/null
}

# The address that flows have moves to the other card, and the route with it:
# the same address, so the same flows, UDP and TCP.
address_moves() {
	local proto fd
	local -A asks answers
	masq attach lb0 >/dev/null
	# what is on its way to there goes by the card that has it
	lab_in far ip route del $SECOND_ADDR/32 2>/dev/null || true
	lab_in node ip route replace default via $FAR_GATEWAY src $SECOND_ADDR
	for proto in udp tcp; do
		coproc FLOW { traffic pod1 talk $FAR_ADDR $PORT --proto $proto \
			--sport 41095 --timeout 5; }
		exec {fd}>&"${FLOW[1]}"
		asks[$proto]=$fd
		exec {fd}<&"${FLOW[0]}"
		answers[$proto]=$fd
		eval "exec ${FLOW[1]}>&- ${FLOW[0]}<&-"
	done
	address_seen before
	lab_in node ip addr del $SECOND_ADDR/32 dev eth0
	lab_in node ip addr add $SECOND_ADDR/32 dev lb0
	lab_in node ip route replace default via 10.150.0.2 src $SECOND_ADDR
	lab_in far ip route add $SECOND_ADDR/32 via $CARD_ADDR
	masq attach -q lb0 2>/dev/null # it reads the addresses anew
	address_seen moved
	lab_in far ip route del $SECOND_ADDR/32
	lab_in node ip addr del $SECOND_ADDR/32 dev lb0
	lab_in node ip addr add $SECOND_ADDR/32 dev eth0
	lab_in node ip route replace default via $FAR_GATEWAY src $SECOND_ADDR
	address_seen "back again"
	for fd in "${asks[@]}" "${answers[@]}"; do
		exec {fd}>&-
	done
	lab_in node ip route replace default via $FAR_GATEWAY
	masq detach lb0 >/dev/null
}

address_seen() { # WHEN
	local answer proto
	for proto in udp tcp udp tcp; do
		echo >&"${asks[$proto]}"
		read -r -t 6 answer <&"${answers[$proto]}" || answer=nothing
		is "$1, $proto" "$answer" "$SECOND_ADDR 41095"
	done
}

# --- several addresses for a destination -----------------------------------------

# Routed here, and no interface has them.
POOL=203.0.113
POOL6=2001:db8:99:

# pool RANGES: the policy from now on
pool() {
	printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8]' 'enableIPv6: true' \
		'snat:' '  addresses:' \
		"  - {destination: 172.30.0.0/16, address: [$1]}" \
		"  - {destination: '2001:db8:30::/48', address: ['$POOL6:8/125']}" \
		>"$LAB_DIR/pool.yaml"
	masq reload -q --config "$LAB_DIR/pool.yaml"
}

pods() {
	local n
	for n in 20 21 22 23 24 25 26 27; do
		echo 10.44.14.$n
	done
}

pool_begin() {
	local pod
	lab_in far ip route add $POOL.0/24 via $NODE_ADDR
	lab_in far ip -6 route add $POOL6:/64 via $NODE_ADDR6
	for pod in $(pods); do
		lab_in pod1 ip addr add "$pod/32" dev eth0
		lab_in node ip route add "$pod/32" dev pod1
	done
	pool "$POOL.8, $POOL.16/30, $POOL.20-$POOL.27"
}

# source_of POD SPORT PROTO
source_of() {
	echo | traffic pod1 talk $FAR_ADDR $PORT --proto "$3" --source "$1" \
		--sport "$2" --timeout 3
}

several() {
	local pod seen sport=42000
	for pod in $(pods); do
		sport=$((sport + 2))
		seen=$(explained $FAR_ADDR --source "$pod")
		[[ $seen =~ ^$POOL\.(8|1[6-9]|2[0-7])$ ]] || fail "$pod: $seen"
		is "udp of $pod" "$(source_of "$pod" $sport udp)" "$seen $sport"
		is "tcp of $pod" "$(source_of "$pod" $((sport + 1)) tcp)" \
			"$seen $((sport + 1))"
		echo "$seen"
	done >"$LAB_DIR/sources"
	(($(sort -u "$LAB_DIR/sources" | wc -l) > 2)) ||
		fail "one for all: $(cat "$LAB_DIR/sources")"
	is "explain, of any pod" "$(masq explain $FAR_ADDR --json |
		jq -c '[.source_seen, .source_pool, .source_by]')" \
		"[null,[\"$POOL.8\",\"$POOL.16-$POOL.27\"],\"snat\"]"
	masq explain $FAR_ADDR | grep -q "one of $POOL.8, $POOL.16-$POOL.27" ||
		fail "$(masq explain $FAR_ADDR)"
	seen=$(explained $FAR_ADDR6 --source $POD6)
	[[ $seen =~ ^$POOL6:[89a-f]$ ]] || fail "$POD6: $seen"
	is "udp of $POD6" "$(saw pod1 $FAR_ADDR6 udp 42100)" "$seen 42100"
	is "tcp of $POD6" "$(saw pod1 $FAR_ADDR6 tcp 42101)" "$seen 42101"
}

# Others come, and those who have one keep it; theirs go, and what lives stays.
pool_changes() {
	local answer pod was
	coproc KEPT { traffic pod1 talk $FAR_ADDR $PORT --source 10.44.14.20 \
		--sport 42200 --timeout 5; }
	echo >&"${KEPT[1]}"
	read -r was <&"${KEPT[0]}"
	pool "$POOL.0/28, $POOL.16/30, $POOL.20-$POOL.27, $POOL.128/25"
	for pod in $(pods); do
		explained $FAR_ADDR --source "$pod"
	done | cmp -s - "$LAB_DIR/sources" || fail "others after it grew"
	is "the next flow" "$(source_of 10.44.14.20 42201 udp)" \
		"${was%% *} 42201"
	pool "$POOL.250, $POOL.252"
	echo >&"${KEPT[1]}"
	read -r answer <&"${KEPT[0]}"
	is "a flow that lives" "$answer" "$was"
	answer=$(source_of 10.44.14.20 42202 tcp)
	[[ $answer =~ ^$POOL\.25[02]\ 42202$ ]] || fail "then: $answer"
	masq plan "$LAB_DIR/config.yaml" |
		grep -q "masquerade as $POOL.250, $POOL.252" ||
		fail "$(masq plan "$LAB_DIR/config.yaml")"
	masq rollback -q $(($(masq status --json | jq .generation) - 1))
	is "explain after rollback" "$(explained $FAR_ADDR --source 10.44.14.20)" \
		"${was%% *}"
	eval "exec ${KEPT[1]}>&-"
	wait "$KEPT_PID" || true
}

# What outsiders send there holds nothing, and does not go round.
from_outside() {
	local before
	before=$(drops no_flow)
	lab_in far "$PYTHON" - $POOL.21 <<-'EOF'
		import socket, sys
		for port in range(3000, 3100):
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    s.sendto(b"x", (sys.argv[1], port))
	EOF
	is "flows of theirs" "$(masq flows --json |
		jq '[.[] | select(.orig.dst == "'$POOL'.21")] | length')" 0
	is "drops, one for each" $(($(drops no_flow) - before)) 100
}

drops() {
	masq counters --json | jq ".drops.$1 // 0"
}

row "a table by the pods' source, nobody has flows" undoing nobody_yet
row "the main table" goes $FAR_ADDR $NODE_ADDR 41001
row "IPv6, the main table" goes $FAR_ADDR6 $NODE_ADDR6 41002
row "a table by the pods' source" undoing by_rule "from $POD_NET" \
	$NODE_ADDR 41003
row "a table by the pod's interface" undoing by_rule "iif pod1" \
	$NODE_ADDR 41004
row "a table by destination" undoing by_rule "to 172.30.0.0/16" \
	$NODE_ADDR 41005
row "a table by a mark" undoing by_mark
! lab_fib_source ||
	row "the table's source hint" undoing by_rule "from $POD_NET" \
		$SECOND_ADDR 41006 src $SECOND_ADDR
! lab_fib_source || row "a rule by protocol and port" undoing by_kind
! lab_fib_source || row "a rule by TOS" undoing by_tos 4 $FAR_ADDR \
	$FAR_GATEWAY $SECOND_ADDR $NODE_ADDR $POD
! lab_fib_source || row "a rule by traffic class" undoing by_tos 6 \
	$FAR_ADDR6 $FAR_GATEWAY6 fd00:142::77 $NODE_ADDR6 $POD6
! lab_fib_source || row "several ways, one source" undoing several_ways
row "IPv6, a route for one source" undoing source_specific
! lab_fib_source || row "a macvlan on a card" undoing on_a_card
row "a rule takes it for the node's own" undoing taken
row "a route that wraps" wrapped
row "a blackhole" no_way blackhole blackhole
row "an unreachable route" no_way unreachable unreachable
row "a prohibited one" no_way prohibit prohibit
row "an unreachable rule" undoing by_no_rule "from $POD" unreachable
row "an unreachable rule, by protocol" undoing by_no_rule \
	"ipproto udp dport 53" unreachable --proto udp --port 53
row "an unreachable rule of others" undoing by_no_rule "from 10.44.99.0/24" none
row "an unreachable rule of all but others" undoing by_no_rule \
	"not from 10.44.99.0/24" unreachable
row "a proxy with the pod's address" proxy
row "a proxy, a pod with a small MTU" proxy_large
! lab_fib_source || row "a proxy, by a mark" undoing proxy_marked
row "a proxy, its table has all for local" undoing proxy_table
row "a proxy, by the uplink's name" undoing proxy_iif
row "an address that is bound without being there" bound_without_being_there
row "such an address, the default route elsewhere" undoing \
	bound_and_the_default_elsewhere
row "IPv6 fragmented anew" fragmented_anew $NODE_ADDR6
! lab_fib_source || row "IPv6 fragmented anew, a route by its interface" \
	fragmented_anew_by_rule
row "in by another card, UDP" in_by_lb0 udp $POD 41071
row "in by another card, TCP" in_by_lb0 tcp $POD 41072
row "in by another card, two pods' ways out" undoing in_by_lb0_twice
row "in by another card, a way out by port" undoing in_by_lb0_out_by_port
row "an answer to a pod by another card" comes_back
row "direct server return" direct_return
row "a load balancer's address by another card" load_balancer
row "fail-over to another uplink and back" fail_over
row "an address that moves to another uplink and back" address_moves
neighbour
row "a neighbour of netfilter and a pod, UDP" same_port udp guest pod1 45060
row "a pod and a neighbour, UDP" same_port udp pod1 guest 45061
row "a neighbour and a pod, TCP" same_port tcp guest pod1 45062
row "a pod and a neighbour, TCP" same_port tcp pod1 guest 45063
row "a tunnel of the node and a pod" tunnel
pool_begin
row "several addresses, each pod has one" several
row "the addresses change" pool_changes
row "several addresses, from outside" from_outside
tap_done
