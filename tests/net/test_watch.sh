#!/usr/bin/env bash
# masqbpf watch: events as they happen, in every format; several who watch at
# once; bursts that are too much, and saying so.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/operator.sh"

# watch_start NAME ARG...: waits until it listens; prints to NAME and NAME.err
watch_start() {
	lab_spawn node "$MASQBPF" watch "${@:2}" >"$1" 2>"$1.err"
	WATCH=$LAB_PID
	lab_wait 5 listens "$WATCH"
}

# The map: for each listener until when, its process, what it lost.
board() {
	bpftool -j map lookup pinned "$MASQBPF_PIN_DIR/masq_watch" \
		key 0 0 0 0 | "$PYTHON" -c '
import json, struct, sys
value = bytes(int(byte, 16) for byte in json.load(sys.stdin)["value"])
for until, pid, lost in struct.iter_unpack("=IIQ", value):
	print(until, pid, lost)'
}

listens() { # PID
	board | grep -Eq "^[1-9][0-9]* $1 "
}

watch_end() { # [PID]
	kill "${1:-$WATCH}"
	lab_wait 5 lab_gone "${1:-$WATCH}"
}

events() { # NAME COUNT
	[ "$(jq -s length "$1")" -ge "$2" ]
}

shows_events() {
	back
	watch_start watched --json
	connect pod1 $FAR_ADDR
	masq reload --config new.yaml --yes
	connect pod1 $FAR_ADDR
	masq flush
	lab_wait 5 events watched 5
	watch_end
	is events "$(jq -rs 'map(.event + " " + (.action // "")) | sort |
		join(",")' watched)" \
		"end keep,end masquerade,new keep,new masquerade,policy "
	is "what flipped" "$(jq -rs '.[] | select(.event == "policy") |
		.flips[0].range' watched)" 172.16.0.0/12
	is "as whom" "$(jq -rs '.[] | select(.event == "new" and
		.action == "masquerade") | .xlat.src' watched)" $NODE_ADDR
	is "who listens afterwards" "$(board | awk '$1')" ""
}

# packets of an end: those that flows showed just before
counts_both_directions() {
	local want
	back
	watch_start watched --json --events end
	traffic pod1 who $FAR_ADDR $PORT --sport 40010
	want=$(masq flows --port $PORT --json |
		jq -c '.[] | [.egress, .ingress]')
	masq flush
	lab_wait 5 events watched 1
	watch_end
	is "egress and ingress" \
		"$(jq -c '[.egress, .ingress]' watched)" "$want"
	jq -e '.ingress.packets > 0' watched
}

# That of the last packet, not of when its record went.
has_rested() {
	masq flows --port $PORT --json |
		jq -e '.[0] | .idle_s >= 2 and .age_s >= .idle_s' >/dev/null
}

says_when_it_ended() {
	back
	watch_start watched --json --events end
	traffic pod1 who $FAR_ADDR $PORT --sport 40012
	lab_wait 20 has_rested
	masq flush
	lab_wait 5 events watched 1
	watch_end
	jq -e '.orig.sport == 40012 and .idle_s >= 1.5 and
		.age_s >= .idle_s' watched >/dev/null || fail "$(cat watched)"
}

# Asleep it has all three to tell: in the order in which they were.
in_order() {
	local start try slow=1
	for try in 1 2 3 4 5; do
		back
		watch_start watched --json --events new,policy
		start=$(date +%s%N)
		kill -STOP "$WATCH"
		connect pod1 $FAR_ADDR 81
		masq reload -q --config new.yaml --yes
		connect pod1 $FAR_ADDR 82
		kill -CONT "$WATCH"
		# later it has lost its place, and some of them
		slow=$(($(date +%s%N) - start > 2000000000))
		[ $slow -eq 1 ] || break
		watch_end
		note "$try: too slow"
	done
	[ $slow -eq 0 ] || skip "this machine needs over two seconds for it"
	lab_wait 5 events watched 3
	watch_end
	is order "$(jq -rs '[.[] | .orig.dport // .event | tostring] |
		.[:3] | join(" ")' watched)" "81 policy 82"
}

shows_text() {
	back
	watch_start watched
	traffic pod1 who $FAR_ADDR $PORT --sport 40011
	masq flush
	lab_wait 5 grep -q ' end ' watched
	watch_end
	grep -Eqx "[0-9:.]{12} new    masquerade tcp   $POD:40011 -> $FAR_ADDR:$PORT as $NODE_ADDR:40011 by 0.0.0.0/0" \
		watched || fail "$(cat watched)"
	grep -Eqx "[0-9:.]{12} end    masquerade tcp   $POD:40011 -> $FAR_ADDR:$PORT as $NODE_ADDR:40011 by 0.0.0.0/0 after [0-9]+s, out [0-9]+ B, in [0-9]+ B" \
		watched || fail "$(cat watched)"
}

