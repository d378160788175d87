#!/usr/bin/env bash
# A dataplane takes the place of another one under traffic: an older layout, of
# the revision that had it last; other sizes; other programs. Hundreds of
# connections live meanwhile, and none is reset, changes its port or loses a
# byte; what far sees is the node's address alone.
#
# UPGRADE_COUNT (default 300; 30 on an emulated machine): connections of IPv4;
# a third as many from far to a pod, kept, and of IPv6. UPGRADE_ROWS: only rows
# whose name matches.
# UPGRADE_POINTS (2): calls that are met a row; 0: one of each kind
# (tests/lib/kinds.py), for UPGRADE_SECONDS a row at most, UPGRADE_SHARD I/N.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/steady.sh"
. "$(dirname "$0")/../lib/revision.sh"

REVISION=2bd5a44
POD=10.44.14.15
KEPT=172.30.99.1
PORT=443
# One processor of an emulated machine has more to do than to talk.
COUNT=${UPGRADE_COUNT:-$((TEST_SLOW > 1 ? 30 : 300))}
MASQ_NEW=$MASQBPF

lab_begin
chmod 755 "$LAB_DIR"
lab_node_far
lab_pods 2
lab_ipv6
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_in far ip route add fd00:44::/64 via $NODE_ADDR6
for ns in pod1 pod2 node far; do
	lab_in $ns sysctl -qw net.ipv4.ping_group_range="0 2147483647"
	# A machine that stands still for a fifth of a second sends a FIN again
	# that was not lost, and of two answers the second finds nobody and is
	# reset. What is lost is missed as ever, for two seconds (kernel 6.11).
	# Before who listens: what it accepts has its own from when it began to.
	! lab_in $ns test -e /proc/sys/net/ipv4/tcp_rto_min_us ||
		lab_in $ns sysctl -qw net.ipv4.tcp_rto_min_us=2000000
done
lab_serve far $PORT
lab_serve far $PORT $FAR_ADDR6
lab_serve pod1 $PORT
lab_serve node $PORT
cd "$LAB_DIR"

# Nothing of a pod's may reach far's own address with the pod's: that is
# translated. What comes back of connections from far, and what is kept, does.
lab_in far nft -f - <<-EOT
	table inet leak {
		chain in {
			type filter hook prerouting priority raw - 20
			iifname eth0 ip saddr $POD_NET ip daddr $FAR_ADDR counter
			iifname eth0 ip6 saddr fd00:44::/64 ip6 daddr $FAR_ADDR6 counter
		}
	}
EOT
leaks() {
	lab_in far nft -j list table inet leak |
		jq '[.nftables[].rule.expr[]?.counter.packets // empty] | add'
}

# On an emulated machine a take-over lasts longer than a ping is remembered.
PATIENT=()
[ "${TEST_SLOW:-1}" -le 1 ] ||
	PATIENT=('timeouts: {icmp: 30m, udp: 30m, udpUnreplied: 30m}')

config() { # FILE [LINE...]
	local file=$1
	shift
	printf '%s\n' "nonMasqueradeCIDRs: [10.0.0.0/8, $KEPT/32]" \
		'enableIPv6: true' "${PATIENT[@]}" "$@" >"$file"
}
config base.yaml

old() {
	lab_in node "$MASQ_OLD" "$@"
}

get() {
	masq status --json | jq -c "$1"
}

gone() {
	masq detach -q --all 2>/dev/null || true
}

hooks_gone() {
	[ "$(lab_ours eth0)" = 0 ]
}

# nothing of it anywhere: hooks (the kernel lets go of a link when it has the
# time to), pins
nothing_left() {
	lab_wait 5 hooks_gone || is "our programs" "$(lab_ours eth0)" 0
	[ ! -e "$MASQBPF_PIN_DIR" ] ||
		fail "pins are left: $(ls "$MASQBPF_PIN_DIR")"
}

# The node's own are not counted: its loopback refuses who asks too early.
resets() { # NS...: RST that were sent, and connections that one ended
	local ns
	for ns; do
		# shellcheck disable=SC2016 # awk's
		lab_in "$ns" awk '$1 == "Tcp:" && ++n == 2 {
			print $9 + $15 }' /proc/net/snmp
	done | paste -sd+ | bc
}

# Who has sent one, for the message.
for ns in pod1 pod2 far; do
	lab_in $ns nft -f - <<-EOT
		table inet resets {
			set who4 {
				type ipv4_addr . inet_service . ipv4_addr . inet_service
				flags dynamic, timeout
				timeout 10m
			}
			set who6 {
				type ipv6_addr . inet_service . ipv6_addr . inet_service
				flags dynamic, timeout
				timeout 10m
			}
			chain out {
				type filter hook output priority 0
				tcp flags & rst == rst update @who4 { ip saddr . tcp sport . ip daddr . tcp dport }
				tcp flags & rst == rst update @who6 { ip6 saddr . tcp sport . ip6 daddr . tcp dport }
			}
		}
	EOT
done
resets_forget() {
	local ns
	for ns in pod1 pod2 far; do
		lab_in $ns nft 'flush set inet resets who4; flush set inet resets who6'
	done
}

