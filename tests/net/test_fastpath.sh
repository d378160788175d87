#!/usr/bin/env bash
# The fast path: established flows skip the node's stack, by its consent. What
# the stack still gets to see is counted there by nft; what happens to the
# packets is judged by the far side, as everywhere.
#	FAST_HOOK=tc test_fastpath.sh	by filters, where there is TCX
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

FAR=172.30.12.110
HOOK=${FAST_HOOK:-auto}

lab_begin
lab_node_far
lab_pod pod1 10.44.14.15
lab_pod pod2 10.44.14.16
lab_serve far 443
lab_serve pod2 80

# conntrack in use, and what the stack forwards counted
lab_in node nft -f - <<-EOF
	table ip stack {
		counter forwarded { }
		set closed { type ipv4_addr; }
		chain forward {
			type filter hook forward priority filter
			ct mark 7 counter
			counter name forwarded
			ip daddr @closed drop
			ip saddr @closed drop
		}
	}
EOF
lab_in far nft -f - <<-EOF
	table ip ttl {
		counter routed { }
		counter other { }
		chain in {
			type filter hook prerouting priority -300
			iifname eth0 ip ttl 63 counter name routed
			iifname eth0 ip ttl != 63 counter name other
		}
	}
EOF

counter() { # NS TABLE NAME
	lab_in "$1" nft -j list counter ip "$2" "$3" |
		jq '.nftables[1].counter.packets'
}

be_liberal() {
	lab_in node cat /proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal
}

# A kernel that lets no program read its memory (lockdown), as far as the first
# question about it is concerned: the call's number is known from a run before.
# lacking COMMAND...: strace, with that call refused
lacking() {
	local number
	number=$(awk '/BPF_PROG_LOAD.*insn_cnt=7,.*"masq_probe"/ {
		print NR; exit }' "$LAB_DIR/probes.$1")
	[ "$number" ] || fail "no such probe"
	printf '%s\n' strace -qq -o /dev/null -e trace=bpf \
		-e "inject=bpf:error=EINVAL:when=$number"
}

lacks() {
	local status=0 words
	lab_in node strace -qq -o "$LAB_DIR/probes.attach" -e trace=bpf \
		"$MASQBPF" attach -q eth0 --fast-path \
		--config "$LAB_DIR/config.yaml"
	masq detach -q --all
	mapfile -t words < <(lacking attach)
	lab_in node "${words[@]}" "$MASQBPF" attach eth0 --fast-path \
		--config "$LAB_DIR/config.yaml" 2>"$LAB_DIR/err" || status=$?
	is "exit status" $status 1
	grep -q '^masqbpf: --fast-path needs programs that may read kernel memory' \
		"$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
	is "lines" "$(wc -l <"$LAB_DIR/err")" 1
	is be_liberal "$(be_liberal)" 0
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "left: $(ls "$MASQBPF_PIN_DIR")"
}

lacks_auto() {
	local words
	chmod 755 "$LAB_DIR"
	lab_spawn node strace -D -qq -o "$LAB_DIR/probes.agent" -e trace=bpf \
		"$MASQBPF" agent --config "$LAB_DIR/config.yaml" eth0 \
		2>"$LAB_DIR/log"
	echo "$LAB_PID" >"$LAB_DIR/agent"
	lab_wait 60 ready || fail "$(cat "$LAB_DIR/log")"
	end_agent
	masq detach -q --all
	mapfile -t words < <(lacking agent)
	lab_spawn node "${words[@]}" -D "$MASQBPF" agent \
		--config "$LAB_DIR/config.yaml" eth0 2>"$LAB_DIR/log"
	echo "$LAB_PID" >"$LAB_DIR/agent"
	lab_wait 60 ready || fail "$(cat "$LAB_DIR/log")"
	is "lines about it" "$(grep -c "fast path" "$LAB_DIR/log")" 1
	grep -q "fast path: off: needs programs that may read kernel memory" \
		"$LAB_DIR/log" || fail "$(cat "$LAB_DIR/log")"
	page_says "" "off: needs programs that may read" || fail "$(page)"
	is health "$(masq status --json | jq -r .health)" ok
	end_agent
	masq detach -q --all
}

start() {
	masq attach eth0 --hook "$HOOK" --fast-path --config "$LAB_DIR/config.yaml"
	is be_liberal "$(be_liberal)" 1
}

flow_packets() {
	masq flows --json | jq '[.[] | .egress.packets + .ingress.packets] | add'
}