filters() {
	back
	watch_start watched --json --events new --port 81 --proto tcp
	connect pod1 $FAR_ADDR
	connect pod1 $FAR_ADDR 81
	lab_wait 5 events watched 1
	watch_end
	is ports "$(jq -s -c '[.[].orig.dport]' watched)" '[81]'
	is "no such event" "$(status_of masq watch --events now)" 2
	is "no such format" "$(status_of masq watch --format aws)" 2
	watch_start counted --count 1 --events policy --json
	masq reload --config new.yaml --yes
	lab_wait 5 lab_gone "$WATCH"
	is "counted" "$(jq -r .event counted)" policy
}

# send_rst NS DEST SPORT: belongs to no flow
send_rst() {
	lab_in "$1" "$PYTHON" -c '
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
s.sendto(struct.pack("!HHIIBBHHH", int(sys.argv[2]), 443, 1, 1, 0x50, 4,
		     0, 0, 0), (sys.argv[1], 0))' "$2" "$3"
}

is_line() { # EXTENDED-REGEX: the one line that was watched
	is lines "$(wc -l <watched)" 1
	grep -Eqx "$1" watched || fail "$(cat watched)"
}

shows_drops() {
	back
	watch_start watched --events drop --format vpc-flow-log
	send_rst pod1 $FAR_ADDR 1234
	lab_wait 5 grep -q . watched
	watch_end
	is_line "2 - - $POD $FAR_ADDR 1234 443 6 1 - [0-9]{10} [0-9]{10} REJECT OK"
}

# Fourteen fields as in the cloud's log: a line a direction, addresses as on
# the wire; what was kept shows the pod, what was not answered has one line.
is_a_flow_log() {
	back
	watch_start watched --format vpc-flow-log
	traffic pod1 who $FAR_ADDR $PORT --sport 40009
	masq flush
	lab_wait 5 grep -q "^2 - - $FAR_ADDR $NODE_ADDR 443 40009 6" watched
	masq reload --config new.yaml --yes
	lab_in pod1 "$PYTHON" -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 40012))
s.sendto(b"12345", ("172.30.1.1", 7))'
	masq flush
	lab_wait 5 grep -q ' 40012 ' watched
	watch_end
	is lines "$(wc -l <watched)" 3
	is fields "$(awk '{ print NF }' watched | sort -u)" 14
	grep -Eqx "2 - - $NODE_ADDR $FAR_ADDR 40009 443 6 [0-9]+ [0-9]+ [0-9]{10} [0-9]{10} ACCEPT OK" \
		watched || fail "$(cat watched)"
	grep -Eqx "2 - - $POD 172.30.1.1 40012 7 17 1 33 [0-9]{10} [0-9]{10} ACCEPT OK" \
		watched || fail "$(cat watched)"
}

# --- several ----------------------------------------------------------------

two_see_the_same() {
	local one two
	back
	watch_start one --json --events new,end
	one=$WATCH
	watch_start two --json --events new,end
	two=$WATCH
	traffic pod1 who $FAR_ADDR $PORT --sport 40013
	masq flush
	lab_wait 5 events one 2
	lab_wait 5 events two 2
	watch_end $one
	# and the other goes on
	connect pod1 $FAR_ADDR 82
	lab_wait 5 events two 3
	watch_end $two
	is "of both" "$(head -2 two | jq -c 'del(.time)')" \
		"$(jq -c 'del(.time)' one)"
	# each has set its clock by itself, to a part of a millisecond
	is "times apart" "$(jq -s '[.[].time] | [.[2] - .[0], .[3] - .[1]] |
		map(select(. > 0.0021 or . < -0.0021))' one <(head -2 two) |
		tr -d ' \n')" "[]"
}

four_watch() {
	local i
	WATCHERS=()
	for i in 1 2 3 4; do
		watch_start watched$i
		WATCHERS+=("$WATCH")
	done
}

a_fifth_hears_who_watches() {
	local pid
	four_watch
	is "a fifth" "$(status_of masq watch --seconds 1)" 1
	is lines "$(wc -l <out)" 1
	grep -q "4 others watch already" out
	for pid in "${WATCHERS[@]}"; do
		grep -qw "$pid" out
	done
	watch_end "${WATCHERS[2]}"
	masq watch --seconds 1
	for pid in 0 1 3; do
		watch_end "${WATCHERS[$pid]}"
	done
}

killed_ones_do_not_count() {
	local pid
	four_watch
	for pid in "${WATCHERS[@]}"; do
		kill -KILL "$pid"
	done
	lab_wait 8 masq watch --seconds 1
}

one_that_slept_hears_of_it() {
	local pid
	four_watch
	kill -STOP "${WATCHERS[0]}"
	lab_wait 8 masq watch --seconds 1 # took its place, and left it
	watch_start another
	kill -CONT "${WATCHERS[0]}"
	lab_wait 5 lab_gone "${WATCHERS[0]}"
	grep -q "process $WATCH has taken this one's place" watched1.err
	for pid in "${WATCHERS[@]:1}" "$WATCH"; do
		watch_end "$pid"
	done
}

