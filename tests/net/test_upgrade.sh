#!/usr/bin/env bash
# A dataplane takes the place of another one under traffic: an older layout, of
# the revision that had it last; other sizes; other programs. Hundreds of
# connections live meanwhile, and none is reset, changes its port or loses a
# byte; what far sees is the node's address alone.
#
# UPGRADE_COUNT (default 300): connections of IPv4; a third as many from far
# to a pod, kept, and of IPv6. UPGRADE_ROWS: only rows whose name matches.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/steady.sh"
. "$(dirname "$0")/../lib/revision.sh"

REVISION=2bd5a44
POD=10.44.14.15
KEPT=172.30.99.1
PORT=443
COUNT=${UPGRADE_COUNT:-300}
MASQ_NEW=$MASQBPF

lab_begin
chmod 755 "$LAB_DIR"
lab_node_far
lab_pods 2
lab_ipv6
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_in far ip route add fd00:44::/64 via $NODE_ADDR6
lab_serve far $PORT
lab_serve far $PORT $FAR_ADDR6
lab_serve pod1 $PORT
lab_serve node $PORT
cd "$LAB_DIR"
for ns in pod1 pod2 node far; do
	lab_in $ns sysctl -qw net.ipv4.ping_group_range="0 2147483647"
done

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

config() { # FILE [LINE...]
	local file=$1
	shift
	printf '%s\n' "nonMasqueradeCIDRs: [10.0.0.0/8, $KEPT/32]" \
		'enableIPv6: true' "$@" >"$file"
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

# nothing of it anywhere: hooks, pins
nothing_left() {
	is "our programs" "$(lab_ours eth0)" 0
	[ ! -e "$MASQBPF_PIN_DIR" ] ||
		fail "pins are left: $(ls "$MASQBPF_PIN_DIR")"
}

resets() { # NS...: RST that were sent, and connections that one ended
	local ns
	for ns; do
		lab_in "$ns" awk '$1 == "Tcp:" && ++n == 2 {
			print $9 + $15 }' /proc/net/snmp
	done | paste -sd+ | bc
}

# --- traffic that lives ----------------------------------------------------

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
	TALK_PID[$name]=$LAB_PID
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
	lab_in far nft reset rules table inet leak >/dev/null 2>&1 ||
		lab_in far nft reset counters >/dev/null 2>&1 || true
	LEAKS=$(leaks)
	RESETS=$(resets pod1 pod2 far node)
	begin_steady v4 pod1 "$COUNT"
	STEADY_TO=$FAR_ADDR6 begin_steady v6 pod2 $((COUNT / 3))
	STEADY_TO=$KEPT begin_steady kept pod2 $((COUNT / 3))
	STEADY_TO=$POD begin_steady inbound far $((COUNT / 3))
	STEADY_TO=$NODE_ADDR begin_steady tonode far 20
	begin_steady bynode node 20
	begin_steady short pod2 1 --short
	STREAM_FIRST=$((1 << 18)) stream_start pod1 $FAR_ADDR $PORT \
		--chunk 8192 --interval 0.02
	# A pod has the tuple first: the node's own has to change its port.
	talker podfirst pod1 $FAR_ADDR $PORT --sport 41001
	talker nodesecond node $FAR_ADDR $PORT --sport 41001
	talker udp pod1 $FAR_ADDR $PORT --proto udp --sport 41002
	talker udp2 pod2 $FAR_ADDR $PORT --proto udp --sport 41002
	talker udpkept pod2 $KEPT $PORT --proto udp --sport 41003
	talker udpin far $POD $PORT --proto udp --sport 41004
	talker udp6 pod1 $FAR_ADDR6 $PORT --proto udp --sport 41005
	talker ping pod1 $FAR_ADDR 0 --proto icmp --sport 4106
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
		is "$name: who it was ($(paste -sd, "$name.out"))" \
			"$(sort -u "$name.out" | wc -l)" 1
		! grep -q none "$name.out" ||
			fail "$name: unanswered"
	done
	is "podfirst's port" "$(head -n 1 podfirst.out)" "$NODE_ADDR 41001"
	[ "$(head -n 1 nodesecond.out)" != "$NODE_ADDR 41001" ] ||
		fail "the node's own flow has the pod's port"
}

# ended: all of it was whole, and its ends are no resets
ended() {
	local name line want exchanges=0
	answered
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
	is resets "$(resets pod1 pod2 far node)" "$RESETS"
	is leaks "$(leaks)" "$LEAKS"
	note "$exchanges exchanges, $(($(word got "$STREAM_LINE") >> 20)) MiB"
}

# live_end: whatever becomes of the row
live_end() {
	local name
	for name in "${STEADY[@]}"; do
		touch "$name.stop"
		kill -KILL "$(cat "$name.pid")" 2>/dev/null || true
	done
	[ -z "${STREAM:-}" ] || touch "$STREAM/stop"
	for name in "${TALKERS[@]}"; do
		kill -KILL "${TALK_PID[$name]}" 2>/dev/null || true
		rm -f "$name.in" "$name.out"
	done
	gone
	# what the row has closed has to be over before the next one begins
	for name in pod1 pod2 far node; do
		lab_in $name ss -K state time-wait >/dev/null 2>&1 || true
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
		       or .orig.sport == 41002) |
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
	"${HISTORY%]}"*) ;;
	*) fail "history: $HISTORY, now $(history_of masq)" ;;
	esac
	masq cidr list | grep -q 203.0.113.0/24 || fail "a prefix is gone"
	[ ! -e "$MASQBPF_PIN_DIR/next" ] || fail "next is left"
	is health "$(get .health)" '"ok"'
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
when "layout 3 by attach, TCX" layout3 tcx
when "layout 3 by attach, tc" layout3 tc
tap_done