# A transfer both ways: its bytes are right (traffic.py compares them), and
# the stack has seen next to nothing of it.
skips_the_stack() { # POD
	local before seen all
	stream_start "$1" $FAR 443
	before=$(counter node stack forwarded)
	all=$(flow_packets)
	stream_more 64
	seen=$(($(counter node stack forwarded) - before))
	all=$(($(flow_packets) - all))
	stream_end
	is source "$(word source "$STREAM_LINE")" $NODE_ADDR
	note "$seen of $all packets took the stack"
	[ "$seen" -lt $((all / 10)) ] || fail "$seen of $all took the stack"
}

ttl_goes_down() {
	is "packets with another TTL" "$(counter far ttl other)" 0
	[ "$(counter far ttl routed)" -gt 100 ] || fail "too few to tell"
}

# A firewall rule that comes later counts within a moment.
firewall_counts() {
	stream_start pod1 $FAR 443
	stream_more 8
	lab_in node nft add element ip stack closed "{ $FAR }"
	lab_wait 10 stands_still
	lab_in node nft delete element ip stack closed "{ $FAR }"
	stream_more 8
	stream_end
}

stands_still() {
	local before
	before=$(cat "$STREAM/progress")
	sleep 0.7 # longer than a sender that may send ever pauses
	[ "$before" = "$(cat "$STREAM/progress")" ]
}

# The far gateway gets another MAC address: the neighbour entry follows, and
# so does the fast path.
neighbour_changes() {
	stream_start pod1 $FAR 443
	stream_more 8
	lab_in far ip link set eth0 address 02:00:00:00:77:01
	lab_in node ip neigh replace $FAR_GATEWAY dev eth0 \
		lladdr 02:00:00:00:77:01 nud permanent
	stream_more 32
	stream_end
}

# pod to pod never meets the uplink: nothing to do there
pod_to_pod() {
	local line
	line=$(traffic pod1 who 10.44.14.16 80) || fail "$line"
	is source "$(word source "$line")" 10.44.14.15
}

short_ones() {
	local line
	for _ in 1 2 3 4 5; do
		line=$(traffic pod1 who $FAR 443) || fail "$line"
		is source "$(word source "$line")" $NODE_ADDR
	done
}

udp() {
	local line
	line=$(seq 20 | traffic pod1 talk $FAR 443 --proto udp \
		--sport 5555 --timeout 3 | sort -u) || fail "$line"
	is "who was seen" "$line" "$NODE_ADDR 5555"
}

gone() {
	masq detach --all
	is "programs left on the pod's interface" \
		"$(lab_in node ip -d link show pod1 | grep -c tcx || true)" 0
	is "qdiscs left" "$(lab_in node tc qdisc show | grep clsact || true)" ""
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "pins are left"
}

# --- the agent --------------------------------------------------------------

ready() {
	lab_in node curl -sf --max-time $((5 * TEST_SLOW)) http://127.0.0.1:9842/readyz >/dev/null
}

pins() { # NUMBER: of pods' interfaces that are hooked
	local links filters
	links=$(find "$MASQBPF_PIN_DIR" -name 'tcx_pod_*' | wc -l)
	filters=$(find "$MASQBPF_PIN_DIR" -name 'masq_veth_*' | wc -l)
	[ $((links + 2 * filters)) = $((2 * $1)) ]
}

agent() {
	chmod 755 "$LAB_DIR" # the agent is nobody and reads its config
	local option=--fast-path=$1
	[ "${2:-}" != default ] || option=
	# an agent keeps the hook that is there
	[ "$HOOK" = auto ] || masq attach -q eth0 --hook "$HOOK" \
		--config "$LAB_DIR/config.yaml"
	# shellcheck disable=SC2086 # none when it is empty
	lab_spawn node "$MASQBPF" agent $option \
		--config "$LAB_DIR/config.yaml" eth0 2>"$LAB_DIR/log"
	echo "$LAB_PID" >"$LAB_DIR/agent"
	lab_wait 60 ready || fail "$(cat "$LAB_DIR/log")"
	[ "$1" = off ] || lab_wait 10 pins 2 ||
		fail "$(ls "$MASQBPF_PIN_DIR")"
}

pod_comes_later() {
	lab_pod pod3 10.44.14.17
	lab_wait 10 pins 3 || fail "$(cat "$LAB_DIR/log")"
	skips_the_stack pod3
	is "errors" "$(grep -c 'fast path:.*cannot' "$LAB_DIR/log" || true)" 0
}