resets_by() {
	local ns
	for ns in pod1 pod2 far; do
		lab_in $ns nft -j list table inet resets | jq -c "[\"$ns\",
			.nftables[].set.elem[]?.elem.val.concat]"
	done | paste -sd' '
}

# --- traffic that lives ----------------------------------------------------

# Ports that no row before had: what has ended holds them for a minute.
new_base() {
	local last
	last=$(cat base 2>/dev/null || echo 41000)
	BASE=$((last + 10))
	echo $BASE >base
}

# talker NAME NS ARG...: one flow that is asked again whenever it is told to
talker() {
	local name=$1 ns=$2
	mkfifo "$name.in"
	exec {fd}<>"$name.in" # for writing alone it would wait for a reader
	# what is in the background has no standard input of the shell's
	# shellcheck disable=SC2016 # for the other shell
	lab_spawn "$ns" sh -c 'in=$1; shift; exec "$@" <"$in"' sh "$name.in" \
		"$PYTHON" "$LAB_LIB/traffic.py" talk "${@:3}" \
		>"$name.out" 2>&1
	TALK_FD[$name]=$fd
	TALK_PID[$name]=$(lab_process "$LAB_PID")
	TALKERS+=("$name")
	said "$name"
}

said() { # NAME: asks once more; the answer has to come
	local lines
	lines=$(wc -l <"$1.out")
	echo >&"${TALK_FD[$1]}"
	lab_wait 15 more_lines "$1.out" "$lines" ||
		fail "$1: $(cat "$1.out")"
}

more_lines() {
	[ "$(wc -l <"$1")" -gt "$2" ]
}

declare -A TALK_FD=() TALK_PID=()
TALKERS=()
STEADY=()
declare -A SIZE=()

begin_steady() { # NAME NS COUNT ARG...
	STEADY+=("$1")
	SIZE[$1]=$3
	rm -f "$1.stop" "$1.progress"
	steady "$1" "$2" --count "$3" --rest 0.5 "${@:4}"
}

# live: all kinds of flows, and each has answered
live() {
	local name
	new_base
	lab_in far nft reset rules table inet leak >/dev/null 2>&1 ||
		lab_in far nft reset counters >/dev/null 2>&1 || true
	LEAKS=$(leaks)
	resets_forget
	RESETS=$(resets pod1 pod2 far)
	begin_steady v4 pod1 "$COUNT"
	STEADY_TO=$FAR_ADDR6 begin_steady v6 pod2 $((COUNT / 3))
	STEADY_TO=$KEPT begin_steady kept pod2 $((COUNT / 3))
	STEADY_TO=$POD begin_steady inbound far $((COUNT / 3))
	STEADY_TO=$NODE_ADDR begin_steady tonode far 20
	begin_steady bynode node 20
	begin_steady short pod2 1 --short
	STREAM_FIRST=$((1 << 18)) stream_start pod1 $FAR_ADDR $PORT \
		--chunk 8192 --interval 0.02
	trap 'live_end' EXIT # the stream has one of its own
	# A pod has the tuple first: the node's own has to change its port.
	talker podfirst pod1 $FAR_ADDR $PORT --sport $((BASE + 1))
	talker nodesecond node $FAR_ADDR $PORT --sport $((BASE + 1))
	talker udp pod1 $FAR_ADDR $PORT --proto udp --sport $((BASE + 2))
	talker udp2 pod2 $FAR_ADDR $PORT --proto udp --sport $((BASE + 2))
	talker udpkept pod2 $KEPT $PORT --proto udp --sport $((BASE + 3))
	talker udpin far $POD $PORT --proto udp --sport $((BASE + 4))
	talker udp6 pod1 $FAR_ADDR6 $PORT --proto udp --sport $((BASE + 5))
	talker ping pod1 $FAR_ADDR 0 --proto icmp --sport $((BASE + 6))
	for name in v4 v6 kept inbound tonode bynode; do
		lab_wait 60 reached "$name" 0 ||
			fail "$name: $(tail -n 3 "$name.result")"
	done
}

# on NAME...: everything has been answered anew since
on() {
	local name
	declare -A from
	for name in "${STEADY[@]}"; do
		from[$name]=$(progress "$name")
	done
	for name in "${TALKERS[@]}"; do
		said "$name"
	done
	for name in v4 v6 kept inbound tonode bynode; do
		# a whole round has begun and ended
		lab_wait 60 reached "$name" $((from[$name] + 2 * SIZE[$name])) ||
			fail "$name stands still: $(tail -n 3 "$name.result")"
	done
	lab_wait 30 reached short $((from[short] + 4)) ||
		fail "short stands still: $(tail -n 3 short.result)"
	lab_wait 20 stream_reached $(($(cat "$STREAM/progress") + (1 << 18))) ||
		fail "the transfer stands still: $(cat "$STREAM/result")"
}

