#!/usr/bin/env bash
# The fast path takes no packet that the stack would not have taken, and none
# another way: every kind of difference that docs/fastpath.md lists. Each row
# has a flow of pod1 that is on the fast path, and does something that the stack
# would notice.
#	FAST_HOOK=tc test_fastsafe.sh	by filters, where there is TCX
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/stack.sh"

FAR=172.30.12.110
PORT=443
SPORT=5555
HOOK=${FAST_HOOK:-auto}

fast_py() { # NS ARG...
	lab_in "$1" "$PYTHON" "$LAB_LIB/fast.py" "${@:2}"
}

mac_of() { # NS DEV
	lab_in "$1" ip -j link show "$2" | jq -r '.[0].address'
}

# later COMMAND...: on the node, when the row ends, however it does
later() {
	LATER+=("$*")
	trap undo EXIT
}

undo() {
	local i
	if [ -n "${TALK:-}" ]; then
		kill "$TALK" 2>/dev/null || true
		wait "$TALK" 2>/dev/null || true
	fi
	for ((i = ${#LATER[@]} - 1; i >= 0; i--)); do
		# shellcheck disable=SC2086 # words
		lab_in node ${LATER[i]} >/dev/null 2>&1 || true
	done
}
LATER=()

# A filter of somebody's that drops, or passes, all.
tc_filter() { # DEV DIRECTION drop|pass [PRIORITY]
	local verdict=0
	[ "$3" = pass ] || verdict=2
	# ours are in the same qdisc, where that is our hook
	! lab_in node tc qdisc add dev "$1" clsact 2>/dev/null ||
		later tc qdisc del dev "$1" clsact
	later tc filter del dev "$1" "$2" prio "${4:-9}"
	lab_in node tc filter add dev "$1" "$2" prio "${4:-9}" \
		bpf da bytecode "1,6 0 0 $verdict"
}

# talk POD: in the background, until it is told to end
talk() {
	stack_talk "$1" $FAR $PORT $SPORT 120
}

# begin [slow]: pod1 talks in the background, and is on the fast path, or (slow)
# could be by now: a UDP flow is established after two seconds
begin() {
	talk pod1
	if [ "${1:-}" = slow ]; then
		lab_wait 5 progress 20 || fail "$(cat "$LAB_DIR/talk")"
		sleep 2.5
	else
		on_fast_path
	fi
}

# progress COUNT: so many were sent and answered
progress() {
	local sent answered
	read -r sent answered <"$LAB_DIR/progress"
	[ "$sent" -ge "$1" ] && [ "$answered" -ge "$1" ]
}

on_fast_path() {
	lab_wait 10 is_fast || fail "not on the fast path: $SEEN of 2 * $SENT"
}

off_fast_path() {
	lab_wait 10 is_slow || fail "still on the fast path: $SEEN of 2 * $SENT"
}

# end: all that was asked was answered
end() {
	hush
	note "$(cat "$LAB_DIR/talk")"
	[ "$(word answered "$(cat "$LAB_DIR/talk")")" -ge \
		$(($(word of "$(cat "$LAB_DIR/talk")") - 2)) ] ||
		fail "$(cat "$LAB_DIR/talk")"
}

# end_cut: it comes to nothing
end_cut() {
	lab_wait 10 is_cut || fail "goes on: $(cat "$LAB_DIR/progress")"
	hush
	is "answers in the last second" \
		"$(word late "$(cat "$LAB_DIR/talk")")" 0
}

is_cut() {
	local sent answered sent_then answered_then
	read -r sent_then answered_then <"$LAB_DIR/progress"
	sleep 1.5
	read -r sent answered <"$LAB_DIR/progress"
	[ $((sent - sent_then)) -ge 4 ] && [ "$answered" = "$answered_then" ]
}

# watched NS DEV TEXT COMMAND...: what came in there meanwhile, in WATCHED
watched() {
	(exec nsenter --net="$(lab_netns "$1")" -- "$PYTHON" \
		"$LAB_LIB/fast.py" watch "$2" $((60 * TEST_SLOW)) "$3") \
		>"$LAB_DIR/watched" &
	local watcher=$!
	lab_wait 5 grep -q ready "$LAB_DIR/watched"
	"${@:4}"
	sleep 0.2
	kill -TERM $watcher
	wait $watcher
	WATCHED=$(tail -1 "$LAB_DIR/watched")
}

# frames POD COUNT KEY=VALUE...: of pod1's flow, made up in POD
frames() {
	fast_py "$1" send eth0 "$2" src=10.44.14.15 dst=$FAR sport=$SPORT \
		dport=$PORT to="$(mac_of node "$1")" "${@:3}"
}

start() {
	masq attach -q "${UPLINK:-eth0}" --hook "$HOOK" --fast-path \
		--config "$LAB_DIR/config.yaml"
}

stop() {
	masq detach -q --all
}

# --- rows ---------------------------------------------------------------------

control() {
	begin
	watched far eth0 control frames pod1 20 text=control
	is "frames of the flow itself" "$(word count "$WATCHED")" 20
	is "its TTL" "$(word ttls "$WATCHED")" 63
	end
}

# The stack of the node would have found this pod2's packet out: by rp_filter,
# or by a rule on the interface.
forged() {
	begin
	watched far eth0 forged frames pod2 50 text=forged
	is "forged by another pod" "$(word count "$WATCHED")" 0
	on_fast_path
	end
}

forged_by_rp_filter() {
	later sysctl -qw net.ipv4.conf.pod2.rp_filter=0
	lab_in node sysctl -qw net.ipv4.conf.pod2.rp_filter=1
	forged
}

forged_by_rule() {
	later nft flush chain ip stack more
	lab_in node nft add rule ip stack more iifname pod2 \
		ip saddr != 10.44.14.16 drop
	forged
}

tagged_by_the_pod() {
	begin
	watched far eth0 tagged frames pod1 50 text=tagged vlan=7
	is "with a tag of the pod's" "$(word count "$WATCHED")" 0
	on_fast_path
	end
}

tagged_from_outside() {
	begin
	watched pod1 eth0 tagged fast_py far send eth0 50 src=$FAR \
		dst=$NODE_ADDR sport=$PORT dport=$SPORT text=tagged vlan=7 \
		ttl=64 to="$(mac_of node eth0)"
	is "with a tag of another network" "$(word count "$WATCHED")" 0
	on_fast_path
	end
}

not_meant_for_the_node() {
	begin
	watched far eth0 astray frames pod1 50 text=astray to=02:00:00:00:12:34
	is "to another's Ethernet address" "$(word count "$WATCHED")" 0
	end
}

# Bytes behind what IP calls the packet: the stack cuts them off.
padded() {
	begin
	watched far eth0 padded frames pod1 20 text=padded size=100 pad=900
	is count "$(word count "$WATCHED")" 20
	is "longest" "$(word longest "$WATCHED")" 100
	end
}

# unsound TEXT KEY=VALUE...: what the stack finds out by looking at the packet
unsound() {
	begin
	watched far eth0 "$1" frames pod1 20 text="$1" "${@:2}"
	is "$1" "$(word count "$WATCHED")" 0
	on_fast_path
	end
}

unsound_to_conntrack() {
	later nft flush chain ip stack more
	lab_in node nft add rule ip stack more ct state invalid drop
	unsound "$@"
}

count_of() { # NS,DEV,rx|tx
	local ns dev dir
	IFS=, read -r ns dev dir <<<"$1"
	lab_in "$ns" ip -j -s link show "$dev" | jq ".[0].stats64.$dir.packets"
}

# What interfaces count (a pod's received bytes, in every monitoring) goes on.
interfaces_count() {
	local place first last rest
	local -A from by
	begin
	for place in node,eth0,tx node,eth0,rx node,pod1,rx node,pod1,tx \
		pod1,eth0,tx pod1,eth0,rx; do
		from[$place]=$(count_of "$place")
	done
	read -r rest first <"$LAB_DIR/progress"
	sleep 1
	read -r rest last <"$LAB_DIR/progress"
	for place in "${!from[@]}"; do
		by[$place]=$(($(count_of "$place") - from[$place]))
	done
	end
	note "of $((last - first)): $(for place in "${!by[@]}"; do
		echo "$place ${by[$place]}"
	done | sort | paste -sd' ')"
	# what is redirected into a pair is counted there since 6.7
	! lab_kernel_before 6.7 || unset 'by[pod1,eth0,rx]'
	unset 'by[node,pod1,tx]' # it does not go through there
	for place in "${!by[@]}"; do
		[ "${by[$place]}" -ge $((last - first)) ] || fail "$place: too few"
	done
}

# Queries of other kinds have the key of a ping, and not its consent.
kinds_of_icmp() {
	local text
	later nft flush chain ip stack more
	lab_in node nft add rule ip stack more icmp type timestamp-request drop
	text=$(fast_py pod1 icmp $FAR 4 13 50)
	note "$text"
	is "timestamps" "$(word others "$text")" 0
	[ "$(word pings "$text")" -ge $(($(word of "$text") - 2)) ] ||
		fail "$text"
}

tc_policy() { # DEV DIRECTION [PRIORITY]
	begin
	tc_filter "$1" "$2" drop "${3:-}"
	end_cut
}

tcx_policy() { # DEV DIRECTION
	[ "$(lab_hook)" = tcx ] || skip "this kernel has no TCX"
	begin
	lab_in node "$PYTHON" "$LAB_LIB/foreign.py" load "$LAB_DIR/bpf/p" \
		"$LAB_DIR/bpf/m"
	later rm -f "$LAB_DIR/bpf/p" "$LAB_DIR/bpf/m" "$LAB_DIR/bpf/l"
	lab_in node "$PYTHON" "$LAB_LIB/foreign.py" tcx "$LAB_DIR/bpf/p" "$1" \
		"$2" "$LAB_DIR/bpf/l" last
	off_fast_path
	end
}

egress_hook() {
	! lab_kernel_before 5.16 || skip "netfilter has no hook at egress here"
}

netdev_policy() { # HOOK DEV
	[ "$1" != egress ] || egress_hook
	begin
	later nft delete table netdev early
	lab_in node nft add table netdev early
	lab_in node nft add chain netdev early c \
		"{ type filter hook $1 device $2 priority 0; }"
	# what lets all of them go on now need not do so with the next
	lab_in node nft add rule netdev early c ip protocol udp counter
	off_fast_path
	lab_in node nft add rule netdev early c ip protocol udp drop
	end_cut
}

# What a rule writes into the header is not written past it.
written_by_rule() { # STATEMENT...
	begin
	later nft delete table ip write
	lab_in node nft -f - <<-X
		table ip write {
			chain c {
				type filter hook forward priority 10
				$*
			}
		}
	X
	off_fast_path
	end
}

# A bandwidth limit that comes while the flow lives: every packet is its.
shaped() {
	begin
	later tc qdisc del dev pod1 root
	lab_in node tc qdisc add dev pod1 root tbf rate 8mbit burst 20000 \
		latency 100ms
	lab_wait 10 all_queued pod1 ||
		fail "the queue has seen $SEEN of $SENT packets"
	end
}

all_queued() { # DEV
	local before
	before=$(queued "$1")
	look || return 1
	SEEN=$(($(queued "$1") - before))
	[ $SEEN -ge $((SENT / 2)) ]
}

queued() { # DEV
	lab_in node tc -s -j qdisc show dev "$1" |
		jq '[.[] | select(.kind == "tbf")][0].packets'
}

# The route allows less than the uplink.
route_mtu() {
	later ip route del $FAR
	lab_in node ip route add $FAR via $FAR_GATEWAY mtu 1000
	begin
	watched far eth0 large frames pod1 50 text=large size=1400
	is "larger than the route's MTU" "$(word count "$WATCHED")" 0
	watched far eth0 small. frames pod1 20 text=small. size=1000
	is "as large as it" "$(word count "$WATCHED")" 20
	on_fast_path # some of its datagrams get the others' ICMP errors
}

# It allowed more before. Ways of sizes that are 256 apart look for their place
# from the same one on: that of then must not do for what goes through now.
route_mtu_falls() {
	begin
	frames pod1 5 text=first size=1400
	later ip route del $FAR
	lab_in node ip route add $FAR via $FAR_GATEWAY mtu 1000
	sleep 1.3
	watched far eth0 large small_then_large
	is "larger than the route's MTU" "$(word count "$WATCHED")" 0
}

small_then_large() {
	frames pod1 5 text=small size=888
	frames pod1 50 text=large size=1400
}

fast_out() {
	masq metrics | sed -n \
		's/^masqbpf_fast_path_packets_total{direction="egress"} //p'
}

gateway_known() {
	lab_in node ip neigh show $FAR_GATEWAY dev eth0 | grep -q REACHABLE
}

# A packet that has waited for its neighbour says nothing of the second in which
# it goes on.
rested() {
	local fast
	begin
	hush
	sleep 1.5 # the consent of before is over
	lab_in far nft -f - <<-X
		table arp slow {
			chain in {
				type filter hook input priority 0
				arp operation request drop
			}
		}
	X
	later nsenter --net="$(lab_netns far)" nft delete table arp slow
	lab_in node ip neigh del $FAR_GATEWAY dev eth0
	fast=$(fast_out)
	frames pod1 1 text=rests
	sleep 0.4
	lab_in far nft flush table arp slow
	lab_wait 5 gateway_known
	frames pod1 1 text=next
	is "packets on the fast path" "$(fast_out)" "$fast"
	frames pod1 5 text=later gap=0.01
	[ "$(fast_out)" -gt "$fast" ] || fail "the flow has none any more"
}

# What comes to the pod's own address, from who knows it, decides nothing.
outsider() {
	lab_in far ip route replace 10.44.0.0/16 via $NODE_ADDR
	begin
	fast_py far send eth0 40 src=$FAR dst=10.44.14.15 sport=$PORT \
		dport=$SPORT text=zzz size=100 to="$(mac_of node eth0)" gap=0.02
	watched far eth0 talk sleep 0.5
	is "Ethernet addresses that frames went to" "$(word macs "$WATCHED")" \
		"$(mac_of far eth0)"
	on_fast_path
	end
	lab_in far ip route del 10.44.0.0/16
}

# The pod's address goes to another pod: packets do, within a second or so.
address_moves() {
	begin
	end
	lab_in pod1 ip addr del 10.44.14.15/32 dev eth0
	lab_in node ip route del 10.44.14.15/32
	lab_in pod2 ip addr add 10.44.14.15/32 dev eth0
	lab_in node ip route add 10.44.14.15/32 dev pod2
	fast_py pod2 talk $FAR $PORT $SPORT 3 >"$LAB_DIR/talk" || true
	lab_in node ip route del 10.44.14.15/32
	lab_in pod2 ip addr del 10.44.14.15/32 dev eth0
	lab_in node ip route add 10.44.14.15/32 dev pod1
	lab_in pod1 ip addr add 10.44.14.15/32 dev eth0
	lab_in pod1 ip route replace 10.44.14.1 dev eth0
	lab_in pod1 ip route replace default via 10.44.14.1
	[ "$(word late "$(cat "$LAB_DIR/talk")")" -gt 10 ] ||
		fail "$(cat "$LAB_DIR/talk")"
}

# A mark that the stack gives them is there behind it.
marked() {
	egress_hook
	later nft delete table ip marks
	later nft delete table netdev seen
	lab_in node nft -f - <<-X
		table ip marks {
			chain m {
				type filter hook forward priority mangle
				udp dport $PORT meta mark set 7
			}
		}
		table netdev seen {
			counter marked { }
			counter plain { }
			chain e {
				type filter hook egress device eth0 priority 0
				udp dport $PORT meta mark 7 counter name marked
				udp dport $PORT meta mark != 7 counter name plain
			}
		}
	X
	begin
	end
	is "without the mark" "$(lab_in node nft -j list counter netdev seen \
		plain | jq '.nftables[1].counter.packets')" 0
}

# Rules that treat packets of one flow differently: it is off, and says why.
refused_by() { # WHY RULE...
	later nft delete chain ip stack extra
	lab_in node nft add chain ip stack extra \
		'{ type filter hook forward priority 10; }'
	lab_in node nft add rule ip stack extra "${@:2}"
	masq attach eth0 --hook "$HOOK" --fast-path --config "$LAB_DIR/config.yaml" \
		2>"$LAB_DIR/err"
	grep -q "fast path: off: netfilter: nft ip stack/extra: $1" \
		"$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
	begin slow
	off_fast_path
	end
}

# And those that do not, of which every node has many: it is on.
allowed_with() { # RULE...
	later nft delete chain ip stack extra
	lab_in node nft add chain ip stack extra \
		'{ type filter hook forward priority 10; }'
	lab_in node nft add rule ip stack extra "$@"
	masq attach eth0 --hook "$HOOK" --fast-path --config "$LAB_DIR/config.yaml" \
		2>"$LAB_DIR/err"
	if grep "fast path: off" "$LAB_DIR/err"; then
		fail "$*"
	fi
}

# verdict_is on|off WHY: what is said at attach, and for that reason alone. It is
# asked in a condition, where nothing ends by itself.
verdict_is() {
	attach_says || fail "$(cat "$LAB_DIR/err")"
	case $1 in
	on) ! grep -q "fast path: off" "$LAB_DIR/err" ;;
	off) grep -Eq "fast path: off: $2" "$LAB_DIR/err" ;;
	esac
}