pod_goes() {
	lab_in node ip link del pod3
	lab_wait 10 pins 2 || fail "$(cat "$LAB_DIR/log")"
	ready
}

# fast_path INTERFACE: what status says of it
fast_path() {
	masq status --json | jq -r --arg i "$1" \
		'.fast_path[] | select(.interface == $i) | "\(.on) \(.why)"'
}

says() { # INTERFACE PATTERN
	[[ $(fast_path "$1") =~ $2 ]]
}

on_by_status() {
	lab_wait 5 says pod1 "^true" || fail "$(fast_path pod1)"
	says eth0 "^true" || fail "$(fast_path eth0)"
}

ipset() {
	lab_in node "$PYTHON" "$LAB_LIB/ipset.py" "$@"
}

# Where the kernel has such sets, and this iptables is by nf_tables.
set_in_a_rule() {
	[[ $(iptables -V) = *nf_tables* ]] &&
		ipset create macs bitmap:ip,mac && ipset destroy macs &&
		ipset create ips hash:ip &&
		lab_in node iptables -t mangle -A FORWARD -m set \
			--match-set ips src -j DROP
}

# A rule that varies, and a queue: off within a moment, with the reason, and on
# again when they are gone.
agent_looks() {
	lab_in node nft add rule ip stack forward quota over 100000 mbytes drop
	lab_wait 8 says pod1 "^false netfilter: nft ip stack/forward: quota" ||
		fail "$(fast_path pod1)"
	takes_the_stack
	lab_in node nft flush chain ip stack forward
	lab_in node nft add rule ip stack forward counter name forwarded
	lab_wait 8 says pod1 "^true" || fail "$(fast_path pod1)"
	! lab_in node "$PYTHON" "$LAB_LIB/foreign.py" netfilter \
		"$LAB_DIR/bpf/nf" forward ipv4 2>/dev/null || {
		lab_wait 8 says pod1 "^false a BPF program on a netfilter hook" ||
			fail "$(fast_path pod1)"
		takes_the_stack
		lab_in node rm "$LAB_DIR/bpf/nf"
		lab_wait 8 says pod1 "^true" || fail "$(fast_path pod1)"
	}
	! set_in_a_rule 2>/dev/null || {
		ipset create macs bitmap:ip,mac
		lab_wait 8 page_says "" "off: netfilter: .*: set" || fail "$(page)"
		ipset destroy macs
		lab_wait 8 page_says "" "on for 2 of 2 pod" || fail "$(page)"
		lab_in node iptables -t mangle -F
	}
	lab_in node tc qdisc add dev pod1 root tbf rate 800mbit burst 200000 \
		latency 100ms
	lab_wait 8 says pod1 "^false a queue: tbf" || fail "$(fast_path pod1)"
	says pod2 "^true" || fail "$(fast_path pod2)"
	lab_in node tc qdisc del dev pod1 root
	lab_wait 8 says pod1 "^true" || fail "$(fast_path pod1)"
}

# Our clsact is taken off by somebody: the stack has the packets until it is
# there again.
agent_hooks_again() {
	[ "$(masq status --json | jq -r '.interfaces[0].hook')" = tc ] ||
		skip "links cannot be taken off"
	lab_in node tc qdisc del dev pod1 clsact
	lab_wait 5 hooked_by_filters pod1 || fail "$(cat "$LAB_DIR/log")"
	skips_the_stack pod1
}

hooked_by_filters() {
	[ "$(lab_in node tc filter show dev "$1" ingress |
		grep -c masq_pod_in)" = 1 ] &&
		[ "$(lab_in node tc filter show dev "$1" egress |
			grep -c masq_pod_out)" = 1 ]
}

takes_the_stack() {
	local before
	talk_udp
	before=$(counter node stack forwarded)
	talk_udp
	[ $(($(counter node stack forwarded) - before)) -gt 60 ] ||
		fail "$(($(counter node stack forwarded) - before)) of 100"
}

# 100 datagrams in a second or so
talk_udp() {
	seq 50 | traffic pod1 talk $FAR 443 --proto udp --sport 5556 \
		--timeout 3 >/dev/null
}

# Killed, with all that it has forked: the lease ends, and nobody renews it.
agent_killed() {
	kill -KILL "$(cat "$LAB_DIR/agent")"
	lab_wait 10 says pod1 "^false off: no agent" || fail "$(fast_path pod1)"
	takes_the_stack
}