# answered: no talker has ever been told another port than at first
answered() {
	local name
	for name in "${TALKERS[@]}"; do
		is "$1: $name: who it was ($(paste -sd, "$name.out"))" \
			"$(sort -u "$name.out" | wc -l)" 1
		! grep -q none "$name.out" ||
			fail "$name: unanswered"
	done
	is "podfirst's port" "$(head -n 1 podfirst.out)" "$NODE_ADDR $((BASE + 1))"
	[ "$(head -n 1 nodesecond.out)" != "$NODE_ADDR $((BASE + 1))" ] ||
		fail "the node's own flow has the pod's port"
}

# ended: all of it was whole, and its ends are no resets
ended() {
	local name line want exchanges=0
	answered "at the end"
	for name in "${STEADY[@]}"; do
		touch "$name.stop"
	done
	stream_end
	is "the transfer's source" "$(word source "$STREAM_LINE")" $NODE_ADDR
	for name in "${STEADY[@]}"; do
		lab_wait 30 lab_gone "$(cat "$name.pid")"
		line=$(tail -n 1 "$name.result")
		is "$name: failures ($(head -n 3 "$name.result"))" \
			"$(word failed "$line")" 0
		case $name in
		v4 | bynode | short) want=$NODE_ADDR ;;
		v6) want=$NODE_ADDR6 ;;
		kept) want=10.44.14.16 ;;
		*) want=$FAR_GATEWAY ;;
		esac
		is "$name: sources" "$(word sources "$line")" $want
		exchanges=$((exchanges + $(word ok "$line")))
	done
	is "resets ($(resets_by); leaks $(leaks) of $LEAKS)" \
		"$(resets pod1 pod2 far)" "$RESETS"
	is leaks "$(leaks)" "$LEAKS"
	note "$exchanges exchanges, $(($(word got "$STREAM_LINE") >> 20)) MiB"
}

# live_end: whatever becomes of the row
live_end() {
	local name
	[ -z "${AGENT:-}" ] || kill "$AGENT" 2>/dev/null || true
	for name in "${STEADY[@]}"; do
		touch "$name.stop"
		lab_kill KILL "$(cat "$name.pid")"
	done
	[ -z "${STREAM:-}" ] || touch "$STREAM/stop"
	for name in "${TALKERS[@]}"; do
		lab_kill KILL "${TALK_PID[$name]}"
		rm -f "$name.in" "$name.out"
	done
	gone
	# what the row has closed has to be over before the next one begins: a
	# FIN that is sent again, untranslated now, is answered with a reset
	for name in pod1 pod2 far node; do
		lab_in $name ss -t -K state connected >/dev/null 2>&1 || true
	done
}

# --- what there is before and after ----------------------------------------

# tuples [MASQ]: of every flow that talks for longer than a moment
tuples() {
	"${1:-masq}" flows --json | jq -c '[.[] |
		select(.proto != "tcp" or .state == "established") |
		{proto, action, orig: (.orig | {src, sport, dst, dport}),
		 xlat: (if .xlat then .xlat | {src, sport} else null end)}] |
		sort[]'
}

# kept_all BEFORE AFTER: every flow of before that lives still is there, alike
kept_all() {
	sort "$1" >"$1.sorted"
	sort "$2" >"$2.sorted"
	# those of `short` come and go
	comm -23 "$1.sorted" "$2.sorted" >lost
	[ ! -s lost ] || fail "$(wc -l <lost) flows are others: $(head -n 3 lost)"
}

# long: of tuples, those whose connections stay open
long() {
	"${1:-masq}" flows --json | jq -c '.[] |
		select(.state == "established" and .age_s >= 3) |
		select(.orig.src != "10.44.14.16" or .orig.dst != "'$FAR_ADDR'"
		       or .orig.sport == '$((BASE + 2))') |
		[.proto, .action, .orig.src, .orig.sport, .orig.dst,
		 .orig.dport, .xlat.src, .xlat.sport]'
}

counts() { # MASQ: egress packets of all prefixes, and flows
	"${1:-masq}" counters --json | jq -c '[.prefixes[] |
		.egress.packets + .ingress.packets] | add'
}

history_of() {
	"${1:-masq}" history --json | jq -c '[.[] | .generation]' 2>/dev/null ||
		"${1:-masq}" history
}

not_less() { # NAME BEFORE AFTER
	[ "$3" -ge "$2" ] || fail "$1: was $2, is $3"
}

# begun HOOK CONFIG [MASQ]: attached by the program that is to be succeeded
begun() {
	trap live_end EXIT
	"${3:-old}" attach -q eth0 --config "$2" --hook "$1"
	# a second generation, and one that came at run time
	"${3:-old}" cidr add -q 203.0.113.0/24
	live
	sleep 3
	on
	long "${3:-old}" >before
	COUNTED=$(counts "${3:-old}")
	HISTORY=$(history_of "${3:-old}")
	not_less "flows before" $((COUNT * 2)) "$(wc -l <before)"
}

# succeeded: nothing was lost on the way
succeeded() {
	long masq >after
	kept_all before after
	not_less "packets" "$COUNTED" "$(counts masq)"
	case $(history_of masq) in
	*"${HISTORY#[}") ;; # the latest first
	*) fail "history: $HISTORY, now $(history_of masq)" ;;
	esac
	has_prefix 203.0.113.0/24 || fail "a prefix is gone"
	[ ! -e "$MASQBPF_PIN_DIR/next" ] || fail "next is left"
	# the prefix that came by hand is not in the file
	is problems "$(get '[.verdict[] | select(.level != "ok") | .what]')" \
		'["drift"]'
	on
	long masq >after
	kept_all before after
}

