#!/usr/bin/env bash
# The guard: the seed's incident ends itself, or every screen tells of it; a
# command with --guard; what turns no policy back.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/agent.sh"
. "$(dirname "$0")/../lib/talks.sh"

POD=10.44.14.15
PORT=443
URL=http://127.0.0.1:9842
OLD=10.0.0.0/8
WIDE="10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 192.0.0.0/24
	192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24
	203.0.113.0/24 240.0.0.0/4"

lab_agent $POD
lab_pod pod2 10.44.14.16
lab_ipv6
lab_reject $POD_NET
LOG=$LAB_DIR/log
CONF=$LAB_DIR/conf
CONFIG=$CONF/config.yaml
mkdir "$CONF"
# what a runtime notes of pod1 is root's alone
export MASQBPF_CNI_RESULTS=$LAB_DIR/results
mkdir -m 700 "$MASQBPF_CNI_RESULTS"
lab_cni_file bridge cart-0 $POD fd00:44::15 pod1
chmod 600 "$MASQBPF_CNI_RESULTS/cart-0"
echo 0 >"$LAB_DIR/agent"

# --- helpers ----------------------------------------------------------------

# list ACTION CIDR...: the agent's file, as a ConfigMap is changed: by a rename
list() {
	local action=$1 cidr
	shift
	{
		echo "guard: {action: $action}"
		echo "podCIDRs: [10.44.0.0/16, \"fd00:44::/64\"]"
		echo nonMasqueradeCIDRs:
		for cidr; do
			echo "- $cidr"
		done
	} >"$CONFIG.new"
	mv "$CONFIG.new" "$CONFIG"
}

agent() {
	: >"$LOG"
	lab_spawn node "$MASQBPF" agent eth0 --config "$CONFIG" "$@" 2>>"$LOG"
	echo "$LAB_PID" >"$LAB_DIR/agent"
	lab_wait 20 ready || fail "$(cat "$LOG")"
}

get() {
	lab_in node curl -sS --max-time $((5 * TEST_SLOW)) "$URL$1"
}

# anew ACTION CIDR...: nothing of the row before is left, and this is in force
anew() {
	quiet
	stop KILL
	masq detach --all >/dev/null 2>&1 || true
	list "$@"
}

generation() {
	masq status --json | jq -r .generation
}

generation_is() {
	[ "$(generation)" = "$1" ]
}

# more_answered POD: a connection has been answered since
more_answered() {
	[ "$(wc -l <"$LAB_DIR/knock-$1")" -gt "$2" ]
}

broken() {
	[ "$(masq status --json | jq -r '.guard.broken | join(" ")')" = "$1" ]
}

says() { # FILE-OR-TEXT PATTERN
	grep -qE "$2" <<<"$1" || fail "no word of '$2': $1"
}

# goes_wide ACTION [DEST]: two pods talk, one there as well, and then the agent
# is given the wide list
goes_wide() {
	# shellcheck disable=SC2086 # a list
	anew "$1" $OLD
	agent
	talk pod1 $FAR_ADDR
	talk pod2 $FAR_ADDR
	[ $# -eq 1 ] || talk pod2 "$2"
	# shellcheck disable=SC2086 # a list
	list "$1" $WIDE
	lab_wait 10 generation_is 2
}

# --- the seed's incident ----------------------------------------------------

# Nobody types anything.
seed_rolls_back() {
	local before
	goes_wide rollback
	before=${EPOCHREALTIME/[.,]/}
	knock pod1 $FAR_ADDR
	knock pod2 $FAR_ADDR
	lab_wait 30 more_answered pod1 0
	lab_wait 30 more_answered pod2 0
	note "$(((${EPOCHREALTIME/[.,]/} - before) / 1000000)) s"
	is generation "$(generation)" 3
	says "$(cat "$LOG")" "guard: generation 2 broke traffic and is taken back"
	says "$(masq history)" "guard: back from generation 2 to 1"
	says "$(masq history 2)" "172.30.12.0/24 .*10.44.14.15"
	says "$(get /readyz)" "refused by the guard"
	says "$(get /metrics)" "masqbpf_config_stale 1"
}

# It is not taken again, by SIGHUP or by another agent; another content is.
refused_is_remembered() {
	kill -HUP "$(cat "$LAB_DIR/agent")"
	sleep 2
	is generation "$(generation)" 3
	stop KILL
	agent --enable-ipv6
	is "kept" "$(masq cidr list --json | jq -r \
		'[.prefixes[] | select(.action == "keep").prefix] |
		index("172.16.0.0/12")')" null
	says "$(get /readyz)" "refused by the guard"
	stop
	list rollback $OLD 192.168.0.0/16
	agent
	lab_wait 10 keeps 192.168.0.0/16
	[[ $(get /readyz) != *refused* ]] || fail "$(get /readyz)"
}

keeps() {
	masq cidr list --json | jq -e --arg cidr "$1" \
		'.prefixes[] | select(.prefix == $cidr).action == "keep"'
}

seed_alarms() {
	goes_wide alarm 172.30.99.9
	knock pod1 $FAR_ADDR
	knock pod2 172.30.99.9
	lab_wait 30 broken "172.30.12.0/24 172.30.99.0/24"
	lab_wait 10 told
	is generation "$(generation)" 2
	says "$(cat "$LOG")" "guard: generation 2 broke 172.30.(12|99).0/24"
	# one line, however many networks
	is "lines" "$(grep -cF 'generation 2 broke' "$LOG")" 1
	! grep -F '\x0a' "$LOG" || fail "two lines in one"
	says "$(get /readyz)" "172.30.12.0/24 .*masqbpf rollback 1"
	says "$(get /metrics)" \
		'masqbpf_guard_broken\{prefix="172.16.0.0/12"\} 1'
	# a pod by name as well, from files that only root may read
	says "$(get /)" "172.30.12.0/24.*10.44.14.15 shop/cart-0 hang"
	says "$(get /)" "172.30.99.0/24.*10.44.14.16 hang"
	says "$(get /readyz)" "10.44.14.15 shop/cart-0 hang"
	says "$(masq status)" "> masqbpf rollback 1"
	is "ways back in status" "$(masq status | grep -c '> ')" 1
	says "$(masq doctor)" "guard .*10.44.14.15 shop/cart-0"
	says "$(masq doctor)" "guard .*172.30.12.0/24"
	says "$(masq metrics)" \
		'masqbpf_guard_broken\{prefix="172.16.0.0/12"\} 1'
	says "$(masq status)" "172.30.12.0/24"
	says "$(masq history 2)" "172.30.12.0/24 .*10.44.14.15 shop/cart-0"
	is "as JSON" "$(masq history 2 --json | jq -rc '[.. | .unanswered? //
		empty | .[] | [.pod, .pod_name.name]] | unique | sort')" \
		'[["10.44.14.15","cart-0"],["10.44.14.16",null]]'
}