# Each of these alone, a line each, in a table of the family: is it off for it,
# or (allowed) on? What this nft or kernel does not know is left out, and said.
each_rule() { # off|on FAMILY
	local rule wrong="" count=0
	later nft delete table "$2" each
	while read -r rule; do
		lab_in node nft -f - 2>/dev/null <<-X || {
			table $2 each
			delete table $2 each
			table $2 each {
				chain c {
					type filter hook forward priority 5
					$rule
				}
			}
		X
			note "not known here: $rule"
			continue
		}
		count=$((count + 1))
		verdict_is "$1" "netfilter: nft ($2 each/c: |set __)" ||
			wrong+="$rule"$'\n'
	done
	[ $count -gt 5 ] || fail "only $count rules"
	[ -z "$wrong" ] || fail "not $1:"$'\n'"$wrong"
}

each_varying() {
	each_rule off inet <<-'X'
		ip id 7 drop
		ip checksum 7 drop
		ip ecn ce drop
		ip6 ecn ce drop
		ip6 flowlabel 7 drop
		ip frag-off & 0x4000 == 0 drop
		ip ecn set not-ect
		ip frag-off set 0
		ip id set 0
		ip6 flowlabel set 7
		@nh,8,8 set 0x10
		@nh,0,32 0x45000064 drop
		@nh,32,32 1 drop
		@nh,224,32 1 drop
		@nh,192,128 1 drop
		@nh,8,8 0x10 drop
		@th,0,64 1 drop
		udp length > 100 drop
		ether saddr 02:00:00:00:00:01 drop
		tcp flags != 0x18-0x20 drop
		tcp flags & psh == psh drop
		meta nftrace set 1
		meta priority 1:2 drop
		meta ipsec exists drop
		ct mark set ct mark ^ 1
		ct bytes > 1000 drop
		ct packets > 10 drop
		ct expiration > 10s drop
		ct count over 10 drop
		meta hour > 5 drop
		meta cpu 1 drop
		meta random > 7 drop
		numgen inc mod 2 0 drop
		synproxy mss 1460
		ct state & new != established limit rate 1/second drop
		ip saddr { 10.44.14.15 limit rate over 9/second, 10.44.14.9 limit rate over 9/second } drop
		ct mark 1 ct mark set 2 drop
		ct mark set ct mark map { 0 : 1, 1 : 2 }
		@ll,144,16 1 drop
		meta l4proto udp @th,104,8 1 drop
		meta l4proto udp @th,104,8 & 7 != 0 drop
		@th,104,8 & 2 != 0 drop
		tcp option maxseg size 1400 drop
		limit rate 1/second ct state new accept
	X
}