layout3() { # HOOK
	[ "$1" = tc ] || [ "$(lab_hook)" = tcx ] || skip "no TCX"
	begun "$1" base.yaml
	masq attach eth0 2>err || fail "$(cat err)"
	is "hook" "$(get '.interfaces[0].hook')" "\"$1\""
	grep -q 'taken over from version' err || fail "$(cat err)"
	succeeded
	ended
	masq detach -q --all
	nothing_left
}

# agent_begin MASQ CONFIG [ARG...]: until it says it is ready
agent_begin() {
	lab_spawn node "$1" agent --config "$2" --listen 127.0.0.1:9911 \
		--pin-dir "$MASQBPF_PIN_DIR" "${@:3}" eth0 >agent.log 2>&1
	AGENT=$LAB_PID
	lab_wait 60 ready || fail "$(cat agent.log)"
}

ready() {
	lab_in node curl -sf http://127.0.0.1:9911/readyz >/dev/null
}

agent_end() {
	kill "$AGENT"
	lab_wait 20 lab_gone "$AGENT"
}

metric() { # NAME
	lab_in node curl -sf http://127.0.0.1:9911/metrics |
		sed -n "s/^$1 //p"
}

# The old version's agent goes, as a rolling update has it, the new one comes.
layout3_agent() {
	trap live_end EXIT
	cp base.yaml agent.yaml
	agent_begin "$MASQ_OLD" "$PWD/agent.yaml"
	live
	sleep 3
	on
	long old >before
	COUNTED=$(counts old)
	HISTORY=$(history_of old)
	agent_end
	agent_begin "$MASQ_NEW" "$PWD/agent.yaml"
	grep -q 'taken over from version' agent.log || fail "$(cat agent.log)"
	long masq >after
	kept_all before after
	not_less "packets" "$COUNTED" "$(counts masq)"
	on
	# what changes from now on is the new one's matter
	config agent.yaml 'masqueradeCIDRs: [10.9.0.0/16]'
	lab_wait 20 has_prefix 10.9.0.0/16 || fail "$(cat agent.log)"
	on
	ended
	agent_end
	masq detach -q --all
	nothing_left
}

has_prefix() {
	# all of it is read: who hangs up on it makes it fail
	masq cidr list | grep -c "^$1 " >/dev/null
}

healthy() {
	[ "$(get .health)" = '"ok"' ]
}

# An agent of the old version does not harm what has taken over from it.
layout3_old_agent_stays() {
	trap live_end EXIT
	cp base.yaml agent.yaml
	agent_begin "$MASQ_OLD" "$PWD/agent.yaml"
	live
	masq attach -q eth0 2>err || fail "$(cat err)"
	programs >programs.before
	on
	config agent.yaml 'masqueradeCIDRs: [10.9.0.0/16]'
	# an interface that comes makes it look at all of them
	lab_in node ip link add extra type veth peer name extra2
	sleep 4
	lab_in node ip link del extra
	on
	is "programs" "$(programs)" "$(cat programs.before)"
	# the old version's change is in force, and it does not save
	is problems "$(get '[.verdict[] | select(.level != "ok") | .what]')" \
		'["saved"]'
	agent_end
	agent_begin "$MASQ_NEW" "$PWD/agent.yaml"
	has_prefix 10.9.0.0/16 || fail "the file's prefix is not there"
	lab_wait 10 healthy || fail "$(masq status)"
	on
	ended
	agent_end
}

programs() { # what is hooked
	local dir
	for dir in ingress egress; do
		lab_in node "$PYTHON" "$LAB_LIB/foreign.py" tcx-list eth0 $dir
	done
}

many_prefixes() { # COUNT: a line of a config
	seq "$1" | awk -v kept="$KEPT" '
		{ printf "%s10.%d.%d.0/24",
			(NR > 1 ? ", " : "nonMasqueradeCIDRs: ["),
			int($1 / 256) + 1, $1 % 256 }
		END { print ", " kept "/32]" }'
}

sized() { # FILE COUNT LINE...
	many_prefixes "$2" >"$1"
	printf '%s\n' 'cidrLimit: 10000' 'enableIPv6: true' "${PATIENT[@]}" \
		"${@:3}" >>"$1"
}

limits() {
	masq metrics | sed -n 's/^masqbpf_flows_limit{*[^ ]* //p' | sort -n |
		tail -n 1
}

