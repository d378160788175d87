#!/usr/bin/env bash
# probe, and plan --probe: what they say of a far side is what real connections
# find there; and nobody but the far side notices.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PORT=443
POD=10.44.14.15
POD6=fd00:44::15
SHORT=400ms # for what is silent

# probe ARG...: as JSON into the variable PROBE
probe() {
	PROBE=$(masq probe -q --json "$@") || true
	[ -n "$PROBE" ] || fail "no answer of probe $*"
}

says() { # JQ WANT
	is "$1" "$(jq -rc "$1" <<<"$PROBE")" "$2"
}

# far_side RULE...: its firewall, of both families
far_side() {
	local rule
	lab_in far nft add table inet side
	lab_in far nft flush table inet side
	lab_in far nft add chain inet side in \
		'{ type filter hook input priority filter; }'
	for rule; do
		# shellcheck disable=SC2086 # words of nft
		lab_in far nft add rule inet side in iifname eth0 $rule
	done
}

# back: as it was in the beginning
back() {
	far_side
	lab_in far ip route replace $POD_NET via $NODE_ADDR
	lab_in far ip -6 route replace fd00:44::/64 via $NODE_ADDR6
	lab_in node ip route replace default via $FAR_GATEWAY
	masq flush >/dev/null
	masq reload -q --config config.yaml >/dev/null
	masq flush >/dev/null
	lab_in pod1 ping -qc1 -W2 $FAR_ADDR >/dev/null
	lab_in pod1 ping -qc1 -W2 $FAR_ADDR6 >/dev/null
}

causes() {
	back
	probe $FAR_ADDR:$PORT --source $POD
	says '[.cause,.destination,.port,.proto]' \
		"[\"both\",\"$FAR_ADDR\",$PORT,\"tcp\"]"
	says '[.as_node.source,.as_node.answered,.as_node.answer]' \
		"[\"$NODE_ADDR\",true,\"SYN-ACK\"]"
	says '[.as_pod.source,.as_pod.answered,.as_pod.answer]' \
		"[\"$POD\",true,\"SYN-ACK\"]"
	says '.as_node.rtt_ms > 0 and .as_node.rtt_ms < 3000' true
	probe $FAR_ADDR:444
	says '[.cause,.as_node.answer,.as_pod.answer]' \
		'["reset","reset","reset"]'
	far_side "ip saddr $POD_NET drop"
	probe $FAR_ADDR:$PORT --timeout $SHORT
	says '[.cause,.as_node.answered,.as_pod.answered,.as_pod.rtt_ms]' \
		'["only_node",true,false,null]'
	says '.verdict | test("masquerade it")' true
	far_side "ip saddr $POD_NET reject with icmp type admin-prohibited"
	probe $FAR_ADDR:$PORT
	says '[.cause,.as_pod.answered,.as_pod.answer]' \
		"[\"only_node\",false,\"ICMP administratively prohibited from $FAR_ADDR\"]"
	far_side "ip saddr $POD_NET meta l4proto tcp reject with tcp reset"
	probe $FAR_ADDR:$PORT
	says '[.cause,.as_pod.answer]' '["only_node","reset"]'
	far_side "ip saddr $NODE_ADDR drop"
	probe $FAR_ADDR:$PORT --timeout $SHORT
	says '[.cause,.as_node.answered,.as_pod.answered]' \
		'["only_pod",false,true]'
	far_side "tcp dport $PORT drop"
	probe $FAR_ADDR:$PORT --timeout $SHORT
	says .cause nobody
	far_side
	# its router says so
	probe 198.51.100.7
	says '[.cause,.as_node.answer,.as_node.from]' \
		"[\"refused\",\"ICMP host unreachable from $FAR_GATEWAY\",\"$FAR_GATEWAY\"]"
	lab_in far ip route del $POD_NET
	probe $FAR_ADDR:$PORT --timeout $SHORT
	says .cause only_node
}