each_harmless() {
	each_rule on inet <<-'X'
		ip saddr 10.44.14.15 ip daddr 172.30.12.110 accept
		ip6 saddr fd00::/8 ip6 daddr fd00::1 accept
		ip saddr . tcp dport { 10.44.14.15 . 443 } accept
		ip dscp cs1 drop
		ip6 dscp ef drop
		ip dscp set cs3
		ip6 dscp set cs3
		ip ttl < 5 drop
		ip ttl set 64
		ip6 hoplimit set 64
		ip protocol tcp accept
		ip frag-off & 0x1fff != 0 drop
		ether type ip ip saddr 10.44.14.15 accept
		meta priority set 1:2
		tcp flags syn / syn,rst tcp option maxseg size set rt mtu
		tcp flags & (fin | syn | rst) == syn drop
		tcp dport 443 accept
		ct state established,related accept
		ct state invalid drop
		ct state & new != 0 limit rate 1/second drop
		ct state invalid limit rate 1/second drop
		ct state untracked limit rate 1/second drop
		ct state != established limit rate 1/second drop
		ct mark 0 ct mark set 1
		tcp flags & (fin | syn | rst | psh | ack | urg) == 0 drop
		icmp type echo-request limit rate 1/second accept
		icmp sequence 7 drop
		meta l4proto sctp limit rate 1/second accept
		ct mark set ct mark | 1
		ct mark set meta mark
		meta mark set ct mark & 0xff
		fib saddr . iif oif missing drop
		meta l4proto { tcp, udp } accept
		ip protocol tcp @th,104,8 & 2 != 0 limit rate 1/second drop
		rt type 0 limit rate 1/second drop
		exthdr hbh exists drop
		frag more-fragments 1 drop
		ip option lsrr exists drop
	X
}

# Two chains whose names have much in common, and a table of a long name: which
# of them is met?
long_names() {
	local long
	long=$(printf 'x%.0s' {1..200})
	later nft delete table ip "$long"
	for order in "a b" "b a"; do
		for chain in $order; do
			if [ "$chain" = a ]; then
				lab_in node nft -f - <<-X
					table ip $long {
						chain ${long}a {
							limit rate 1/second
						}
					}
				X
			else
				lab_in node nft -f - <<-X
					table ip $long {
						chain ${long}b {
							type filter hook forward priority 5
							limit rate 1/second
						}
					}
				X
			fi
		done
		attach_says
		grep -q "fast path: off: netfilter: nft ip xx*.*limit" \
			"$LAB_DIR/err" || fail "$order: $(cat "$LAB_DIR/err")"
		lab_in node nft delete chain ip "$long" "${long}b"
		attach_says
		allowed_by
		lab_in node nft delete table ip "$long"
	done
}

# A set whose elements have got a limit by another chain's rule, which no packet
# of a flow meets: whoever asks for what is in it is asked for the limit.
set_of_another_chain() {
	later nft delete table ip np
	lab_in node nft -f - <<-X
		table ip np {
			set met {
				type ipv4_addr
				size 100
				flags dynamic
			}
			chain input {
				type filter hook input priority 0
				udp dport 7 update @met { ip saddr limit rate over 1/second } drop
			}
			chain c {
				type filter hook forward priority 5
			}
		}
	X
	lab_in node nft add rule ip np c ip saddr @met drop
	attach_says
	allowed_by
	fast_py far send eth0 2 src=$FAR sport=7 dst=$NODE_ADDR dport=7 text=x \
		to="$(mac_of node eth0)"
	lab_in node nft list set ip np met | grep "$FAR limit" ||
		fail "$(lab_in node nft list set ip np met)"
	refused_for "netfilter: nft ip np/c: a set of elements"
	lab_in node nft flush chain ip np c
	attach_says
	allowed_by
}

# "b" of the table "np/a", and "a/b" of the table "np", which is met.
slashes() {
	later nft delete table ip np
	later nft delete table ip np/a
	for order in "np np/a" "np/a np"; do
		for table in $order; do
			if [ "$table" = np/a ]; then
				lab_in node nft add table ip np/a
				lab_in node nft add chain ip np/a b
			else
				lab_in node nft -f - <<-X
					table ip np {
						chain a/b {
							type filter hook forward priority 5
							limit rate 1/second
						}
					}
				X
			fi
		done
		attach_says
		grep -q "fast path: off: netfilter: nft ip np/a/b: limit" \
			"$LAB_DIR/err" || fail "$order: $(cat "$LAB_DIR/err")"
		lab_in node nft delete table ip np
		attach_says
		allowed_by
		lab_in node nft delete table ip np/a
	done
}

# What comes in must have come by IPsec: a packet does not say so on the fast path.
ipsec_forward() {
	later ip xfrm policy flush
	lab_in node ip xfrm policy add src $FAR/32 dst 10.44.0.0/16 dir fwd \
		tmpl proto esp mode tunnel 2>/dev/null ||
		skip "a kernel without IPsec"
	attach_says
	grep -q "fast path: off: an IPsec policy" "$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/err")"
	lab_in node ip xfrm policy flush
	lab_in node ip xfrm policy add src $FAR/32 dst 10.44.0.0/16 dir out \
		tmpl proto esp mode tunnel
	attach_says
	allowed_by
}

# netfilter_program NS LINK HOOK FAMILY
netfilter_program() {
	lab_in "$1" "$PYTHON" "$LAB_LIB/foreign.py" netfilter \
		"$LAB_DIR/bpf/$2" "$3" "$4" 2>"$LAB_DIR/err" && return
	! grep -q "Invalid argument" "$LAB_DIR/err" ||
		skip "a kernel without BPF programs of netfilter's"
	fail "$(cat "$LAB_DIR/err")"
}

# A BPF program on netfilter's hooks: where a forwarded packet meets it, not the
# node's own or another namespace's.
netfilter_programs() {
	local hook family
	later rm -f "$LAB_DIR/bpf/nf" "$LAB_DIR/bpf/nf2"
	netfilter_program node nf input ipv4
	netfilter_program pod1 nf2 forward ipv4
	attach_says
	allowed_by
	for hook in forward postrouting; do
		for family in ipv4 ipv6; do
			lab_in node rm -f "$LAB_DIR/bpf/nf"
			netfilter_program node nf $hook $family
			attach_says
			grep -q "fast path: off: a BPF program on a netfilter hook" \
				"$LAB_DIR/err" ||
				fail "$hook, $family: $(cat "$LAB_DIR/err")"
		done
	done
	begin slow
	off_fast_path
	end
	lab_in node rm -f "$LAB_DIR/bpf/nf"
	lab_wait 5 attach_allows || fail "$(cat "$LAB_DIR/err")"
}

# a link's last reference goes when the kernel has the time to
attach_allows() {
	attach_says
	! grep -q "fast path: off" "$LAB_DIR/err"
}

# A helper looks into packets of its connections; by this switch (to 5.19)
# conntrack chooses which they are.
conntrack_helper() {
	lab_in node test -e /proc/sys/net/netfilter/nf_conntrack_helper ||
		skip "conntrack gives no helpers by itself"
	later sysctl -qw net.netfilter.nf_conntrack_helper=0
	lab_in node sysctl -qw net.netfilter.nf_conntrack_helper=1
	attach_says
	grep -q "fast path: off: nf_conntrack_helper" "$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/err")"
	lab_in node sysctl -qw net.netfilter.nf_conntrack_helper=0
	attach_says
	allowed_by
}

# What a pod gives a packet of IPv4 as its priority is not asked: the stack sets
# its own, or does not.
priority_is_kept() {
	local switch=net.ipv4.ip_forward_update_priority
	later sysctl -qw $switch=1
	lab_in node sysctl -qw $switch=0
	refused_for "ip_forward_update_priority is not 1"
	begin slow
	off_fast_path
	end
	lab_in node sysctl -qw $switch=1
	attach_says
	allowed_by
}

# Entries of conntrack's that a packet a second does not keep.
short_timeouts() {
	local name
	for name in udp_timeout udp_timeout_stream tcp_timeout_established; do
		short_timeout net.netfilter.nf_conntrack_$name
	done
}

short_timeout() { # NAME
	local was
	was=$(lab_in node sysctl -n "$1")
	later sysctl -qw "$1=$was"
	lab_in node sysctl -qw "$1=2"
	refused_for "conntrack's timeouts"
	lab_in node sysctl -qw "$1=3"
	attach_says
	allowed_by
	lab_in node sysctl -qw "$1=$was"
}

# Before conntrack has been there: with a zone each packet is a new one.
zone_before() { # RULE...
	later nft delete table ip zone
	lab_in node nft -f - <<-X
		table ip zone {
			chain c {
				type filter hook prerouting priority raw;
				ct zone set 1
				$* limit rate 9/second drop
			}
		}
	X
	refused_for "netfilter: nft ip zone/c: limit"
}

