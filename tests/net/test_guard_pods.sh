#!/usr/bin/env bash
# The guard where a change says anew who is a pod: podCIDRs narrowed and
# widened, dropForeignSources, enableIPv6. What is left out has no records
# otherwise.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/talks.sh"

ALL='10.44.0.0/16", "fd00:44::/32'
NONE='10.99.0.0/16", "fd00:99::/32'

lab_begin
lab_node_far
lab_pod pod1 10.44.14.15
lab_pod pod2 10.44.14.16
lab_ipv6
lab_in far ip route replace $POD_NET via $NODE_ADDR
lab_in far ip -6 route replace fd00:44::/64 via $NODE_ADDR6
lab_serve far 443
lab_serve far 443 $FAR_ADDR6
FILE=$LAB_DIR/config.yaml

# file_is LINE...: what the file says
file_is() {
	printf '%s\n' "nonMasqueradeCIDRs: [10.0.0.0/8]" "$@" >"$FILE"
}

# refuses SOURCE...: no packet of them gets in there
far_refuses() {
	local source family
	lab_in far nft add table inet side
	lab_in far nft flush table inet side
	lab_in far nft add chain inet side in \
		'{ type filter hook input priority filter; }'
	for source; do
		family=ip
		[[ $source != *:* ]] || family=ip6
		lab_in far nft add rule inet side in iifname eth0 tcp dport 443 \
			$family saddr "$source" drop
	done
}

says() { # TEXT PATTERN
	grep -E "$2" <<<"$1" >/dev/null || fail "no word of '$2': $1"
}

begin() { # LINE...
	quiet
	masq detach --all >/dev/null 2>&1 || true
	far_refuses
	file_is "$@"
	masq attach eth0 --config "$FILE" >/dev/null 2>&1
	: >"$LAB_DIR/said"
}

# taken_back LINE... -- DEST...: two pods are in use there, the file says
# this, and new connections hang: the command takes it back, and then they do
# not. Old ones have gone on all the time.
taken_back() {
	local status=0 dest command lines=()
	while [ "$1" != -- ]; do
		lines+=("$1")
		shift
	done
	shift
	for dest; do
		talk pod1 "$dest"
		talk pod2 "$dest"
	done
	far_refuses "${REFUSED[@]}"
	file_is "${lines[@]}"
	masq reload --yes --guard 60s >"$LAB_DIR/said" 2>&1 &
	command=$!
	lab_wait 20 grep -q "is watched for 60 s" "$LAB_DIR/said"
	for dest; do
		knock pod1 "$dest"
	done
	# of one pod alone nothing is taken back
	lab_wait 40 broken_is $# || fail "$(masq history 2)"
	[ "${TEXT-}" = "" ] || says "$(masq status)" "$TEXT"
	knock pod2 "$1"
	wait $command || status=$?
	is "exit status" $status 1
	says "$(cat "$LAB_DIR/said")" "guard: generation 2 broke traffic and is taken back"
	says "$(masq history 2)" "answered flows? before.*unanswered"
	lab_wait 20 test -s "$LAB_DIR/knock-pod1"
	lab_wait 20 test -s "$LAB_DIR/knock-pod2"
	quiet
}

broken_is() {
	[ "$(masq status --json | jq '.guard.broken | length')" = "$1" ]
}

narrowed() {
	begin "podCIDRs: [\"$ALL\"]" "enableIPv6: true"
	REFUSED=("$POD_NET" fd00:44::/32) TEXT="untouched: outside podCIDRs"
	taken_back "podCIDRs: [\"$NONE\"]" "enableIPv6: true" -- \
		"$FAR_ADDR" "$FAR_ADDR6"
}

widened() {
	begin "podCIDRs: [\"$NONE\"]" "enableIPv6: true"
	REFUSED=("$NODE_ADDR" "$NODE_ADDR6") TEXT="masquerade by 0.0.0.0/0"
	taken_back "podCIDRs: [\"$ALL\"]" "enableIPv6: true" -- \
		"$FAR_ADDR" "$FAR_ADDR6"
}