no_way() {
	back
	lab_in node ip route add unreachable 192.0.2.0/24
	lab_in node ip route add blackhole 203.0.113.0/24
	probe 192.0.2.1:1
	says '[.cause,.as_pod.answer]' '["no_route","route: unreachable"]'
	probe 203.0.113.1:1
	says '[.cause,.as_pod.answer]' '["no_route","route: blackhole"]'
	lab_in node ip route del unreachable 192.0.2.0/24
	lab_in node ip route del blackhole 203.0.113.0/24
	probe 10.142.0.77 # in the uplink's own network
	says '[.cause,.as_node.answer]' \
		'["no_route","nobody at the next hop"]'
	lab_in node ip route del default
	probe $FAR_ADDR:$PORT
	says '[.cause,.as_node.answered,.as_node.answer]' \
		'["no_route",false,"no route"]'
	back
}

datagrams() {
	back
	probe $FAR_ADDR:$PORT --proto udp --payload 'a\x00\n\x5c'
	says '[.cause,.as_node.answer]' '["both","datagram"]'
	probe $FAR_ADDR:444 --proto udp
	says '[.cause,.as_pod.answer]' \
		"[\"closed\",\"ICMP port unreachable from $FAR_ADDR\"]"
	far_side "ip saddr $POD udp dport $PORT drop"
	probe $FAR_ADDR:$PORT --proto udp --timeout $SHORT
	says .cause only_node
	far_side
	# its own word is an answer, and the way back is what the pod lacks
	lab_in far ip route del $POD_NET
	probe $FAR_ADDR:444 --proto udp --timeout $SHORT
	says '[.cause,.as_node.answered,.as_pod.answered]' \
		'["only_node",true,false]'
	lab_in far ip route replace $POD_NET via $NODE_ADDR
	is "a payload that is none" "$(status_of masq probe $FAR_ADDR:1 \
		--proto udp --payload '\q')" 2
}

pings() {
	back
	probe $FAR_ADDR
	says '[.cause,.proto,.port,.as_pod.answer]' \
		'["both","icmp",null,"echo reply"]'
	far_side "ip saddr $POD drop"
	probe $FAR_ADDR --timeout $SHORT
	says .cause only_node
}

# Nobody asks himself.
a_pod_itself() {
	back
	probe $POD:80 --timeout $SHORT
	says .as_pod null
	is "by name" "$(status_of masq probe $POD:80 --source $POD)" 1
	grep -q 'is the destination itself' out
}

six() {
	back
	probe "[$FAR_ADDR6]:$PORT"
	says '[.cause,.as_node.source,.as_pod.source]' \
		"[\"both\",\"$NODE_ADDR6\",\"$POD6\"]"
	probe $FAR_ADDR6
	says '[.cause,.as_pod.answer]' '["both","echo reply"]'
	probe "[$FAR_ADDR6]:$PORT" --proto udp --payload x
	says .cause both
	far_side "ip6 saddr $POD6 reject with icmpv6 type admin-prohibited"
	probe "[$FAR_ADDR6]:$PORT"
	says '[.cause,.as_pod.answer]' \
		"[\"only_node\",\"ICMP administratively prohibited from $FAR_ADDR6\"]"
	far_side "ip6 saddr $NODE_ADDR6 drop"
	probe "[$FAR_ADDR6]:$PORT" --timeout $SHORT
	says .cause only_pod
}

# status_of COMMAND...: its exit code; what it said is in out
status_of() {
	local status=0
	"$@" >out 2>&1 || status=$?
	echo $status
}

refusals() {
	back
	is "multicast" "$(status_of masq probe 224.0.0.251:5353)" 2
	is "broadcast" "$(status_of masq probe 255.255.255.255)" 2
	is "broadcast of a network" "$(status_of masq probe 10.142.15.255)" 2
	is "multicast of IPv6" "$(status_of masq probe ff02::1)" 2
	is "the node" "$(status_of masq probe $NODE_ADDR:22)" 1
	grep -q 'an address of the node itself' out
	is "nobody's address" "$(status_of masq probe $FAR_ADDR \
		--source 10.44.14.99)" 1
	grep -q 'no pod of this node has this address' out
	is "the node's as a pod's" "$(status_of masq probe $FAR_ADDR \
		--source $NODE_ADDR)" 1
	is "a far one as a pod's" "$(status_of masq probe $FAR_ADDR \
		--source $FAR_GATEWAY)" 1
	is "no port" "$(status_of masq probe $FAR_ADDR --proto tcp)" 2
	is "no such port" "$(status_of masq probe $FAR_ADDR:0)" 2
	is "two ports" "$(status_of masq probe $FAR_ADDR:1 --port 2)" 2
	is "two families" "$(status_of masq probe $FAR_ADDR \
		--source $POD6)" 2
	is "a name" "$(status_of masq probe host.example:443)" 2
	# all of 172.30/16 is far's: a reset
	is "a reset" "$(status_of masq probe 172.30.12.111:1)" 0
	far_side drop
	is "silence" "$(status_of masq probe $FAR_ADDR:1 --timeout 60ms)" 1
	grep -q 'nobody is answered' out
	is "nothing attached" "$(status_of masq probe $FAR_ADDR \
		--pin-dir "$LAB_DIR/bpf/none")" 1
}