# All by a reload, each onto what the one before has left.
growth() {
	local step
	begun "$(lab_hook)" base.yaml masq
	sized 1.yaml 1500
	sized 2.yaml 1500 'maxFlows: 40000'
	sized 3.yaml 1500 'maxFlows: 300000'
	sized 4.yaml 3000 'maxFlows: 300000' 'flowCounters: false'
	sized 5.yaml 10 'maxFlows: 20000' 'flowCounters: true'
	for step in 1 2 3 4 5; do
		masq reload --yes --config $step.yaml >out 2>err ||
			masq reload --config $step.yaml >out 2>err ||
			fail "$step: $(cat err)"
		on
		long masq >after
		kept_all before after
		[ ! -e "$MASQBPF_PIN_DIR/next" ] || fail "next is left"
		is "$step: health" "$(get .health)" '"ok"'
		case $step in
		2) is maxFlows "$(get .flows_max)" 40000 ;;
		3) is maxFlows "$(get .flows_max)" 300000 ;;
		4) is "counts of a flow" "$(masq flows --json |
			jq -c 'map(.egress.packets) | unique')" '[null]' ;;
		5) is maxFlows "$(get .flows_max)" 20000 ;;
		esac
	done
	not_less "packets" "$COUNTED" "$(counts masq)"
	ended
	masq detach -q --all
	nothing_left
}

# Without conntrack nobody knows what there was: what docs/upgrade.md promises.
before_attach() {
	trap live_end EXIT
	new_base
	talker udp pod1 $FAR_ADDR $PORT --proto udp --sport $((BASE + 1))
	talker tcp pod1 $FAR_ADDR $PORT --sport $((BASE + 2))
	is "before" "$(cat udp.out tcp.out | paste -sd,)" \
		"$POD $((BASE + 1)),$POD $((BASE + 2))"
	masq attach -q eth0 --config base.yaml 2>err || fail "$(cat err)"
	LEAKS=$(leaks)
	said udp
	is "udp" "$(tail -n 1 udp.out)" "$NODE_ADDR $((BASE + 1))"
	echo >&"${TALK_FD[tcp]}"
	lab_wait 10 lab_gone "${TALK_PID[tcp]}"
	grep -q 'reset by peer' tcp.out || fail "tcp: $(cat tcp.out)"
	is "tcp anew" "$(word source \
		"$(traffic pod1 who $FAR_ADDR $PORT)")" $NODE_ADDR
	is leaks "$(leaks)" "$LEAKS"
}

# Another hook is another place in the kernel: it comes before the first goes.
other_hook() {
	[ "$(lab_hook)" = tcx ] || skip "no TCX"
	begun tcx base.yaml masq
	for hook in tc tcx; do
		masq attach -q --hook $hook eth0 2>err || fail "$(cat err)"
		is "hook" "$(get '.interfaces[0].hook')" "\"$hook\""
		is "our programs" "$(lab_ours eth0)" 2
		succeeded
	done
	ended
	masq detach -q --all
	nothing_left
}

# IPv6 has a table as large as IPv4's once it is translated.
ipv6_on() {
	trap gone EXIT
	printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8]' >4.yaml
	masq attach -q eth0 --config 4.yaml
	traffic pod1 who $FAR_ADDR $PORT --sport 40100 >/dev/null
	masq reload -q --config base.yaml 2>err || fail "$(cat err)"
	is "source" "$(word source "$(traffic pod2 who $FAR_ADDR6 $PORT)")" \
		$NODE_ADDR6
	is health "$(get .health)" '"ok"'
	[ ! -e "$MASQBPF_PIN_DIR/next" ] || fail "next is left"
}

# By `cidr`, where the slots end.
cidr_growth() {
	begun "$(lab_hook)" base.yaml masq
	{
		echo "10.0.0.0/8"
		echo "$KEPT/32"
		echo "203.0.113.0/24"
		seq 1100 | awk '{ printf "198.%d.%d.0/24 masquerade\n",
			20 + $1 / 256, $1 % 256 }'
	} >./list
	masq cidr set list -q >out 2>err || masq cidr set list --yes >out 2>err ||
		fail "$(cat err)"
	succeeded
	ended
}

# By the agent's own file, and by a command while it runs: it notices.
agent_growth() {
	trap live_end EXIT
	cp base.yaml agent.yaml
	agent_begin "$MASQ_NEW" "$PWD/agent.yaml"
	live
	sleep 3
	on
	long masq >before
	COUNTED=$(counts masq)
	sized agent.yaml 1500 'maxFlows: 50000'
	lab_wait 60 limit_is 50000 || fail "$(cat agent.log)"
	lab_wait 20 has_prefix 10.3.5.0/24 || fail "$(cat agent.log)"
	on
	is "limit in its metrics" "$(metric masqbpf_flows_limit)" 50000
	# somebody else's
	sized other.yaml 2900 'maxFlows: 60000'
	masq reload -q --config other.yaml 2>err || fail "$(cat err)"
	is "limit in its metrics" "$(metric masqbpf_flows_limit)" 60000
	is "generation in its metrics" "$(metric masqbpf_config_generation)" \
		"$(get .generation)"
	ready || fail "not ready: $(lab_in node curl -s http://127.0.0.1:9911/readyz)"
	on
	# and it goes on to work on what is in force now
	sized agent.yaml 1200 'maxFlows: 60000'
	lab_wait 60 lacks_prefix 10.12.9.0/24 || fail "$(cat agent.log)"
	on
	long masq >after
	kept_all before after
	not_less "packets" "$COUNTED" "$(counts masq)"
	ended
	agent_end
}