told() {
	get /readyz | grep -q "guard: generation 2"
}

# An agent that is killed over and over sees it all the same.
flapping_agent() {
	goes_wide rollback
	knock pod1 $FAR_ADDR
	knock pod2 $FAR_ADDR
	sleep 1
	stop KILL
	agent
	sleep 2
	stop KILL
	agent
	lab_wait 30 generation_is 3
	lab_wait 10 more_answered pod1 0
}

# Nobody knows how it was before: one pod that hangs, and the node does not.
first_start_alarms() {
	# shellcheck disable=SC2086
	anew rollback $WIDE
	agent
	knock pod1 $FAR_ADDR
	lab_wait 120 told_first
	is generation "$(generation)" 1
	says "$(get /readyz)" "the node itself is answered"
	lab_wait 10 broken 172.30.12.0/24
}

told_first() {
	get /readyz | grep -q "guard: generation 1 broke 172.30.12.0/24"
}

# --- what turns nothing back ------------------------------------------------

# settled: the judge has had its time, with everything there is to see
settled() {
	sleep $((6 * TEST_SLOW))
	is generation "$(generation)" "${1:-2}"
}

one_pod_with_friends() {
	anew rollback $OLD
	agent
	talk pod1 $FAR_ADDR
	talk pod1 172.30.13.1
	# shellcheck disable=SC2086
	list rollback $WIDE
	lab_wait 10 generation_is 2
	knock pod1 $FAR_ADDR
	knock pod1 172.30.13.1
	lab_wait 30 told
	settled
}

# It writes another pod's address into its packets.
one_pod_that_forges() {
	goes_wide rollback
	lab_in pod1 ip addr add 10.44.14.16/32 dev lo
	knock pod1 $FAR_ADDR
	# shellcheck disable=SC2016
	lab_spawn pod1 "$PYTHON" -c '
import socket, time
while True:
    s = socket.socket()
    s.bind(("10.44.14.16", 0))
    s.settimeout(0.5)
    try:
        s.connect(("172.30.12.110", 443))
    except OSError:
        pass
    time.sleep(0.5)
'
	echo "$LAB_PID" >>"$LAB_DIR/talks"
	lab_wait 30 told
	settled
	lab_in pod1 ip addr del 10.44.14.16/32 dev lo
}

# The far side goes down with the change: nobody is answered, nor is the node.
far_side_down() {
	anew rollback $OLD
	agent
	talk pod1 $FAR_ADDR
	talk pod2 $FAR_ADDR
	lab_in far ip addr del $FAR_ADDR/32 dev lo
	lab_in far ip route del local 172.30.0.0/16 dev lo
	# shellcheck disable=SC2086
	list rollback $WIDE
	lab_wait 10 generation_is 2
	knock pod1 $FAR_ADDR
	knock pod2 $FAR_ADDR
	lab_wait 30 told
	settled
	lab_in far ip addr add $FAR_ADDR/32 dev lo
	lab_in far ip route add local 172.30.0.0/16 dev lo
}

# Two changes in a row: nobody can say which one it was.
second_change_alarms() {
	goes_wide rollback
	# shellcheck disable=SC2086
	list rollback $WIDE 100.0.0.0/8
	lab_wait 10 generation_is 3
	knock pod1 $FAR_ADDR
	knock pod2 $FAR_ADDR
	lab_wait 30 broken 172.30.12.0/24
	settled 3
}

# Somebody has the lock when it is time: it waits, and goes back then.
lock_is_held() {
	local holder
	goes_wide rollback
	lab_spawn node flock -o "$MASQBPF_PIN_DIR" sleep 60
	holder=$LAB_PID
	knock pod1 $FAR_ADDR
	knock pod2 $FAR_ADDR
	lab_wait 30 grep -q "is to be taken back: locked by" "$LOG"
	is generation "$(generation)" 2
	kill "$holder"
	lab_wait 20 generation_is 3
}

row "the eleven ranges: pods connect again and nobody typed anything" \
	seed_rolls_back
row "a file that was refused stays refused, until it is another one" \
	refused_is_remembered
row "guard.action alarm: every screen says so, nothing is changed" seed_alarms
row "an agent that is killed twice in between goes back all the same" \
	flapping_agent
row "a first start with the eleven: alarm at the first pod that hangs" \
	first_start_alarms
row "one pod turns nothing back, whatever friends it has" one_pod_with_friends
row "nor does it with another pod's address" one_pod_that_forges
row "a far side that goes down at that moment turns nothing back" far_side_down
row "a second change in the window: alarm alone" second_change_alarms
row "a lock that is held delays the way back" lock_is_held
quiet
stop
tap_done