# By a way that is not attached, and to another pod.
elsewhere() {
	back
	lab_ns other
	lab_link node eth1 other eth0
	lab_in node ip addr add 10.99.0.1/24 dev eth1
	lab_in other ip addr add 10.99.0.2/24 dev eth0
	lab_in other ip route add 10.44.0.0/16 via 10.99.0.1
	probe 10.99.0.2 --source $POD
	says '[.cause,.uplink,.uplink_attached,.action]' \
		'["both","eth1",false,"pass"]'
	probe 10.44.14.16 --source $POD
	says '[.cause,.uplink]' '["both","pod2"]'
	lab_in node ip link del eth1
}

# Whatever is sent: no flow, no count, nothing at the pods, no program left.
unnoticed() {
	local action before after what
	back
	lab_in pod1 nft -f - <<-EOF
		table inet seen {
			counter got { }
			chain in {
				type filter hook input priority filter
				meta l4proto { tcp, udp } counter name got
				icmp type != echo-request counter name got
				icmpv6 type { destination-unreachable, echo-reply } \
					counter name got
			}
		}
	EOF
	for action in --keep --masquerade; do
		masq cidr add -q $FAR_ADDR/32 $action >/dev/null
		masq cidr add -q $FAR_ADDR6/128 $action >/dev/null
		before=$(state)
		for what in $FAR_ADDR:$PORT $FAR_ADDR:444 $FAR_ADDR \
			"[$FAR_ADDR6]:$PORT" $FAR_ADDR6 \
			"$FAR_ADDR:$PORT --proto udp" "$FAR_ADDR:444 --proto udp" \
			"172.30.1.1:$PORT"; do
			# shellcheck disable=SC2086 # words
			probe $what --timeout 1s
			says '.as_pod.source != null' true
			is "$what" "$(jq -r .as_node.answer <<<"$PROBE" |
				grep -c "no answer" || true)" 0
		done
		after=$(state)
		is "flows and counters ($action)" "$after" "$before"
		masq cidr del -q $FAR_ADDR/32 >/dev/null
		masq cidr del -q $FAR_ADDR6/128 >/dev/null
	done
	is "packets at the pod" "$(lab_in pod1 nft -j list counter inet seen \
		got | jq '.nftables[].counter.packets? // empty')" 0
	lab_in pod1 nft delete table inet seen
	is "programs of probe" "$(lab_programs eth0 pod1 |
		grep -c masq_swallow || true)" 0
}

# Neighbour discovery goes on meanwhile: it is left out.
state() {
	masq flows --json | jq -S '[.[] | {orig, xlat, ingress, egress}]'
	masq counters --json | jq -S '[.prefixes, .drops, .passes.not_pod,
		.passes.kept, .passes.keep_untracked, .passes.inbound,
		.passes.inbound_untracked]'
}

# Killed in the middle, and interrupted.
killed() {
	local pid
	back
	far_side drop
	lab_spawn node "$MASQBPF" probe -q $FAR_ADDR:$PORT --timeout 20s
	pid=$LAB_PID
	lab_wait 10 probing
	kill -INT "$pid"
	lab_wait 10 lab_gone "$pid"
	is "interrupted: programs" "$(probing && echo left)" ""
	lab_spawn node "$MASQBPF" probe -q $FAR_ADDR:$PORT --timeout 20s
	pid=$LAB_PID
	lab_wait 10 probing
	kill -KILL "$pid"
	lab_wait 10 lab_gone "$pid"
	[ "$(lab_hook)" = tc ] || lab_wait 10 not_probing
	far_side
	probe $FAR_ADDR:$PORT
	says .cause both
}