limit_is() {
	[ "$(get .flows_max)" = "$1" ]
}

lacks_prefix() {
	! has_prefix "$1"
}

# Programs of another build: as if these were.
other_programs() { # HOOK
	[ "$1" = tc ] || [ "$(lab_hook)" = tcx ] || skip "no TCX"
	begun "$1" base.yaml masq
	another_build
	programs >programs.before
	masq attach eth0 2>err || fail "$(cat err)"
	grep -q 'programs of version .* are in place' err || fail "$(cat err)"
	[ "$1" = tc ] || [ "$(programs)" != "$(cat programs.before)" ] ||
		fail "the programs are the same"
	succeeded
	masq attach eth0 2>err || fail "$(cat err)"
	! grep -q 'programs of version' err || fail "again: $(cat err)"
	masq attach --fast-path eth0 2>err || fail "$(cat err)"
	grep -q 'fast path: [1-9]' err || fail "$(cat err)"
	succeeded
	ended
	masq detach -q --all
	nothing_left
}

another_build() {
	"$PYTHON" - "$MASQBPF_PIN_DIR/masq_meta" \
		"$LAB_ROOT/include/masqbpf.h" <<-'EOT'
		import json, re, subprocess, sys
		def run(*words):
		    return subprocess.run(["bpftool", "-j", "map", *words],
		        check=True, capture_output=True, text=True).stdout
		pin = sys.argv[1]
		info = json.loads(run("show", "pinned", pin))
		value = json.loads(run("lookup", "pinned", pin, "key",
		    "0", "0", "0", "0"))["value"]
		value = [int(byte, 16) for byte in value]
		# struct masq_meta ends with `programs` and the keys of the hash
		header = open(sys.argv[2]).read()
		keys = int(re.search(r"MASQ_HASH_KEYS (\d+)", header)[1])
		at = len(value) - 8 * keys - 8
		value[at] ^= 0xff
		run("update", "pinned", pin, "key", "0", "0", "0", "0", "value",
		    *map(str, value))
	EOT
}

# The other direction, and what has to be taken away.
older_binary() {
	local status=0
	trap gone EXIT
	masq attach -q eth0 --config base.yaml
	find "$MASQBPF_PIN_DIR" | sort >pins
	programs >programs.before
	for command in "attach eth0" "status" "reload" "cidr list" \
		"agent --config $PWD/base.yaml eth0"; do
		status=0
		# shellcheck disable=SC2086 # words
		old $command >out 2>err || status=$?
		is "$command: exit code" $status 1
		is "$command: lines ($(cat err))" "$(wc -l <err)" 1
		grep -q 'layout 4' err || fail "$command: $(cat err)"
	done
	is pins "$(find "$MASQBPF_PIN_DIR" | sort)" "$(cat pins)"
	is programs "$(programs)" "$(cat programs.before)"
	is source "$(word source "$(traffic pod1 who $FAR_ADDR $PORT)")" $NODE_ADDR
	old detach -q --all 2>err || fail "$(cat err)"
	is "our programs" "$(lab_ours eth0)" 0
	note "old detach leaves: $(find "$MASQBPF_PIN_DIR" -mindepth 1 \
		-printf '%f ' 2>/dev/null || true)"
	# which is in nobody's way
	masq attach -q eth0 --config base.yaml
	is health "$(get .health)" '"ok"'
	masq detach -q --all
	nothing_left
	old attach -q eth0 --config base.yaml
	masq status >out 2>err && fail "status of layout 3"
	grep -q 'layout 3' err || fail "$(cat err)"
	masq detach -q --all
	nothing_left
}

# --- killed, refused, at once -----------------------------------------------

SEED=${UPGRADE_SEED:-${TEST_SEED:-$RANDOM}}
POINTS=${UPGRADE_POINTS:-2}
SECONDS_MAX=${UPGRADE_SECONDS:-86400}

# some flows, cheap enough to be there at every point
few() {
	new_base
	talker tcp pod1 $FAR_ADDR $PORT --sport $((BASE + 0))
	talker host node $FAR_ADDR $PORT --sport $((BASE + 0))
	talker udp pod2 $FAR_ADDR $PORT --proto udp --sport $((BASE + 1))
	talker kept pod2 $KEPT $PORT --sport $((BASE + 2))
	talker in far $POD $PORT --sport $((BASE + 3))
	LEAKS=$(leaks)
	RESETS=$(resets pod1 pod2 far)
}

few_on() {
	local name
	for name in "${TALKERS[@]}"; do
		said "$name"
		is "$1: $name: who it was ($(paste -sd, "$name.out"))" \
			"$(sort -u "$name.out" | wc -l)" 1
		! grep -q none "$name.out" || fail "$1: $name: unanswered"
	done
	is "$1: resets" "$(resets pod1 pod2 far)" "$RESETS"
	is "$1: leaks" "$(leaks)" "$LEAKS"
}

