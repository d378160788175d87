#!/usr/bin/env bash
# The guard of a single command, in the foreground, and every kind of change:
# keep to masquerade and back, the address that is masqueraded to, the range of
# ports, IPv6. Each breaks a network of its own, all of them at once.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/talks.sh"

PORT=443
OTHER=10.142.0.7
KEPT=172.30.12.110
ADDRESS=172.30.13.1
PORTS=172.30.14.1

lab_begin
lab_node_far
lab_pod pod1 10.44.14.15
lab_pod pod2 10.44.14.16
lab_ipv6
lab_in node ip addr add $OTHER/32 dev eth0
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_serve far $PORT
lab_serve far $PORT $FAR_ADDR6
lab_in far nft -f - <<-TABLE
	table inet guard {
		chain in {
			type filter hook input priority filter;
			ip daddr $KEPT ip saddr $NODE_ADDR drop
			ip daddr $KEPT ip saddr $OTHER drop
			ip daddr $ADDRESS ip saddr $OTHER drop
			ip daddr $PORTS tcp sport 50000-59999 drop
			ip6 daddr $FAR_ADDR6 ip6 saddr fd00:44::/32 drop
		}
	}
TABLE

# before, after: what the file says
before() {
	cat <<-TEXT
		nonMasqueradeCIDRs: [10.0.0.0/8, 172.30.12.0/24]
		enableIPv6: true
		snat:
		  addresses: [{address: $NODE_ADDR, destination: 172.30.13.0/24}]
	TEXT
}

after() {
	cat <<-TEXT
		nonMasqueradeCIDRs: [10.0.0.0/8, "2001:db8:30::/48"]
		snat:
		  addresses: [{address: $OTHER, destination: 172.30.13.0/24}]
		  portRange: 50000-59999
		  strictPorts: true
	TEXT
}

generation() {
	masq status --json | jq -r .generation
}

says() { # TEXT PATTERN
	grep -E "$2" <<<"$1" >/dev/null || fail "no word of '$2': $1"
}

# By one command that nobody watches but itself. What is told before it goes
# back is what it has seen until then: history has all of it.
all_kinds() {
	local command dest said status=0
	before >"$LAB_DIR/config.yaml"
	masq attach eth0 --config "$LAB_DIR/config.yaml"
	for dest in $KEPT $ADDRESS $PORTS $FAR_ADDR6; do
		talk pod1 "$dest"
	done
	talk pod2 $ADDRESS
	after >"$LAB_DIR/config.yaml"
	masq reload --yes --guard 60s >"$LAB_DIR/said" 2>&1 &
	command=$!
	lab_wait 20 grep -q "is watched for 60 s" "$LAB_DIR/said"
	for dest in $KEPT $PORTS $FAR_ADDR6 $ADDRESS; do
		knock pod1 "$dest"
	done
	# a pod alone turns nothing back: all of it is seen first
	lab_wait 40 all_broken || fail "$(masq history 2)"
	knock pod2 $ADDRESS
	wait $command || status=$?
	said=$(cat "$LAB_DIR/said")
	is "exit status" $status 1
	says "$said" "guard: generation 2 broke traffic and is taken back"
	is generation "$(generation)" 3
	said=$(masq history 2)
	for dest in 172.30.12.0/24 172.30.13.0/24 172.30.14.0/24 \
		2001:db8:30::/64; do
		says "$said" "^  $dest .*answered flows? before.*unanswered"
	done
	quiet
	is sources "$(for dest in $KEPT $ADDRESS $FAR_ADDR6; do
		word source "$(traffic pod1 who "$dest" $PORT)"
	done | tr '\n' ' ')" "10.44.14.15 $NODE_ADDR $NODE_ADDR6 "
}

all_broken() {
	broken_is "172.30.12.0/24 172.30.13.0/24 172.30.14.0/24 2001:db8:30::/64"
}

broken_is() {
	[ "$(masq status --json | jq -r '.guard.broken | sort | join(" ")')" = \
		"$1" ]
}

# What breaks nothing is said to, at the end of its time.
quiet_change() {
	local said status=0
	said=$(masq cidr add 172.30.15.0/24 --masquerade --guard 5s 2>&1) ||
		status=$?
	is "exit status" $status 0
	says "$said" "nothing to watch: all is treated as before"
	talk pod1 172.30.16.1
	said=$(masq cidr add 172.30.16.0/24 --keep --guard 5s 2>&1) || status=$?
	is "exit status" $status 0
	says "$said" "guard: generation [0-9]+ broke nothing"
	quiet
}

# It is ended: the change stays, and whoever looks sees the alarm.
ended() {
	local status=0
	talk pod1 $PORTS
	nsenter --net="$(lab_netns node)" "$MASQBPF" rollback 2 --yes \
		--guard 120s >"$LAB_DIR/said" 2>&1 &
	lab_wait 20 grep -q "is watched for 120 s" "$LAB_DIR/said"
	kill $!
	wait $! || status=$?
	is "exit status" $status 1
	says "$(cat "$LAB_DIR/said")" "ended before its time: the change stays"
	knock pod1 $PORTS
	lab_wait 30 broken_is 172.30.14.0/24
	says "$(masq status)" "guard .*172.30.14.0/24"
	quiet
}

row "keep to masquerade, address, ports, IPv6: one command takes all back" \
	all_kinds
row "a change that breaks nothing ends well" quiet_change
row "a command that is ended leaves the alarm" ended
quiet
tap_done