probing() {
	# not -q, which would end the pipe before it is read
	lab_programs eth0 pod1 | grep masq_swallow >/dev/null
}

not_probing() {
	! probing
}

# The pod has a flow to the same place on every port but one that a probe may
# take, then on all of them.
pods_ports() {
	local n
	back
	n=$(lab_in pod1 "$PYTHON" - <<-EOF
		import resource, socket
		resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
		n = 0
		for port in range(61000, 65536):
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    s.bind(("$POD", port))
		    s.sendto(b"x", ("$FAR_ADDR", $PORT))
		    s.close()
		    n += 1
		print(n)
	EOF
	)
	is "ports" "$n" 4536
	probe $FAR_ADDR:$PORT --proto udp --payload x
	says '[.cause,.as_node.answered,.as_pod.answered]' \
		'["unknown",true,null]'
	# another port of the far side is another matter
	probe $FAR_ADDR:444 --proto udp
	says .cause closed
	masq flush >/dev/null
}

# A pod that talks all the time, through whatever port, loses nothing.
beside_traffic() {
	local i
	back
	stream_start pod1 $FAR_ADDR $PORT
	for i in 1 2 3 4 5 6; do
		probe $FAR_ADDR:$PORT --source $POD
		says .cause both
	done
	stream_end
}

# --- what it says is what happens ----------------------------------------------

# kind ANSWER: what a program would call it
kind() {
	case $1 in
	SYN-ACK | datagram | 'echo reply') echo open ;;
	'no answer') echo silent ;;
	*) echo refused ;;
	esac
}

# real ACTION PROTO DEST: a pod's connection under that treatment
real() {
	local action=$1 proto=$2 dest=$3 plen=32
	[[ $dest != *:* ]] || plen=128
	masq cidr add -q "$dest/$plen" "--$action" >/dev/null 2>&1
	masq flush >/dev/null
	lab_in pod1 "$PYTHON" "$LAB_LIB/attempt.py" "$proto" "$dest" $PORT 2
	masq cidr del -q "$dest/$plen" >/dev/null
}