ipv6_off() {
	begin "enableIPv6: true"
	REFUSED=(fd00:44::/32) TEXT="untouched: enableIPv6 is false"
	taken_back "enableIPv6: false" -- "$FAR_ADDR6"
}

# The command watches to the end, and from then on nothing of it is left.
records_end() {
	local status=0
	begin "podCIDRs: [\"$ALL\"]"
	talk pod1 "$FAR_ADDR"
	file_is "podCIDRs: [\"$NONE\"]"
	masq reload --yes --guard 5s >"$LAB_DIR/said" 2>&1 &
	local command=$!
	lab_wait 20 grep -q "is watched for 5 s" "$LAB_DIR/said"
	talk pod2 "$FAR_ADDR"
	is "a record of what is no pod" "$(flow_of 10.44.14.16)" '["keep",null,null]'
	wait $command || status=$?
	is "exit status" $status 0
	quiet
	masq flush >/dev/null
	talk pod2 "$FAR_ADDR"
	is "no record" "$(flow_of 10.44.14.16 keep)" ''
	says "$(masq explain $FAR_ADDR --source 10.44.14.16)" "not a pod|podCIDRs"
	quiet
}

# Nobody is left to end it: the next command does, whichever.
records_end_without() {
	begin "podCIDRs: [\"$ALL\"]"
	talk pod1 "$FAR_ADDR"
	file_is "podCIDRs: [\"$NONE\"]"
	lab_spawn node "$MASQBPF" reload --yes --guard 5s >"$LAB_DIR/said" 2>&1
	lab_wait 20 grep -q "is watched for 5 s" "$LAB_DIR/said"
	kill -KILL "$LAB_PID"
	lab_wait 20 traffic_is_recorded
	lab_wait 20 traffic_is_not_recorded
	! masq history 2 | grep "broke" || fail "nobody has seen that"
	quiet
}

# One answered datagram, and no command in between that would end anything.
traffic_is_recorded() {
	masq flush >/dev/null 2>&1
	traffic pod2 who "$FAR_ADDR" 443 >/dev/null
	[ -n "$(flow_of 10.44.14.16 keep)" ]
}

traffic_is_not_recorded() {
	masq status >/dev/null
	! traffic_is_recorded
}

flow_of() { # POD [ACTION]
	masq flows --pod "$1" ${2:+--action "$2"} --json |
		jq -c '.[0] // empty | [.action, .xlat, .prefix]'
}

# What cannot be seen is said, at the change and on every screen.
dropped() {
	local said
	begin "podCIDRs: [\"$ALL\"]"
	talk pod1 "$FAR_ADDR"
	file_is "podCIDRs: [\"$NONE\"]" "dropForeignSources: true"
	said=$(masq reload --yes 2>&1)
	says "$said" "guard: generation 2: sources in 10.44.0.0/16 and 1 more, with 1 answered flow are no pods: .*dropped"
	is verdict "$(masq status --json | jq -r '.verdict[] |
		select(.what == "guard") | .level')" bad
	says "$(masq status)" "guard .*new connections are dropped"
	says "$(masq doctor || true)" "new connections are dropped"
	quiet
}

ipv6_on() {
	local said
	begin "enableIPv6: false"
	file_is "enableIPv6: true"
	said=$(masq reload --yes 2>&1)
	says "$said" "guard: generation 2: IPv6 was not translated before"
	is verdict "$(masq status --json | jq -r '.verdict[] |
		select(.what == "guard") | .level')" ok
	says "$(masq status)" "guard .*IPv6 was not translated before"
}

row "podCIDRs narrowed: taken back" narrowed
row "podCIDRs widened: taken back" widened
row "IPv6 turned off: taken back" ipv6_off
row "what passes has records while it is watched, and none after" records_end
row "killed, or without an agent: none after the next command" records_end_without
row "pods that are dropped: said at once" dropped
row "IPv6 turned on: said that it cannot be judged" ipv6_on
quiet
tap_done