liberal_is_put_back() {
	masq attach -q eth0 --hook "$HOOK" --fast-path --config "$LAB_DIR/config.yaml"
	is be_liberal "$(be_liberal)" 1
	masq detach -q --all
	is be_liberal "$(be_liberal)" 0
}

auto() {
	lab_in node sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0
	agent auto
	is be_liberal "$(be_liberal)" 0
	on_by_status
	lab_wait 5 grep -q "fast path: TCP connection by connection" \
		"$LAB_DIR/log" ||
		fail "$(cat "$LAB_DIR/log")"
}

# watch_forward [STATEMENT...]: counts what the stack forwards, and a rule behind
watch_forward() {
	lab_in node nft -f - <<-X
		table ip every {
			counter forwarded { }
			counter invalid { }
			chain forward {
				type filter hook forward priority -1
				counter name forwarded
				$*
			}
		}
	X
}

# What the sysctl says later counts for the policy that is in force, and nobody
# has to reload it. Where it is 0, connections that last are told of one by one,
# and what conntrack sees of them is not invalid.
tcp_follows() {
	local liberal=net.netfilter.nf_conntrack_tcp_be_liberal value
	watch_forward ct state invalid counter name invalid
	for value in 0 1; do
		lab_in node sysctl -qw $liberal=$value
		stream_start pod1 $FAR 443
		lab_wait 10 tcp_is fast ||
			fail "$value: still $SEEN of $ALL by the stack"
		# each second a packet out of what conntrack calls the window
		for _ in 1 2 3; do
			sleep 1
			tcp_is fast ||
				fail "$value: $SEEN of $ALL by the stack"
		done
		stream_end
	done
	is invalid "$(counter node every invalid)" 0
	lab_in node sysctl -qw $liberal=0
	lab_in node nft delete table ip every
}

# What conntrack does not track is not called out of window. But where rules go
# by its states they may treat it otherwise than what is established.
tcp_untracked() {
	watch_forward
	lab_in node nft add chain ip every off \
		'{ type filter hook prerouting priority raw; }'
	lab_in node nft add rule ip every off notrack
	stream_start pod1 $FAR 443
	lab_wait 10 tcp_is fast || fail "still $SEEN of $ALL by the stack"
	lab_in node nft add rule ip every forward ct state established accept
	lab_wait 10 tcp_is slow || fail "only $SEEN of $ALL by the stack"
	stream_end
	lab_in node nft delete table ip every
}

# The entry that a packet carries decides: it was made anew, so it is strict.
tcp_is_strict_again() {
	watch_forward
	stream_start pod1 $FAR 443
	lab_wait 10 tcp_is fast || fail "still $SEEN of $ALL by the stack"
	kill -STOP "$(cat "$LAB_DIR/agent")"
	lab_in node "$PYTHON" "$LAB_LIB/conntrack.py" flush
	lab_wait 5 tcp_is slow || fail "only $SEEN of $ALL by the stack"
	kill -CONT "$(cat "$LAB_DIR/agent")"
	lab_wait 10 tcp_is fast || fail "$SEEN of $ALL by the stack"
	stream_end
	lab_in node nft delete table ip every
}

# It has forgotten one and takes none up in the middle (nf_conntrack_tcp_loose=0):
# a rule that drops what is invalid stops it within a second, here as there.
tcp_is_forgotten() {
	local before
	lab_in node sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
	watch_forward ct state invalid drop
	stream_start pod1 $FAR 443
	lab_wait 10 tcp_is fast || fail "still $SEEN of $ALL by the stack"
	lab_in node "$PYTHON" "$LAB_LIB/conntrack.py" flush
	sleep 2
	before=$(cat "$STREAM/progress")
	sleep 2
	is "bytes that came through" "$(cat "$STREAM/progress")" "$before"
	lab_in node nft delete table ip every
	stream_more 8
	stream_end
	lab_in node sysctl -qw net.netfilter.nf_conntrack_tcp_loose=1
}

tcp_is() { # fast|slow
	SEEN=$(counter node every forwarded)
	ALL=$(flow_packets)
	stream_more 8
	SEEN=$(($(counter node every forwarded) - SEEN))
	ALL=$(($(flow_packets) - ALL))
	case $1 in
	fast) [ $SEEN -lt $((ALL / 10)) ] ;;
	slow) [ $SEEN -gt $((ALL / 2)) ] ;;
	esac
}