zone_before_iptables() { # COMMAND
	type -p "$1" >/dev/null || skip "no $1"
	later "$1" -t raw -F
	lab_in node "$1" -t raw -A PREROUTING -j CT --zone 1
	lab_in node "$1" -t raw -A PREROUTING -m conntrack --ctstate NEW \
		-m limit --limit 9/s -j DROP
	refused_for "netfilter: .*limit"
}

# What a route does with packets is done in the stack.
route_program() {
	lab_in node "$PYTHON" "$LAB_LIB/foreign.py" load-route "$LAB_DIR/bpf/r" ||
		skip "a kernel without programs of routes"
	later rm -f "$LAB_DIR/bpf/r"
	later ip route del $FAR
	lab_in node ip route add $FAR encap bpf xmit pinned "$LAB_DIR/bpf/r" \
		via $FAR_GATEWAY dev eth0 || skip "not known to this ip"
	attach_says
	grep -q "fast path: off: a route with a program" "$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/err")"
	begin slow
	off_fast_path
	end
	lab_in node ip route del $FAR
	attach_says
	allowed_by
}

refused_for() { # WHY
	attach_says
	grep -q "fast path: off: $1" "$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
}

# encap_anew: vx0 of node and far, which know where to send by a route alone
encap_anew() {
	local ns
	for ns in node far; do
		lab_in $ns ip link add vx0 type vxlan external dstport 4789 ||
			skip "a kernel without vxlan"
		later nsenter --net="$(lab_netns $ns)" ip link del vx0
		lab_in $ns ip link set vx0 up
	done
	lab_in node ip addr add 10.150.0.6/32 dev vx0
	lab_in far ip addr add 10.150.0.1/32 dev vx0
	lab_in node ip neigh replace 10.150.0.1 dev vx0 \
		lladdr "$(mac_of far vx0)"
	lab_in far ip neigh replace 10.150.0.6 dev vx0 \
		lladdr "$(mac_of node vx0)"
	lab_in far ip route add 10.150.0.6/32 encap ip id 7 dst $NODE_ADDR \
		src $FAR_GATEWAY dev vx0
}

# A route that says where a tunnel leads: what the fast path gives to the device
# does not say it.
route_tunnel() {
	local why="a route with a program, IOAM or a tunnel's end"
	local encap="encap ip id 7 dst $FAR_GATEWAY src $NODE_ADDR"
	local way="via 10.150.0.1 dev vx0 onlink"
	encap_anew
	# shellcheck disable=SC2086 # words
	{
		later ip route del $FAR
		lab_in node ip route add $FAR nexthop $encap $way \
			nexthop via $FAR_GATEWAY dev eth0
		refused_for "$why"
		lab_in node ip route del $FAR
		later ip nexthop del id 7
		lab_in node ip nexthop add id 7 $encap $way
		lab_in node ip route add $FAR nhid 7
		refused_for "$why"
		lab_in node ip route replace $FAR $encap $way
	}
	later masq detach -q vx0
	masq attach vx0 --hook "$HOOK" --fast-path 2>"$LAB_DIR/err"
	grep -q "fast path: off: $why" "$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/err")"
	begin slow
	sleep 2 # what there is of consent begins
	off_fast_path
	end
	lab_in node ip route del $FAR
	attach_says
	allowed_by
}

# Packets of one flow are not equal to such a rule, whatever it does with them.
rule_by_label() {
	local why="a routing rule by flow label, traffic class or tunnel"
	later ip rule del pref 90
	later ip -6 rule del pref 90
	lab_in node ip rule add pref 90 tun_id 7 prohibit
	refused_for "$why"
	lab_in node ip rule del pref 90
	lab_in node ip rule add pref 90 tos 0x10 prohibit
	attach_says
	allowed_by
	lab_in node ip -6 rule add pref 90 tos 0x10 prohibit
	refused_for "$why"
	lab_in node ip -6 rule del pref 90
	lab_in node ip rule del pref 90
	attach_says
	allowed_by
	! lab_kernel_before 6.14 || skip "no rules by flow label here"
	lab_in node "$PYTHON" "$LAB_LIB/flowlabel.py" 7 90
	refused_for "$why"
	lab_in node ip -6 rule del pref 90
	attach_says
	allowed_by
}

# A connection's mark that goes by way of the packet's, and is another each time.
marks_turn() { # COMMAND
	type -p "$1" >/dev/null || skip "no $1"
	later "$1" -t mangle -F
	lab_in node "$1" -t mangle -A FORWARD -j CONNMARK --restore-mark
	lab_in node "$1" -t mangle -A FORWARD -j MARK --xor-mark 1
	attach_says
	allowed_by
	lab_in node "$1" -t mangle -A FORWARD -j CONNMARK --save-mark
	refused_for "netfilter: .*: a mark that each packet turns over"
	lab_in node "$1" -t mangle -R FORWARD 2 -j MARK --or-mark 1
	attach_says
	allowed_by
}

marks_turn_nft() {
	later nft delete table inet each
	lab_in node nft -f - <<-X
		table inet each {
			chain c {
				type filter hook forward priority 5
				meta mark set ct mark
				meta mark set meta mark ^ 1
			}
		}
	X
	attach_says
	allowed_by
	lab_in node nft add rule inet each c ct mark set meta mark
	refused_for "netfilter: nft inet each/c: a mark that each packet turns"
	lab_in node nft flush chain inet each c
	lab_in node nft add rule inet each c ct mark set meta mark
	lab_in node nft add rule inet each c meta mark set ct mark '|' 1
	attach_says
	allowed_by
}

# Matches and targets of xtables, one by one: `on` or `off`, and the words.
each_xt() { # COMMAND
	local want words wrong="" count=0
	type -p "$1" >/dev/null || skip "no $1"
	later "$1" -t raw -F
	later "$1" -t mangle -F
	while read -r want words; do
		lab_in node "$1" -t mangle -F
		lab_in node "$1" -t raw -F
		# shellcheck disable=SC2086 # words
		lab_in node "$1" -t $words 2>/dev/null || {
			note "not known here: $words"
			continue
		}
		count=$((count + 1))
		verdict_is "$want" "netfilter: " ||
			wrong+="not $want: $words"$'\n'
	done <<-'X'
		off mangle -A FORWARD -m mac --mac-source 02:00:00:00:00:01 -j DROP
		off mangle -A FORWARD -m tos --tos 0x02/0x03 -j DROP
		on mangle -A FORWARD -m tos --tos 0x10/0xfc -j DROP
		off mangle -A FORWARD -m policy --dir in --pol none -j DROP
		off mangle -A FORWARD -m ecn --ecn-ip-ect 3 -j DROP
		off mangle -A FORWARD -m time --timestart 10:00 -j DROP
		off mangle -A FORWARD -m u32 --u32 4&0xffff=7 -j DROP
		off mangle -A FORWARD -m string --algo bm --string x -j DROP
		off mangle -A FORWARD -m statistic --mode nth --every 2 --packet 0 -j DROP
		off mangle -A FORWARD -m cluster --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 1 -j DROP
		off mangle -A FORWARD -j TOS --set-tos 0x10
		on mangle -A FORWARD -j TOS --set-tos 0x10/0xfc
		on mangle -A FORWARD -j DSCP --set-dscp 8
		off mangle -A FORWARD -j CONNMARK --set-xmark 1/0
		on mangle -A FORWARD -j CONNMARK --set-xmark 1/1
		on mangle -A FORWARD -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff
		off mangle -A FORWARD -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xf0
		on mangle -A FORWARD -j CONNMARK --restore-mark
		on mangle -A FORWARD -j MARK --set-xmark 1/1
		on mangle -A FORWARD -j CLASSIFY --set-class 1:2
		on mangle -A FORWARD -m connmark --mark 1 -j DROP
		off mangle -A FORWARD -j TEE --gateway 10.44.14.16
		off mangle -A FORWARD -j QUEUE
		off mangle -A FORWARD -j NFQUEUE --queue-num 1
		off raw -A PREROUTING -p udp --dport 69 -j CT --helper tftp
		on raw -A PREROUTING -p udp --dport 69 -j CT --notrack
		off raw -A PREROUTING -p tcp --syn --dport 21 -j CT --helper ftp
		off mangle -A FORWARD -m connmark --mark 1 -j CONNMARK --set-mark 2
		on mangle -A FORWARD -m connmark --mark 0 -j CONNMARK --set-mark 2
		on mangle -A FORWARD -m connmark --mark 1 -j CONNMARK --restore-mark
		off mangle -A FORWARD -m limit --limit 1/s -m conntrack --ctstate NEW -j DROP
		on mangle -A FORWARD -m conntrack --ctstate NEW -m limit --limit 1/s -j DROP
		on mangle -A PREROUTING -m conntrack --ctstate INVALID -m limit --limit 1/s -j DROP
		on mangle -A FORWARD -m conntrack ! --ctstate ESTABLISHED,RELATED -m limit --limit 1/s -j DROP
		off raw -A PREROUTING -m conntrack --ctstate INVALID -m limit --limit 1/s -j DROP
		on raw -A PREROUTING -p tcp --tcp-flags ALL NONE -j DROP
		on mangle -A FORWARD -p icmp -m limit --limit 1/s -j ACCEPT
	X
	[ $count -gt 5 ] || fail "only $count rules"
	[ -z "$wrong" ] || fail "$wrong"
}