few_end() {
	local name
	for name in "${TALKERS[@]}"; do
		lab_kill KILL "${TALK_PID[$name]}"
		lab_wait 10 lab_gone "${TALK_PID[$name]}"
		fd=${TALK_FD[$name]}
		exec {fd}>&-
		rm -f "$name.in" "$name.out"
	done
	TALKERS=()
	masq detach -q --all
	nothing_left
}

# what KIND: what there is, and what is then done to it
prepared() {
	case $1 in
	layout) old attach -q eth0 --hook "$HOOK" --config base.yaml ;;
	size | programs) masq attach -q eth0 --hook "$HOOK" --config base.yaml ;;
	esac
	sized big.yaml 1500
	few
	[ "$1" != programs ] || another_build
}

words_of() {
	case $1 in
	layout | programs) echo attach -q eth0 ;;
	size) echo reload -q --config big.yaml ;;
	esac
}

# points KIND SET [WHAT]: "NAME N" of the calls to be met
points() {
	local words
	read -ra words <<<"$(words_of "$1")"
	prepared "$1"
	lab_in node strace -f -qq -o calls.log -e signal=none -e trace="$2" \
		"$MASQBPF" "${words[@]}"
	few_end
	if [ "$POINTS" = 0 ]; then
		# shellcheck disable=SC2086 # words
		"$PYTHON" "$LAB_LIB/kinds.py" calls.log "$3" ${2//,/ } |
			shuf --random-source=<(yes "$SEED") |
			awk -v shard="${UPGRADE_SHARD:-0/1}" '
				BEGIN { split(shard, at, "/") }
				NR % at[2] == at[1]' >points
		return
	fi
	awk -v points="$POINTS" -v seed="$SEED" '
		{ sub(/^[0-9]+ +/, "") }
		!/^[a-z_0-9]+\(/ { next }
		{ line = $0; sub(/\(.*/, ""); seen[$0]++
		  # of a take-over: from the lock on, until it goes
		  if ($0 == "flock") begun = 1
		  if (begun && $0 != "exit_group" && $0 != "munmap" &&
		      $0 != "brk" && $0 != "mmap" && $0 != "close")
			call[n++] = $0 " " seen[$0] }
		END { srand(seed)
		      for (i = 0; i < points && i < n; i++)
			print call[int(n * (i + rand()) / points)] }' calls.log |
		uniq | shuf --random-source=<(yes "$SEED") >points
}

# healed WHERE: the next one makes it whole
healed() {
	local status=0
	few_on "$1: before it is healed"
	masq status >out 2>err || status=$?
	[ $status -eq 0 ] || {
		is "$1: lines of status ($(cat err))" "$(wc -l <err)" 1
		grep -q attach err || fail "$1: status says: $(cat err)"
	}
	read -ra words <<<"$(words_of "$2")"
	masq "${words[@]}" 2>err || fail "$1: not healed: $(cat err)"
	is "$1: what is not ok" \
		"$(get '[.verdict[] | select(.level != "ok") | .text]')" '[]'
	# libbpf asks the kernel whether programs have names, and takes a refusal
	# for a no
	is "$1: programs" "$(lab_programs eth0 |
		grep -cE 'masq_(in|e)gress|^[0-9]+ $|0x6d617371 :')" 2
	[ ! -e "$MASQBPF_PIN_DIR/next" ] || fail "$1: next is left"
	few_on "$1: healed"
	[ "$2" != size ] || has_prefix 10.5.219.0/24 ||
		fail "$1: a prefix is not there"
}

killed() { # KIND HOOK
	local name n status words met=0 killed=0 until=$((EPOCHSECONDS + SECONDS_MAX))
	HOOK=$2
	[ "$HOOK" = tc ] || [ "$(lab_hook)" = tcx ] || skip "no TCX"
	trap live_end EXIT
	points "$1" all changes
	read -ra words <<<"$(words_of "$1")"
	while [ $EPOCHSECONDS -lt "$until" ] && read -r name n <&3; do
		met=$((met + 1))
		prepared "$1"
		status=0
		lab_in node strace -f -o /dev/null -e trace="$name" \
			-e "inject=$name:signal=KILL:when=$n" \
			"$MASQBPF" "${words[@]}" 2>err || status=$?
		[ $status -ne 137 ] || killed=$((killed + 1))
		if [ $((met % 4)) = 3 ]; then # it can be taken away, too
			few_on "killed at $name $n"
		else
			healed "killed at $name $n" "$1"
		fi
		few_end
	done 3<points
	note "seed $SEED, $met of $(wc -l <points) points, killed at $killed"
	[ $killed -gt 0 ] || fail "never killed"
}

refused() { # KIND HOOK
	local name n status words met=0 failed=0 until=$((EPOCHSECONDS + SECONDS_MAX))
	HOOK=$2
	[ "$HOOK" = tc ] || [ "$(lab_hook)" = tcx ] || skip "no TCX"
	trap live_end EXIT
	points "$1" bpf,socket,sendto,sendmsg,recvmsg,renameat,unlinkat,mkdirat,openat,flock \
		calls
	read -ra words <<<"$(words_of "$1")"
	while [ $EPOCHSECONDS -lt "$until" ] && read -r name n <&3; do
		met=$((met + 1))
		prepared "$1"
		status=0
		lab_in node strace -f -o /dev/null -e trace="$name" \
			-e "inject=$name:error=ENOMEM:when=$n" \
			"$MASQBPF" "${words[@]}" 2>err || status=$?
		if [ $status -ne 0 ]; then
			failed=$((failed + 1))
			# 2: the file could not be read
			[ $status -le 2 ] ||
				fail "$name $n: exit code $status: $(cat err)"
			[ -s err ] || fail "$name $n: no word"
		fi
		healed "refused $name $n" "$1"
		few_end
	done 3<points
	note "seed $SEED, $met of $(wc -l <points) points, $failed refusals end it"
}

# A migration that the old version began: what netfilter translates goes on to
# be netfilter's, through a take-over and a growth, until the new one ends it.
migrating() {
	trap migrated EXIT
	config migrate.yaml 'masqueradeCIDRs: [203.0.113.0/24]'
	lab_in node iptables-nft -t nat -N IP-MASQ-AGENT
	lab_in node iptables-nft -t nat -A POSTROUTING -m addrtype \
		! --dst-type LOCAL -j IP-MASQ-AGENT
	lab_in node iptables-nft -t nat -A IP-MASQ-AGENT -d 10.0.0.0/8 -j RETURN
	lab_in node iptables-nft -t nat -A IP-MASQ-AGENT -d $KEPT -j RETURN
	lab_in node iptables-nft -t nat -A IP-MASQ-AGENT -j MASQUERADE
	new_base
	talker before pod1 $FAR_ADDR $PORT --sport $((BASE + 0))
	talker beforekept pod2 $KEPT $PORT --sport $((BASE + 1))
	old migrate eth0 --no-wait --config migrate.yaml >out 2>err ||
		fail "$(cat out err)"
	talker during pod2 $FAR_ADDR $PORT --sport $((BASE + 2))
	LEAKS=$(leaks)
	RESETS=$(resets pod1 pod2 far)
	masq attach -q eth0 2>err || fail "$(cat err)"
	few_on "taken over"
	[ "$(get '[.verdict[] | select(.level != "ok") | .what]')" = \
		'["migration"]' ] || fail "$(get .verdict)"
	masq history | grep -c migrate.yaml >/dev/null || fail "$(masq history)"
	sized big.yaml 1500
	masq reload -q --config big.yaml 2>err || fail "$(cat err)"
	talker after pod1 $FAR_ADDR $PORT --sport $((BASE + 3))
	few_on "grown"
	! masq migrate --finish --no-wait >out 2>&1 ||
		fail "finished while netfilter translates: $(cat out)"
	few_on "not finished"
	lab_kill KILL "${TALK_PID[before]}"
	lab_wait 10 lab_gone "${TALK_PID[before]}"
	unset "TALKERS[0]"
	masq migrate --finish >out 2>&1 || fail "$(cat out)"
	few_on "finished"
	is "the table" "$(lab_in node nft list tables | grep -c masqbpf ||
		true)" 0
	is health "$(get .health)" '"ok"'
	few_end
}

migrated() {
	live_end
	lab_in node nft delete table inet masqbpf_migrate 2>/dev/null || true
	lab_in node iptables-nft -t nat -F
	lab_in node iptables-nft -t nat -X
}

at_once() {
	local one status=0
	HOOK=$(lab_hook)
	trap live_end EXIT
	prepared layout
	masq attach -q eth0 2>err.one &
	one=$!
	agent_begin "$MASQ_NEW" "$PWD/base.yaml"
	wait $one || fail "attach: $(cat err.one)"
	is health "$(get .health)" '"ok"'
	[ "$(cat err.one agent.log | grep -c 'taken over from version' || true)" -le 1 ] ||
		fail "taken over twice"
	few_on "both"
	agent_end
	few_end
}

only=${UPGRADE_ROWS:-.}
when() { # NAME FUNCTION...
	[[ ! $1 =~ $only ]] || row "$@"
}

have_old() {
	masq_of_revision $REVISION || fail "$(masq_of_revision $REVISION)"
}
row "the program of $REVISION" have_old
row_ok || {
	tap_done
	exit
}
masq_of_revision $REVISION
for hook in tcx tc; do
	when "layout 3 by attach, $hook" layout3 $hook
done
when "layout 3 by the agent" layout3_agent
when "layout 3 while its agent goes on" layout3_old_agent_stays
when "another size by reload: prefixes, flows, counts" growth
when "a pod that sends before attach" before_attach
when "another hook, and back" other_hook
when "IPv6 by reload" ipv6_on
when "another size by cidr" cidr_growth
when "another size by the agent's file, and beside it" agent_growth
for hook in tcx tc; do
	when "programs of another build, the fast path, $hook" \
		other_programs $hook
done
when "down again, and away" older_binary
when "attach and agent at once" at_once
when "a migration that the older one began" migrating
for hook in tcx tc; do
	for kind in layout size programs; do
		when "$kind, $hook: killed at any call" killed $kind $hook
		when "$kind, $hook: a call that fails once" refused $kind $hook
	done
done
tap_done