# Status, doctor, metrics and the page tell the same.
told() {
	local metric
	talk_udp # established after two seconds
	sleep 2
	talk_udp
	talk_udp
	masq status >"$LAB_DIR/status"
	grep -q "^fast path   on for 3 of 3 interfaces; [0-9]* % of" \
		"$LAB_DIR/status" || fail "$(cat "$LAB_DIR/status")"
	! grep -q "not for TCP" "$LAB_DIR/status" ||
		fail "$(cat "$LAB_DIR/status")"
	masq status --json | jq -e '.fast_path_share.egress > 0' >/dev/null ||
		fail "$(masq status --json | jq -c .fast_path_share)"
	masq doctor >"$LAB_DIR/doctor" || true
	grep -Eq "fast-path +on for 2 of 2 pod interfaces, 1 of 1 uplinks" \
		"$LAB_DIR/doctor" || fail "$(cat "$LAB_DIR/doctor")"
	lab_wait 5 page_says metrics "^masqbpf_fast_path_pods 2$" ||
		fail "no metric"
	masq metrics >"$LAB_DIR/metrics"
	for metric in 'fast_path{interface="eth0"} 1' "fast_path_pods_off 0" \
		"fast_path_pods 2"; do
		page_says metrics "^masqbpf_$metric$" || fail "agent: $metric"
		grep -q "^masqbpf_$metric$" "$LAB_DIR/metrics" ||
			fail "no $metric"
	done
	lab_wait 5 page_says "" "on for 2 of 2 pod interfaces, 1 of 1 uplinks" ||
		fail "$(page)"
}

page() { # PATH
	lab_in node curl -sf --max-time 5 "http://127.0.0.1:9842/${1:-}"
}

page_says() { # PATH PATTERN
	page "$1" | grep -c -- "$2" >/dev/null
}

# Without the option it is auto. Flows of before lose nothing by it, and the
# instance that had none of it becomes one that has.
auto_after_off() {
	agent off
	lab_wait 5 page_says "" "off: --fast-path off" || fail "$(page)"
	stream_start pod1 $FAR 443
	end_agent
	agent auto default
	on_by_status
	stream_more 8
	stream_end
	is "nodes that far saw" "$(word source "$STREAM_LINE")" $NODE_ADDR
}

end_agent() {
	kill "$(cat "$LAB_DIR/agent")"
	lab_wait 10 lab_gone "$(cat "$LAB_DIR/agent")"
}

auto_without_agent() {
	masq attach -q eth0 --hook "$HOOK" --fast-path auto --config "$LAB_DIR/config.yaml"
	says eth0 "^false" || fail "$(fast_path eth0)"
	masq detach -q --all
}

printf 'nonMasqueradeCIDRs: [10.0.0.0/8]\n' >"$LAB_DIR/config.yaml"
row "no program may read the kernel's memory: refused, and nothing changes" lacks
row "agent: no program may: said once, and the rest is done" lacks_auto
row "attach --fast-path, conntrack told to be liberal" start
if ! row_ok; then
	tap_done
	exit
fi
for offload in on off; do
	lab_offload $offload
	row "TCP both ways, offload $offload: the stack sees little of it" \
		skips_the_stack pod1
done
row "the TTL goes down as in any router" ttl_goes_down
row "connections that begin and end" short_ones
row "UDP" udp
row "a firewall rule that comes later counts" firewall_counts
row "a neighbour's new address is followed" neighbour_changes
row "pod to pod" pod_to_pod
row "detach removes it all" gone
row "nf_conntrack_tcp_be_liberal is put back" liberal_is_put_back
row "--fast-path auto without an agent is off" auto_without_agent
row "agent --fast-path on" agent on
row "status says where it is on" on_by_status
row "agent: a pod that comes later" pod_comes_later
row "agent: a pod that goes" pod_goes
row "agent: what comes to stand against it" agent_looks
row "agent: our filters are taken off a pod" agent_hooks_again
row "agent: killed" agent_killed
row "detach" gone
row "agent --fast-path auto" auto
row "it is told everywhere" told
row "nf_conntrack_tcp_be_liberal is changed by somebody" tcp_follows
row "conntrack does not track a connection" tcp_untracked
row "conntrack has begun a connection anew" tcp_is_strict_again
row "conntrack has forgotten a connection for good" tcp_is_forgotten
lab_in node "$MASQBPF" detach --all -q
end_agent
row "agent: off, then auto by default, under a flow" auto_after_off
row "detach under the agent" gone
tap_done