# ipset create NAME TYPE, ipset destroy NAME: on the node
ipset() {
	local err=0
	lab_in node "$PYTHON" "$LAB_LIB/ipset.py" "$@" 2>"$LAB_DIR/err" ||
		err=$?
	[ $err -ne 3 ] || skip "a kernel without sets of type $3"
	[ $err -eq 0 ] || fail "$(cat "$LAB_DIR/err")"
}

# Of which kind a rule's set is it does not say: any of Ethernet addresses counts,
# and no other.
ipset_kinds() { # COMMAND
	type -p "$1" >/dev/null || skip "no $1"
	later "$PYTHON" "$LAB_LIB/ipset.py" destroy ips
	later "$PYTHON" "$LAB_LIB/ipset.py" destroy macs
	later "$1" -t mangle -F
	# what stands behind the first of all rules is looked at, too: ours go
	later nft -f "$LAB_DIR/stack"
	lab_in node nft list table ip stack >"$LAB_DIR/stack"
	lab_in node nft delete table ip stack
	ipset create ips hash:ip
	lab_in node "$1" -t mangle -A FORWARD -m set --match-set ips src \
		-j DROP || skip "no matches by set"
	attach_says
	allowed_by
	ipset create macs bitmap:ip,mac
	refused_for "netfilter: .*: set$"
	ipset destroy macs
	attach_says
	allowed_by
	lab_in node "$1" -t mangle -A FORWARD -m limit --limit 1/s -j DROP
	refused_for "netfilter: .*: limit$"
}

# behind_accept STATES HOOK PRIORITY allowed_by|refused_limit
behind_accept() {
	later nft delete table ip np
	lab_in node nft -f - <<-X
		table ip np {
			chain pod {
				ct state $1 accept
				jump logged
				limit rate 1/second log prefix "x"
			}
			chain logged { limit rate 1/second drop; }
			chain c {
				type filter hook $2 priority $3;
				ip saddr 10.44.0.0/16 jump pod
			}
		}
	X
	attach_says
	"$4"
}

# A device's own hook is before conntrack, also where the table is inet's: what
# is established passes such an accept.
behind_ingress() {
	later nft delete table inet np
	later ip link del br9
	lab_in node ip link add br9 type bridge
	lab_in node nft -f - <<-X || skip "no hook of a device's in inet"
		table inet np {
			chain c {
				type filter hook ingress device br9 priority 0;
				ct state established accept
				limit rate 1/second accept
				drop
			}
		}
	X
	refused_for "netfilter: nft inet np/c: limit"
}