pick() { # WORD...
	local words=("$@")
	PICKED=${words[RANDOM % $#]}
}

# One far side by chance, one destination: probe, then both treatments.
property() { # SEED ROUNDS
	local i proto dest family pods node closed told found who
	back
	note "seed $1, $2 far sides"
	RANDOM=$1
	for ((i = 0; i < $2; i++)); do
		pick tcp tcp udp icmp
		proto=$PICKED
		pick $FAR_ADDR 172.30.7.7 $FAR_ADDR6
		dest=$PICKED
		family=ip
		pods=$POD_NET node=$NODE_ADDR
		[[ $dest != *:* ]] || family=ip6 pods=fd00:44::/64 node=$NODE_ADDR6
		local rules=()
		for who in $pods $node; do
			pick accept accept drop reject "tcp dport $PORT drop" \
				"tcp dport $PORT reject with tcp reset" \
				"meta l4proto { icmp, icmpv6 } drop"
			rules+=("$family saddr $who $PICKED")
		done
		pick yes yes no
		closed=$PICKED # is there a route back to pods?
		far_side "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept" \
			"${rules[@]}"
		if [ "$closed" = no ]; then
			lab_in far ip route del $POD_NET || true
			lab_in far ip -6 route del fd00:44::/64 || true
		else
			lab_in far ip route replace $POD_NET via $NODE_ADDR
			lab_in far ip -6 route replace fd00:44::/64 \
				via $NODE_ADDR6
		fi
		local args=("$dest" --proto "$proto" --timeout 2s)
		[ "$proto" = icmp ] || args+=(--port "$PORT")
		[ "$proto" != udp ] || args+=(--payload hello)
		[[ $dest == *:* ]] && who=$POD6 || who=$POD
		probe "${args[@]}" --source "$who"
		told="node $(kind "$(jq -r .as_node.answer <<<"$PROBE")")"
		told+=" pod $(kind "$(jq -r .as_pod.answer <<<"$PROBE")")"
		found="node $(real masquerade "$proto" "$dest")"
		found+=" pod $(real keep "$proto" "$dest")"
		is "seed $1: $proto $dest, route back: $closed, ${rules[*]}" \
			"$told" "$found"
	done
	back
}

# --- plan --probe ---------------------------------------------------------------

plan_probes() {
	local plan
	back
	printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]' \
		'enableIPv6: true' >wide.yaml
	far_side "ip daddr 172.30.1.1 ip saddr $POD_NET drop" \
		"ip daddr 172.30.1.2 ip saddr $POD_NET reject"
	for dest in $FAR_ADDR 172.30.1.1 172.30.1.2; do
		is "$dest" "$(lab_in pod1 "$PYTHON" "$LAB_LIB/attempt.py" tcp \
			"$dest" $PORT 2)" open
	done
	plan=$(masq plan -q wide.yaml --probe --json)
	json_is probes "$plan" '[.probes[] | select(.proto == "tcp") |
		[.destination, .port, .to, .breaks, .answer]] | sort' \
		"[[\"172.30.1.1\",443,\"keep\",true,\"no answer\"],[\"172.30.1.2\",443,\"keep\",true,\"ICMP port unreachable from 172.30.1.2\"],[\"$FAR_ADDR\",443,\"keep\",false,\"SYN-ACK\"]]"
	json_is "would break" "$plan" .would_break 2
	json_is warnings "$plan" '[.warnings[] | select(test("would break"))] |
		length' 2
	is "exit code" "$(status_of masq plan -q wide.yaml --probe \
		--exit-code)" 3
	grep -q '172.30.1.1:443 .*would break' out
	is "the policy" "$(masq explain 172.30.1.1 --json | jq -r .action)" \
		masquerade
	is "two files" "$(status_of masq plan wide.yaml --against config.yaml \
		--probe)" 2
	far_side
	is "what does not change" "$(status_of masq plan config.yaml --probe \
		--exit-code)" 0
	grep -q 'Nothing to probe' out
}

# More than there is time for: 20, the most used ones first, in five seconds.
plan_is_bounded() {
	local plan i
	back
	far_side "ip saddr $POD_NET tcp dport $PORT drop"
	for ((i = 1; i <= 30; i++)); do
		lab_in pod1 "$PYTHON" "$LAB_LIB/attempt.py" tcp 172.30.2.$i \
			$PORT 2 >/dev/null
	done
	lab_in pod1 "$PYTHON" "$LAB_LIB/attempt.py" tcp 172.30.2.30 $PORT 2
	plan=$(masq plan -q wide.yaml --probe --json)
	json_is probed "$plan" '.probes | length' 20
	json_is "the most used" "$plan" '.probes[0].destination' \
		'"172.30.2.30"'
	json_is "would break" "$plan" .would_break 20
}

json_is() { # NAME JSON JQ WANT
	is "$1" "$(jq -c "$3" <<<"$2")" "$4"
}

lab_begin
cd "$LAB_DIR"
lab_node_far
lab_pods 2
lab_ipv6
# a router, which says so every time
lab_in far sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0 \
	net.ipv6.icmp.ratelimit=0
lab_in far ip route add unreachable 198.51.100.0/24
lab_serve far $PORT
lab_serve far $PORT $FAR_ADDR6
LAB_IPV6=true lab_nat masqbpf 2>/dev/null
row "causes" causes
row "no way" no_way
row "UDP" datagrams
row "ping" pings
row "IPv6" six
row "a pod as the destination" a_pod_itself
row "what is refused" refusals
row "by what is not attached" elsewhere
row "nobody notices" unnoticed
row "interrupted, and killed" killed
row "the pod has every port" pods_ports
row "beside the pod's own traffic" beside_traffic
row "what it says is what happens" property "${PROBE_SEED:-${TEST_SEED:-$RANDOM}}" \
	"${PROBE_ROUNDS:-12}"
row "plan --probe" plan_probes
row "plan --probe is bounded" plan_is_bounded
masq detach -q --all
tap_done