ends_with_the_dataplane() {
	watch_start watched
	masq detach --all
	lab_wait 5 lab_gone "$WATCH"
	grep -q detached watched.err
	masq attach eth0 --config old.yaml
}

# --- too much ---------------------------------------------------------------

# burst FIRST LAST: new flows, one to each of these ports
burst() {
	lab_in pod1 "$PYTHON" -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 40014))
for port in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
	s.sendto(b"", ("172.30.12.110", port))' "$1" "$2"
}

happened() { # NAME: events that it shows or says it lost
	jq -s 'map(if .event == "lost" then .count else 1 end) | add' "$1"
}

told_all() { # NAME COUNT
	[ "$(happened "$1")" -eq "$2" ]
}

# A listener that does not come: its ring holds 4096 events, and from half of
# that on one in eight. Shown and lost together are what happened, and what is
# shown reaches to the end of the burst. Each listener has its own count.
a_burst_is_sampled_and_said() {
	local asleep awake shown
	back
	watch_start awake --events new --json
	awake=$WATCH
	watch_start asleep --events new --json
	asleep=$WATCH
	kill -STOP "$asleep"
	burst 1 6000
	kill -CONT "$asleep"
	lab_wait 5 told_all asleep 6000
	lab_wait 5 told_all awake 6000
	watch_end "$asleep"
	watch_end "$awake"
	shown=$(grep -c '"new"' asleep)
	note "$shown of 6000 shown, $(grep -c '"new"' awake) by another"
	[ "$shown" -ge 2048 ]
	[ "$shown" -lt 4096 ]
	jq -se 'map(.orig.dport // 0) | max > 5900' asleep
	grep -q 'came too fast and are not shown: what is shown is a sample' \
		asleep.err
}

a_flow_log_says_it_too() {
	back
	watch_start watched --events end --format vpc-flow-log
	kill -STOP "$WATCH"
	burst 1 6000
	masq flush
	kill -CONT "$WATCH"
	lab_wait 5 grep -Eqx '2( -){9} [0-9]{10} [0-9]{10} - SKIPDATA' watched
	watch_end
}

# More events than its reader can take, without an end: it goes on to renew its
# place, says what it lost, and ends when asked.
a_flood_is_survived() {
	local flood before
	back
	mkfifo slow
	(exec "$PYTHON" -c '
import os, time
while os.read(0, 4096):
	time.sleep(0.02) # a slow reader is what this is about' <slow) &
	watch_start slow --events new,end --json
	before=$(board | awk "\$2 == $WATCH { print \$1 }")
	lab_spawn pod1 "$PYTHON" -c '
import socket
while True:
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	for port in range(1, 60000):
		s.sendto(b"", ("172.30.12.110", port))'
	flood=$LAB_PID
	lab_wait 30 renewed "$before"
	kill "$flood"
	watch_end
	wait
	grep -q 'came too fast' slow.err
	is "its place" "$(grep 'was stopped' slow.err || true)" ""
}

# A reload makes the dataplane anew, in another size.
another_size_is_watched_on() {
	back
	watch_start watched --json --events new,policy
	connect pod1 $FAR_ADDR
	{
		cat new.yaml
		echo 'maxFlows: 40000'
	} >larger.yaml
	masq reload --config larger.yaml --yes
	is maxFlows "$(masq status --json | jq .flows_max)" 40000
	lab_wait 5 events watched 2
	connect pod2 $FAR_ADDR
	lab_wait 5 events watched 3
	watch_end
	is events "$(jq -rs 'map(.event + " " + (.action // "")) |
		join(",")' watched)" "new masquerade,policy ,new keep"
	is errors "$(cat watched.err)" ""
}

renewed() { # SECOND: its place lasts five seconds more than then
	[ "$(board | awk "\$2 == $WATCH { print \$1 }")" -ge $(($1 + 5)) ]
}

row "new, end, policy" shows_events
row "packets and bytes of both directions" counts_both_directions
row "when it ended: with its last packet" says_when_it_ended
row "in the order of time" in_order
row "as text" shows_text
row "filters, --events, --count" filters
row "drops" shows_drops
row "a VPC flow log" is_a_flow_log
row "two at once see the same" two_see_the_same
row "a fifth hears in one line who watches" a_fifth_hears_who_watches
row "killed ones do not count" killed_ones_do_not_count
row "one that slept too long hears of it" one_that_slept_hears_of_it
row "ends with the dataplane" ends_with_the_dataplane
row "goes on in another size" another_size_is_watched_on
row "a burst is sampled, and what was lost said" a_burst_is_sampled_and_said
row "a flow log says it, too" a_flow_log_says_it_too
row "a flood is survived" a_flood_is_survived
tap_done