# Each of these alone before a limit in a base chain; behind // what the chain
# `sub` has. Only what keeps all that is established from the limit is on.
each_accept() {
	local want rule wrong="" count=0
	later nft delete table inet each
	while read -r want rule; do
		lab_in node nft -f - <<-X
			table inet each
			delete table inet each
			table inet each {
				chain deep { ct state established accept; }
				chain back { tcp dport 443 drop; }
				chain sub {
					${rule#*//}
				}
				chain c {
					type filter hook forward priority 5
					${rule%//*}
					limit rate 1/second accept
				}
			}
		X
		count=$((count + 1))
		verdict_is "$want" "netfilter: nft inet each/.*limit" ||
			wrong+="not $want: $rule"$'\n'
	done <<-'X'
		on ct state { established, related } accept // counter
		on ct state { established } counter accept // counter
		on ct state != { new, invalid } accept // counter
		off ct state { related, new } accept // counter
		off ct state != { established, related } accept // counter
		off ct state { established } ip saddr 10.44.0.0/16 accept // counter
		off ct state & established == { established } accept // counter
		off iifname . ct state { "pod1" . established } accept // counter
		on ct state vmap { established : accept, related : accept, invalid : drop } // counter
		on ct state vmap { established : accept, new : jump sub } // limit rate 1/second drop
		off ct state vmap { established : jump sub, new : accept } // limit rate 1/second drop
		off ct state vmap { related : accept, invalid : drop } // counter
		off ct state vmap { established : continue, new : accept } // counter
		off ip saddr 10.44.0.0/16 ct state vmap { established : accept } // counter
		on jump sub // ct state established,related accept
		on jump sub // ct state vmap { established : accept, invalid : drop }
		on jump sub // counter; jump deep
		on jump sub // jump back; ct state { established } accept
		off jump sub // jump back
		off jump sub // ip saddr 10.44.0.0/16 return; ct state established accept
		off jump sub // ct state established return; accept
		off jump sub // tcp dport 443 goto back; ct state established accept
		off jump sub // ip protocol vmap { tcp : return }; ct state established accept
		off jump sub // ip saddr 10.44.0.0/16 jump deep
		off ip saddr 10.44.0.0/16 jump sub // ct state established accept
		off ct state new jump sub // ct state established accept
		on ct state established jump sub // accept
		off ct state related jump sub // accept
	X
	[ $count -eq 28 ] || fail "$count rules"
	[ -z "$wrong" ] || fail "$wrong"
}

# Each of these alone before a base chain's end; behind // what the map `to` has.
# It leads to where it says, not to the limit of another chain.
each_map() {
	local want rule wrong="" count=0
	later nft delete table inet each
	while read -r want rule; do
		lab_in node nft -f - <<-X
			table inet each
			delete table inet each
			table inet each {
				chain quiet { counter; }
				chain loud { limit rate 1/second accept; }
				chain deep { meta l4proto vmap { udp : goto loud }; }
				map to {
					type ipv4_addr : verdict
					flags interval
					${rule#*//}
				}
				chain c {
					type filter hook forward priority 5
					${rule%//*}
				}
			}
		X
		count=$((count + 1))
		verdict_is "$want" "netfilter: nft inet each/loud: limit" ||
			wrong+="not $want: $rule"$'\n'
	done <<-'X'
		on ip saddr vmap @to // elements = { 10.0.0.0/8 : jump quiet, 1.0.0.0/8 : drop }
		off ip saddr vmap @to // elements = { 10.0.0.0/8 : jump quiet, 1.0.0.0/8 : jump loud }
		off ip saddr vmap @to // elements = { 10.0.0.0/8 : goto deep }
		on ip saddr vmap @to //
		on ip saddr vmap { 10.44.14.15 : jump quiet } //
		off ip saddr vmap { 10.44.14.15 : jump quiet, 10.44.14.16 : jump deep } //
		on ct state new ip saddr vmap @to // elements = { 10.0.0.0/8 : jump loud }
		on ct state established accept; ip saddr vmap @to // elements = { 10.0.0.0/8 : jump loud }
		off ip saddr vmap { 10.44.14.15 : jump quiet }; ip daddr vmap @to // elements = { 10.0.0.0/8 : jump loud }
	X
	[ $count -eq 9 ] || fail "$count rules"
	[ -z "$wrong" ] || fail "$wrong"
}

# As ufw does it: an accept in one chain, a limit that logs in a later one.
ufw_rules() { # COMMAND
	local i=$1
	type -p "$i" >/dev/null || skip "no $i"
	later "$i" -X
	later "$i" -F
	lab_in node "$i" -N ufw-before-forward
	lab_in node "$i" -N ufw-user-forward
	lab_in node "$i" -N ufw-after-logging-forward
	lab_in node "$i" -A FORWARD -j ufw-before-forward
	lab_in node "$i" -A FORWARD -j ufw-after-logging-forward
	lab_in node "$i" -A ufw-before-forward -m conntrack \
		--ctstate RELATED,ESTABLISHED -j ACCEPT
	lab_in node "$i" -A ufw-before-forward -j ufw-user-forward
	lab_in node "$i" -A ufw-after-logging-forward -m limit --limit 3/min \
		--limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
	attach_says
	allowed_by
	lab_in node "$i" -I ufw-before-forward -p tcp --dport 443 -j RETURN
	refused_for "netfilter: .*limit"
	lab_in node "$i" -R ufw-before-forward 1 -p tcp --dport 443 \
		-j ufw-user-forward
	attach_says
	allowed_by
	lab_in node "$i" -R ufw-before-forward 1 -p tcp --dport 443 \
		-g ufw-user-forward
	refused_for "netfilter: .*limit"
	lab_in node "$i" -D ufw-before-forward 1
	lab_in node "$i" -R FORWARD 1 -i pod1 -j ufw-before-forward
	refused_for "netfilter: .*limit"
	# deeper still
	lab_in node "$i" -R FORWARD 1 -j ufw-user-forward
	lab_in node "$i" -F ufw-before-forward
	lab_in node "$i" -A ufw-before-forward -m comment --comment x \
		-m conntrack --ctstate ESTABLISHED -j ACCEPT
	lab_in node "$i" -A ufw-user-forward -j ufw-before-forward
	attach_says
	allowed_by
	lab_in node "$i" -I ufw-user-forward -m mark --mark 1 -j RETURN
	refused_for "netfilter: .*limit"
}

# The first rule of ufw for IPv6, and its kind: of headers that no packet on the
# fast path has.
headers_of_ipv6() { # COMMAND
	local words count=0
	type -p "$1" >/dev/null || skip "no $1"
	later "$1" -t mangle -F
	while read -r words; do
		lab_in node "$1" -t mangle -F
		# shellcheck disable=SC2086 # words
		lab_in node "$1" -t mangle -A FORWARD $words -m limit \
			--limit 1/s -j DROP 2>/dev/null || {
			note "not known here: $words"
			continue
		}
		count=$((count + 1))
		attach_says
		allowed_by
	done <<-'X'
		-m rt --rt-type 0
		-m frag --fraglast
		-m hbh --hbh-len 8
		-m dst --dst-len 8
	X
	[ $count -gt 0 ] || skip "no such matches"
	lab_in node "$1" -t mangle -A FORWARD -m limit --limit 1/s -j DROP
	refused_for "netfilter: .*limit"
}

attach_says() {
	masq attach eth0 --hook "$HOOK" --fast-path --config "$LAB_DIR/config.yaml" \
		2>"$LAB_DIR/err"
}

allowed_by() {
	if grep "fast path: off" "$LAB_DIR/err"; then
		fail "off"
	fi
}

refused_limit() {
	grep -q "fast path: off: netfilter: nft ip np/.*limit" \
		"$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
}

# That flow itself, of those conntrack is kept off or calls INVALID, meets what
# stands behind: it takes the stack, and others need not.
untracked_accept() {
	later nft delete table ip off
	lab_in node nft -f - <<-X
		table ip off {
			chain c {
				type filter hook prerouting priority raw;
				udp dport 9999 notrack
			}
		}
	X
	behind_accept established forward 10 allowed_by
	begin # the first ones are new, and some are dropped there
	hush
	lab_in node nft add rule ip off c udp dport $PORT notrack
	lab_in node nft add rule ip off c udp sport $PORT notrack
	begin slow
	off_fast_path
	hush
}

# not_established RULE...: on, but not for what is not established
not_established() {
	later nft delete table ip off
	lab_in node nft -f - <<-X
		table ip off {
			chain c {
				type filter hook prerouting priority raw;
				udp dport $PORT notrack
				udp sport $PORT notrack
			}
			chain f {
				type filter hook forward priority 10;
				$* limit rate over 1/second counter
			}
		}
	X
	attach_says
	allowed_by
	begin slow
	off_fast_path
	end
}

# Who gets a helper gets it with the first packet, and it reads all.
helpers() { # HOOK TYPE PRIORITY
	later nft delete table ip help
	lab_in node nft -f - 2>"$LAB_DIR/err" <<-X || skip "$(cat "$LAB_DIR/err")"
		table ip help {
			ct helper t { type "tftp" protocol udp; }
			chain c {
				type $2 hook $1 priority $3;
				ct state new udp dport 69 ct helper set "t"
			}
		}
	X
	attach_says
	grep -q "fast path: off: netfilter: nft ip help/c: a helper" \
		"$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
}

iptables_rules() { # COMMAND
	local i=$1
	type -p "$i" >/dev/null || skip "no $i"
	later "$i" -X
	later "$i" -F
	later "$i" -t mangle -F
	later "$i" -t nat -F
	lab_in node "$i" -t mangle -A FORWARD -p tcp --syn -j LOG
	lab_in node "$i" -A FORWARD -m conntrack --ctstate NEW -m limit \
		--limit 1/s -j ACCEPT
	lab_in node "$i" -A INPUT -m limit --limit 1/s -j LOG
	lab_in node "$i" -t nat -A PREROUTING -m statistic --mode random \
		--probability 0.5 -j RETURN
	lab_in node "$i" -A FORWARD -p tcp --tcp-flags SYN,RST SYN \
		-j TCPMSS --clamp-mss-to-pmtu
	masq attach eth0 --hook "$HOOK" --fast-path 2>"$LAB_DIR/err"
	if grep "fast path: off" "$LAB_DIR/err"; then
		fail "rules that no packet of an established flow meets"
	fi
	lab_in node "$i" -N deep
	lab_in node "$i" -A FORWARD -i pod1 -j deep
	lab_in node "$i" -A deep -m hashlimit --hashlimit-upto 5/s \
		--hashlimit-name x -j ACCEPT
	masq attach eth0 --hook "$HOOK" --fast-path 2>"$LAB_DIR/err"
	grep -q "fast path: off: netfilter: .*hashlimit" "$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/err")"
	lab_in node "$i" -I deep -m comment --comment first -m conntrack \
		--ctstate RELATED,ESTABLISHED -j ACCEPT
	masq attach eth0 --hook "$HOOK" --fast-path 2>"$LAB_DIR/err"
	allowed_by
	lab_in node "$i" -I deep -p tcp -m conntrack --ctstate ESTABLISHED \
		-j RETURN
	lab_in node "$i" -D deep 2
	masq attach eth0 --hook "$HOOK" --fast-path 2>"$LAB_DIR/err"
	grep -q "fast path: off: netfilter: .*hashlimit" "$LAB_DIR/err" ||
		fail "an accept of TCP alone: $(cat "$LAB_DIR/err")"
}

# What is there when it is attached: off for that interface, with the reason.
off_for() { # WHY COMMAND...
	lab_in node "${@:2}"
	masq attach eth0 --hook "$HOOK" --fast-path 2>"$LAB_DIR/err"
	grep -q "fast path: $1" "$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
}

queue_of_the_pod() {
	later tc qdisc del dev pod1 root
	off_for "pod1: off: a queue: tbf" tc qdisc add dev pod1 root tbf \
		rate 8mbit burst 20000 latency 100ms
	begin slow
	off_fast_path
	end
}

queue_of_the_uplink() {
	later tc qdisc del dev eth0 root
	off_for "eth0: off: a queue: tbf" tc qdisc replace dev eth0 root tbf \
		rate 800mbit burst 200000 latency 100ms
}

filter_at_attach() { # DEV DIRECTION
	tc_filter "$1" "$2" pass
	off_for "$1: off: a tc filter on its $2" true
}

# The route goes by a macvlan on the uplink, whose queue and filters packets meet
# before they leave by it.
macvlan_above() {
	local tbf="tbf rate 8mbit burst 20000 latency 100ms"
	lab_in node ip link add link eth0 name mv0 type macvlan mode bridge ||
		skip "a kernel without macvlan"
	later ip link del mv0
	lab_in node ip link set mv0 up
	lab_in node ip addr add 10.142.0.7/20 dev mv0
	lab_in node ip route add $FAR via $FAR_GATEWAY dev mv0
	off_for "2 pod interfaces" true
	begin
	# shellcheck disable=SC2086 # words
	off_for "eth0: off: above it, mv0: a queue: tbf" \
		tc qdisc add dev mv0 root $tbf
	lab_wait 10 all_queued mv0 ||
		fail "the queue has seen $SEEN of $SENT packets"
	end
	lab_in node tc qdisc del dev mv0 root
	tc_filter mv0 egress pass
	off_for "eth0: off: above it, mv0: a tc filter on its egress" true
	lab_in node ip link del mv0
	off_for "2 pod interfaces" true
}

# Its uplink is in another namespace, and has there the index of ours.
macvlan_afar() {
	local index
	lab_ns other
	index=$(lab_in node ip -j link show eth0 | jq '.[0].ifindex')
	lab_in other ip link add up0 index "$index" \
		type veth peer name up1 index 999
	lab_in other ip link add link up0 name mv1 netns "$LAB_ID-node" \
		type macvlan || skip "a kernel without macvlan"
	later ip link del mv1
	lab_in node ip link set mv1 up
	lab_in node tc qdisc add dev mv1 root tbf rate 8mbit burst 20000 \
		latency 100ms
	off_for "2 pod interfaces" true
	! grep -q "fast path: eth0: off" "$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/err")"
}

# A bridge's port above the uplink; and the uplink becomes a port itself.
bridge_above() {
	lab_in node ip link add upl type bridge || skip "a kernel without bridges"
	later ip link del upl
	lab_in node ip link set upl up
	if lab_in node ip link add link eth0 name mv2 type macvlan mode passthru; then
		later ip link del mv2
		lab_in node ip link set mv2 up master upl
		off_for "2 pod interfaces" true
		off_for "eth0: off: above it, upl: a queue: tbf" tc qdisc add \
			dev upl root tbf rate 8mbit burst 20000 latency 100ms
		lab_in node tc qdisc del dev upl root
		lab_in node ip link del mv2
	fi
	lab_link node up2 far up2
	later ip link del up2
	UPLINK=up2 start
	later ip link set up2 nomaster
	later masq detach -q up2
	off_for "up2: off: a port of upl" ip link set up2 master upl
}

# Hooks on the parent, packets by its VLAN's device: they have their tag.
vlan_uplink() { # eth0|eth0.100
	lab_in far ip link add link eth0 name eth0.100 type vlan id 100 ||
		skip "a kernel without VLANs"
	later ip link del eth0.100
	later ip route del $FAR
	lab_in far ip addr add 10.143.0.1/24 dev eth0.100
	lab_in far ip link set eth0.100 up
	lab_in node ip link add link eth0 name eth0.100 type vlan id 100
	lab_in node ip addr add 10.143.0.6/24 dev eth0.100
	lab_in node ip link set eth0.100 up
	lab_in node ip route add $FAR via 10.143.0.1
	stop
	UPLINK=$1 start
	begin slow
	[ "$1" = eth0 ] || on_fast_path
	watched far eth0 talk sleep 0.5
	is "tags of what comes" "$(word tags "$WATCHED")" 100
	end
}

# An uplink above a card of its own, which far is behind.
uplink_above() { # bridge|bond ARGS...
	lab_link node up2 far up2
	later ip link del up2
	later ip link del upl
	later ip route del $FAR
	lab_in node ip link add upl type "$@" || skip "a kernel without this"
	lab_in node ip link set up2 down
	lab_in node ip link set up2 master upl
	lab_in node ip link set up2 up
	lab_in node ip link set upl up
	lab_in node ip addr add 10.143.0.6/24 dev upl
	lab_in far ip addr add 10.143.0.1/24 dev up2
	lab_in node ip route add $FAR via 10.143.0.1
	stop
	UPLINK=upl start
	begin slow
	on_fast_path
	end
	stop
}

# netkit_pod: made with what it is by itself, as an old iproute2 knows no more
netkit_pod() {
	local peer
	lab_ns pod8
	lab_in node ip link add name nk8 type netkit ||
		skip "a kernel without netkit"
	later ip link del nk8
	peer=$(lab_in node ip -o link | sed -n 's/^[0-9]*: \([^:@]*\)@nk8:.*/\1/p')
	lab_in node ip link set "$peer" netns "$LAB_ID-pod8" name eth0
	lab_in pod8 ip link set eth0 up
	lab_in node ip link set nk8 up
	lab_in node ip addr add 10.44.14.1/32 dev nk8
	lab_in node ip route add 10.44.14.18/32 dev nk8
	lab_in pod8 ip addr add 10.44.14.18/32 dev eth0
	lab_in pod8 ip route add default dev eth0
}

# By attach, which sees a program of netkit's own when it looks.
netkit() {
	netkit_pod
	off_for "3 pod interfaces" true
	talk pod8
	on_fast_path
	lab_in node "$PYTHON" "$LAB_LIB/foreign.py" load "$LAB_DIR/bpf/p" \
		"$LAB_DIR/bpf/m"
	later rm -f "$LAB_DIR/bpf/p" "$LAB_DIR/bpf/m" "$LAB_DIR/bpf/l"
	lab_in node "$PYTHON" "$LAB_LIB/foreign.py" tcx "$LAB_DIR/bpf/p" nk8 \
		primary "$LAB_DIR/bpf/l" last
	off_for "nk8: off: a program of netkit's own" true
	off_fast_path
	end
}

# What lets nothing pass by itself is not gone round, whichever end it is.
netkit_policy() {
	local ends
	lab_ns pod10
	for ends in "drop pass" "pass drop"; do
		# shellcheck disable=SC2086 # two words
		lab_in node "$PYTHON" "$LAB_LIB/netkit.py" nk9 $ends \
			2>"$LAB_DIR/err" || {
			! grep -q "not supported" "$LAB_DIR/err" ||
				skip "a kernel without netkit"
			fail "$(cat "$LAB_DIR/err")"
		}
		later ip link del nk9
		lab_in node ip link set "$(lab_in node ip -o link |
			sed -n 's/^[0-9]*: \([^:@]*\)@nk9:.*/\1/p')" \
			netns "$LAB_ID-pod10" name eth0
		lab_in pod10 ip link set eth0 up
		lab_in node ip link set nk9 up
		off_for "nk9: off: it drops what no program" true
		lab_in node ip link del nk9
	done
}

vlan_gone() {
	lab_in far ip link del eth0.100 || true
	stop
	start
}

# A pair with both ends on the node: what is sent into it does not arrive.
pair_on_the_node() {
	local before
	lab_in node ip link add pairA type veth peer name pairB
	later ip link del pairA
	lab_in node ip link set pairA up
	lab_in node ip link set pairB up
	lab_ns pod9
	lab_in node ip link add pb type bridge
	later ip link del pb
	lab_in node ip link set pb up
	lab_link pod9 eth0 node pod9
	lab_in node ip link set pod9 master pb
	lab_in node ip link set pairB master pb
	lab_in node ip addr add 10.44.20.1/24 dev pairA
	lab_in pod9 ip addr add 10.44.20.15/24 dev eth0
	lab_in pod9 ip route add default via 10.44.20.1
	# not the bridge, which would answer for it, too
	lab_in pod9 ip neigh replace 10.44.20.1 dev eth0 \
		lladdr "$(mac_of node pairA)"
	off_for "pairA: off: both ends" true
	before=$(fast_out)
	fast_py pod9 talk $FAR $PORT 6000 5 >"$LAB_DIR/talk"
	TALK=
	note "$(cat "$LAB_DIR/talk")"
	[ "$(word answered "$(cat "$LAB_DIR/talk")")" -ge \
		$(($(word of "$(cat "$LAB_DIR/talk")") - 3)) ] ||
		fail "$(cat "$LAB_DIR/talk")"
	# nobody sees what hangs on the pair, behind which the stack is
	is "packets on the fast path" "$(fast_out)" "$before"
}

# A pod behind a bridge; another one on it forges. Then what hangs on the bridge,
# and on the VLAN's device on it.
bridged() {
	lab_in node ip link add br0 type bridge
	later ip link del br0
	later nft delete table bridge guard
	lab_in node ip link set br0 up
	lab_in node ip addr add 10.44.30.1/24 dev br0
	for i in 5 6; do
		lab_ns pod$i
		lab_link pod$i eth0 node pod$i
		lab_in node ip link set pod$i master br0
		lab_in pod$i ip addr add 10.44.30.1$i/24 dev eth0
		lab_in pod$i ip route add default via 10.44.30.1
	done
	off_for "[0-9] pod interfaces" true
	talk pod5
	on_fast_path
	lab_in node nft -f - <<-X
		table bridge guard {
			chain in {
				type filter hook prerouting priority 0
				iifname pod6 ip saddr != 10.44.30.16 drop
			}
		}
	X
	watched far eth0 forged fast_py pod6 send eth0 50 src=10.44.30.15 \
		dst=$FAR sport=$SPORT dport=$PORT to="$(mac_of node br0)" \
		text=forged
	is "forged on the bridge" "$(word count "$WATCHED")" 0
	if lab_in node ip link add link br0 name br0.7 type vlan id 7; then
		lab_in node ip link set br0.7 up
		off_for "pod5: off: behind br0.7: a queue: tbf" tc qdisc add \
			dev br0.7 root tbf rate 8mbit burst 20000 latency 100ms
		lab_in node ip link del br0.7
	fi
	off_for "pod5: off: behind br0: a queue: tbf" tc qdisc add \
		dev br0 root tbf rate 8mbit burst 20000 latency 100ms
	off_fast_path
	off_for "[0-9] pod interfaces" tc qdisc del dev br0 root
	on_fast_path
	tc_filter br0 egress pass
	off_for "pod5: off: behind br0: a tc filter on its egress" true
	off_fast_path
	end
}

# --- by filters of clsact -------------------------------------------------------

filters() { # DEV: ours there, in both directions
	{
		lab_in node tc filter show dev "$1" ingress
		lab_in node tc filter show dev "$1" egress
	} | grep -c "masq_pod_\(in\|out\)" || true
}

# hooked_by tc|tcx: by that alone, on the pods
hooked_by() {
	local pod links=0
	[ "$1" = tc ] || links=4
	for pod in pod1 pod2; do
		if [ "$1" = tc ]; then
			is "filters of $pod" "$(filters $pod)" 2
		else
			is "filters of $pod" "$(filters $pod)" 0
			is "qdiscs of $pod" "$(lab_in node tc qdisc show \
				dev $pod | grep -c clsact || true)" 0
		fi
	done
	is "pods' links" "$(find "$MASQBPF_PIN_DIR" -name 'tcx_pod_*' | wc -l)" \
		$links
}

change_hook() {
	begin
	masq attach -q eth0 --hook tc --fast-path
	hooked_by tc
	on_fast_path
	end
}

change_back() {
	masq attach -q eth0 --hook tcx --fast-path
	hooked_by tcx
	masq attach -q eth0 --hook tc --fast-path
	hooked_by tc
}

# A list of cls_bpf's has more than one filter then.
same_priority() {
	local prio
	begin
	prio=$(lab_in node tc filter show dev pod1 ingress |
		sed -n 's/.* pref \([0-9]*\) bpf.*masq_pod_in.*/\1/p')
	later tc filter del dev pod1 ingress prio "$prio" handle 7 bpf
	lab_in node tc filter add dev pod1 ingress prio "$prio" handle 7 \
		bpf da bytecode "1,6 0 0 4294967295"
	off_fast_path
	lab_in node tc filter del dev pod1 ingress prio "$prio" handle 7 bpf
	on_fast_path
	end
}

# Nothing leads there, but something may: what user space has seen counts.
other_chain() {
	begin
	later tc filter del dev pod1 ingress chain 5 prio 9
	off_for "pod1: off: a tc filter on its ingress" tc filter add dev pod1 \
		ingress chain 5 prio 9 bpf da bytecode "1,6 0 0 2"
	off_fast_path
	end
}

# not_clsact WHY QDISC...: on a pod whose own clsact somebody has taken away
not_clsact() {
	later tc qdisc del dev pod2 ingress
	later tc qdisc del dev pod2 clsact
	masq attach -q eth0 --fast-path # a row before may have ended so
	lab_in node tc qdisc del dev pod2 clsact
	off_for "pod2: off: $1" tc qdisc add dev pod2 "${@:2}"
	is "filters of ours" "$(filters pod2)" 0
	lab_in node tc qdisc del dev pod2 "${@: -1}"
	off_for "2 pod interfaces" true
	is "filters of ours" "$(filters pod2)" 2
}

pinned_id() { # PROGRAM
	lab_in node bpftool -j prog show pinned "$MASQBPF_PIN_DIR/$1" | jq .id
}

other_programs() {
	local before
	begin
	before=$(pinned_id masq_pod_in)
	printf 'nonMasqueradeCIDRs: [10.0.0.0/8]\nflowCounters: false\n' \
		>"$LAB_DIR/config2.yaml"
	masq attach -q eth0 --config "$LAB_DIR/config2.yaml"
	[ "$(pinned_id masq_pod_in)" != "$before" ] || fail "the same programs"
	is "the program on ingress" "$(lab_in node tc -j filter show dev pod1 \
		ingress | jq '.[1].options.prog.id')" "$(pinned_id masq_pod_in)"
	is "the program on egress" "$(lab_in node tc -j filter show dev pod1 \
		egress | jq '.[1].options.prog.id')" "$(pinned_id masq_pod_out)"
	on_fast_path
	end
}

notes() {
	(cd "$MASQBPF_PIN_DIR" && echo masq_veth_* masq_clsact_*)
}

# Its filters go with it, and the notes of them with the next command.
pod_anew() {
	local before
	before=$(notes)
	lab_in node ip link del pod2
	masq attach -q eth0 --fast-path
	is "notes of one pod, and of the uplink" "$(notes | wc -w)" 3
	lab_link pod2 eth0 node pod2
	lab_in node ip route add 10.44.14.16/32 dev pod2
	lab_in pod2 ip addr add 10.44.14.16/32 dev eth0
	lab_in pod2 ip route add 10.44.14.1 dev eth0
	lab_in pod2 ip route add default via 10.44.14.1
	masq attach -q eth0 --fast-path
	is "notes of two" "$(notes | wc -w)" 5
	[ "$(notes)" != "$before" ] || fail "the same notes: $before"
	is "filters" "$(filters pod2)" 2
}

becomes_uplink() {
	masq attach -q pod2 2>/dev/null
	is "filters of an uplink" "$(filters pod2)" 0
	masq detach -q pod2
	masq attach -q eth0 --fast-path
	is filters "$(filters pod2)" 2
}

notes_gone() {
	rm "$MASQBPF_PIN_DIR"/masq_veth_*
	masq attach -q eth0 --fast-path
	is "notes" "$(notes | wc -w)" 5
	is "filters" "$(filters pod1)" 2
}

detach_under_flow() {
	begin
	masq detach -q eth0
	hush
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "left: $(ls "$MASQBPF_PIN_DIR")"
	is qdiscs "$(lab_in node tc qdisc show | grep clsact || true)" ""
}

lab_begin
lab_node_far
lab_pod pod1 10.44.14.15
lab_pod pod2 10.44.14.16
lab_spawn far "$PYTHON" "$LAB_LIB/fast.py" echo $FAR $PORT >"$LAB_DIR/echo"
lab_wait 5 grep -q ready "$LAB_DIR/echo"
lab_in node nft -f - <<-EOF
	table ip stack {
		counter seen { }
		chain forward {
			type filter hook forward priority filter
			udp dport $PORT counter name seen
			udp sport $PORT counter name seen
			jump more
		}
		chain more { }
	}
EOF
printf 'nonMasqueradeCIDRs: [10.0.0.0/8]\n' >"$LAB_DIR/config.yaml"
start
BY=$(masq status --json | jq -r '.interfaces[0].hook')
row "control: the flow's own frames take it" control
row "forged by another pod, rp_filter" forged_by_rp_filter
row "forged by another pod, a rule by interface" forged_by_rule
row "a tag that the pod writes" tagged_by_the_pod
row "a tag on what comes in" tagged_from_outside
row "to an Ethernet address that is not the node's" not_meant_for_the_node
row "bytes behind the packet" padded
row "a wrong checksum of the IP header" unsound headsum headsum=bad
row "UDP that is longer than its packet" unsound_to_conntrack long udplen=500
row "ICMP of another kind" kinds_of_icmp
row "interfaces count" interfaces_count
for at in "pod1 egress" "pod1 ingress" "eth0 ingress" "eth0 egress"; do
	# shellcheck disable=SC2086 # two words
	row "a tc policy on $at comes later" tc_policy $at
	# shellcheck disable=SC2086
	row "a TCX program on $at comes later" tcx_policy $at
	# shellcheck disable=SC2086
	[ "$BY" = tcx ] || row "a tc policy behind ours on $at" tc_policy $at 60000
done
row "netfilter's ingress hook of the pod comes later" netdev_policy ingress pod1
row "netfilter's egress hook of the pod comes later" netdev_policy egress pod1
row "netfilter's ingress hook of the uplink comes later" \
	netdev_policy ingress eth0
row "a bandwidth limit comes later" shaped
row "a route's MTU" route_mtu
row "a route's MTU falls" route_mtu_falls
row "a packet that rests for its neighbour" rested
row "an outsider's packet to the pod's address" outsider
row "the pod's address moves to another pod" address_moves
row "a mark that the stack sets" marked
row "a rule that writes the TOS comes later" written_by_rule ip dscp set cs3
row "a rule that writes the TTL comes later" written_by_rule ip ttl set 30
row "a queue of the pod is there at attach" queue_of_the_pod
row "a queue of the uplink is there at attach" queue_of_the_uplink
row "a filter of the pod is there at attach" filter_at_attach pod1 ingress
row "a filter of the uplink is there at attach" filter_at_attach eth0 egress
row "nothing is there any more" start
row "a rule with a limit" refused_by limit limit rate 10/second accept
row "a rule with a quota" refused_by quota quota over 1 mbytes drop
row "a rule that logs" refused_by log log prefix '"x"' accept
row "a rule by length" refused_by "a length" meta length 1000-1500 drop
row "a rule by chance" refused_by numgen numgen random mod 2 0 accept
row "a rule by payload" refused_by "what a packet has" @th,64,8 1 drop
row "a limit for new connections only" \
	allowed_with ct state new limit rate 10/second accept
row "counters, marks, sets, connection marks" allowed_with ip daddr \
	'{ 1.2.3.4, 5.6.7.8 }' ct mark set 1 meta mark set 2 counter accept
row "a limit behind an accept of what is established" \
	behind_accept established,related forward 10 allowed_by
row "a limit behind an accept of something else" \
	behind_accept related forward 10 refused_limit
row "a limit behind such an accept, conntrack kept off" untracked_accept
row "a limit for what conntrack does not track" not_established ct state untracked
row "a limit for what is not established" not_established ct state != established
row "a helper of conntrack's for first packets" helpers forward filter 10
row "a helper of conntrack's in a chain of type nat" \
	helpers prerouting nat -90
row "a limit behind such an accept, before conntrack" \
	behind_accept established prerouting -300 refused_limit
row "a limit behind such an accept, on a device's hook" behind_ingress
row "accepts before a limit, each alone" each_accept
row "maps that lead to chains, each alone" each_map
row "ufw's chains, iptables" ufw_rules iptables
row "ufw's chains, iptables-legacy" ufw_rules iptables-legacy
row "headers of IPv6, ip6tables" headers_of_ipv6 ip6tables
row "headers of IPv6, ip6tables-legacy" headers_of_ipv6 ip6tables-legacy
row "a mark that turns, nft" marks_turn_nft
row "a mark that turns, iptables" marks_turn iptables
row "a mark that turns, iptables-legacy" marks_turn iptables-legacy
row "rules that vary, each alone" each_varying
row "rules that do not, each alone" each_harmless
row "rules in tables and chains of long names" long_names
row "a slash in a name" slashes
row "a set whose elements have a limit by another chain's rule" \
	set_of_another_chain
row "a route with a program" route_program
row "a route with a tunnel's end" route_tunnel
row "a routing rule by flow label" rule_by_label
row "an IPsec policy of what is forwarded" ipsec_forward
row "BPF programs of netfilter's" netfilter_programs
row "conntrack gives helpers by itself" conntrack_helper
row "a pod's priority is kept" priority_is_kept
row "conntrack's timeouts are short" short_timeouts
row "a limit for what is new, a zone given before" zone_before ct state new
row "a limit for some states, a zone given before" \
	zone_before ct state new,related
row "a limit for what is new, a zone given before, iptables" \
	zone_before_iptables iptables
row "a limit for what is new, a zone given before, iptables-legacy" \
	zone_before_iptables iptables-legacy
row "rules of iptables" iptables_rules iptables
row "rules of iptables-legacy" iptables_rules iptables-legacy
# a table `raw` of legacy iptables stays
row "matches and targets of iptables, each alone" each_xt iptables
row "matches and targets of iptables-legacy, each alone" \
	each_xt iptables-legacy
row "ipset's kinds with Ethernet addresses" ipset_kinds iptables
row "ipset's kinds with Ethernet addresses, iptables-legacy" \
	ipset_kinds iptables-legacy
row "a macvlan above the uplink" macvlan_above
row "a macvlan above another namespace's" macvlan_afar
row "a bridge above the uplink" bridge_above
row "a VLAN uplink, hooks on its parent" vlan_uplink eth0
vlan_gone >/dev/null 2>&1
row "a VLAN uplink" vlan_uplink eth0.100
vlan_gone >/dev/null 2>&1
row "a bridge as the uplink" uplink_above bridge
start
row "a bond as the uplink" uplink_above bond mode active-backup miimon 50
start
row "a pod on netkit" netkit
row "netkit that drops by policy" netkit_policy
row "a pair with both ends on the node" pair_on_the_node
row "pods on a bridge" bridged
for pod in pod5 pod6 pod9; do # two are left
	lab_in node ip link del $pod 2>/dev/null || true
done
if [ "$BY" = tcx ]; then
	row "by filters: the hooks change to them under a flow" change_hook
	row "by filters: a policy behind ours" tc_policy pod1 ingress 60000
else
	row "by filters: one that lets go on, of our priority" same_priority
	row "by filters: other programs in them, under a flow" other_programs
fi
row "by filters: a filter of another chain" other_chain
row "by filters: an ingress qdisc in the place of clsact" \
	not_clsact "an ingress qdisc is in the place of clsact" ingress
row "by filters: a block that is shared" \
	not_clsact "its clsact shares a block" ingress_block 7 clsact
row "by filters: a pod that goes, and one that comes" pod_anew
row "by filters: a pod's interface becomes an uplink" becomes_uplink
row "by filters: their notes are gone" notes_gone
[ "$BY" = tc ] || row "by filters: to TCX and back" change_back
row "by filters: detach under a flow" detach_under_flow
tap_done
