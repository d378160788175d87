#!/usr/bin/env bash
# From ip-masq-agent to masqbpf while connections live: 100 that were there
# before, 100 that begin meanwhile, 100 after, and short ones all the time.
# None may fail, and far may see no address but the node's.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/steady.sh"

CHAIN=IP-MASQ-AGENT

# agent_chain IPTABLES [ARG...]: the chain as upstream's agent makes it; ARGs
# go to MASQUERADE
agent_chain() {
	local ipt=$1 cidr
	local why="ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ chain"
	shift
	lab_in node "$ipt" -t nat -N $CHAIN
	lab_in node "$ipt" -t nat -A POSTROUTING -m comment --comment "$why" \
		-m addrtype ! --dst-type LOCAL -j $CHAIN
	for cidr in $([[ $ipt = ip6* ]] ||
		echo 169.254.0.0/16 10.0.0.0/8 192.168.0.0/16); do
		lab_in node "$ipt" -t nat -A $CHAIN -d "$cidr" -m comment \
			--comment "ip-masq-agent: local traffic is not subject to MASQUERADE" \
			-j RETURN
	done
	lab_in node "$ipt" -t nat -A $CHAIN -m comment \
		--comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" \
		-j MASQUERADE "$@"
	# So that what netfilter began comes to an end within the test. A kernel
	# with modules has this from the first such rule on.
	lab_in node sysctl -qw \
		net.netfilter.nf_conntrack_udp_timeout=$((2 * TEST_SLOW)) \
		net.netfilter.nf_conntrack_udp_timeout_stream=$((2 * TEST_SLOW))
}

lab() {
	lab_begin
	lab_node_far
	lab_pod pod1 10.44.14.15
	lab_pod pod2 10.44.14.16
	lab_serve far 443
}

# goes_on NAME: three more rounds of 100
goes_on() {
	lab_wait 20 reached "$1" $(($(progress "$1") + 300)) ||
		fail "$1 stands still: $(head -n 5 "$LAB_DIR/$1.result")"
}

# steady_end NAME OPEN: no failure in more than 300, however long these take on
# this machine, and so many connections were open
steady_end() {
	local line
	lab_wait 30 reached "$1" 300 ||
		fail "$1: too few: $(cat "$LAB_DIR/$1.result")"
	touch "$LAB_DIR/$1.stop"
	lab_wait 20 lab_gone "$(cat "$LAB_DIR/$1.pid")"
	line=$(tail -1 "$LAB_DIR/$1.result")
	[ "$(word failed "$line")" = 0 ] || head -n 5 "$LAB_DIR/$1.result"
	is "$1: failures" "$(word failed "$line")" 0
	is "$1: connections" "$(word open "$line")" "$2"
	is "$1: sources" "$(word sources "$line")" "${SOURCE:-$NODE_ADDR}"
	note "$1 $(word ok "$line") exchanges"
}

jumps() {
	lab_in node "$IPT-save" -t nat | grep -c -- "-j $CHAIN" || true
}

rules() {
	lab_in node "$IPT-save" -t nat | grep -v '^#\|masqbpf_migrate' |
		sed 's/\[[0-9:]*\]//'
}

# A node without nft: in masqbpf's view of the files it cannot be run.
without_nft() {
	cat >"$LAB_DIR/masqbpf" <<-EOF
		#!/bin/sh
		exec unshare --mount sh -c 'mount --bind /dev/null $(command -v nft) &&
			exec "\$0" "\$@"' "$MASQBPF_REAL" "\$@"
	EOF
	chmod +x "$LAB_DIR/masqbpf"
	MASQBPF=$LAB_DIR/masqbpf
}
MASQBPF_REAL=$MASQBPF

# held: is what holds netfilter's NAT in place there, and of the right kind?
held() {
	if [ "$MASQBPF" = "$MASQBPF_REAL" ]; then
		lab_in node nft list table inet masqbpf_migrate
	else
		lab_in node iptables-legacy-save -t nat | grep masqbpf_migrate
	fi
}

import() {
	masq import iptables >"$LAB_DIR/config.yaml"
	masq check "$LAB_DIR/config.yaml" --json >"$LAB_DIR/check.json"
	is keep "$(jq -c .nonMasqueradeCIDRs "$LAB_DIR/check.json")" \
		'["10.0.0.0/8","192.168.0.0/16"]'
	is "link-local" "$(jq -c .masqLinkLocal "$LAB_DIR/check.json")" false
	import_as_json
}

# JSON is a config, too: the same one
import_as_json() {
	masq import iptables --json >"$LAB_DIR/config.json"
	is "as JSON" "$(masq check "$LAB_DIR/config.json" --json)" \
		"$(cat "$LAB_DIR/check.json")"
}

dry_run() {
	local before
	before=$(rules)
	masq migrate --dry-run >"$LAB_DIR/dry"
	grep -q 'would: .*remove the jump' "$LAB_DIR/dry"
	[ ! -e "/run/masqbpf-migrate-$(lab_in node stat -Lc %i /proc/self/ns/net)" ] ||
		fail "its lock stays"
	is rules "$(rules)" "$before"
	! masq status 2>/dev/null || fail "it attached"
}

migrate() {
	local before
	before=$(rules)
	steady during pod2 --pace 0.02
	masq migrate eth0 --no-wait >"$LAB_DIR/migrate"
	# the line that people typed, not the one that did it
	masq history | grep -c "masqbpf migrate eth0 --no-wait" >/dev/null ||
		fail "$(masq history)"
	is "jumps" "$(jumps)" 0
	is "other rules" "$(rules)" \
		"$(grep -v -- "-j $CHAIN" <<<"$before")"
	lab_wait 20 reached during 300
}

new_ones_are_ours() {
	lab_wait 5 has_ours
}

has_ours() {
	[ "$(masq flows --json --action masquerade | jq length)" -ge 100 ]
}

not_yet() {
	! masq migrate --finish --no-wait >"$LAB_DIR/finish" ||
		fail "finished while netfilter translates"
	held >/dev/null
}

finish() {
	masq migrate --finish >"$LAB_DIR/finish"
	grep -q '^done: ' "$LAB_DIR/finish"
	! held 2>/dev/null || fail "it still holds"
}

ended() {
	steady_end before 100
	steady_end during 100
}

far_saw_the_node() {
	far_saw $NODE_ADDR
}

# The agent still runs and puts its jump back at once.
jump_comes_back() {
	lab_in node iptables-nft -t nat -S POSTROUTING >"$LAB_DIR/posts"
	(
		while ! [ -e "$LAB_DIR/enough" ]; do
			[ "$(IPT=iptables-nft jumps)" -gt 0 ] ||
				lab_in node iptables-nft -t nat -A POSTROUTING \
					-m addrtype ! --dst-type LOCAL -j $CHAIN
			sleep 0.05
		done
	) &
	! masq migrate eth0 --no-wait >"$LAB_DIR/out" 2>"$LAB_DIR/err" ||
		fail "it did not notice"
	touch "$LAB_DIR/enough"
	wait
	grep -q 'the jump is back' "$LAB_DIR/err"
	traffic pod1 who $FAR_ADDR 443
}

# An interface that cannot be attached: everything is as it was.
undone() {
	local before other=$LAB_DIR/bpf/other
	masq detach --all
	lab_in node nft delete table inet masqbpf_migrate
	masq --pin-dir "$other" attach -q eth0 --preset reserved
	IPT=iptables-nft
	before=$(rules)
	! masq migrate eth0 >"$LAB_DIR/out" 2>"$LAB_DIR/err" ||
		fail "it went through"
	grep -q 'taking back what was done' "$LAB_DIR/err"
	is rules "$(rules)" "$before"
	! masq status 2>/dev/null || fail "it stays attached"
	! lab_in node nft list table inet masqbpf_migrate 2>/dev/null ||
		fail "its table is left"
	masq --pin-dir "$other" detach -q --all
}

# A policy on standard input is the one that is attached.
from_stdin() {
	IPT=iptables-nft
	lab_in node iptables-nft -t nat -C POSTROUTING -j $CHAIN ||
		lab_in node iptables-nft -t nat -A POSTROUTING -j $CHAIN
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' |
		masq migrate eth0 --no-wait --config - >"$LAB_DIR/out"
	is keeps "$(masq cidr list --json | jq -r '[.prefixes[] | select(
		.action == "keep" and .origin != "built-in").prefix] |
		join(" ")')" 10.0.0.0/8
	is source "$(word source "$(traffic pod1 who $FAR_ADDR 443)")" \
		$NODE_ADDR
	masq detach --all
}

# One family's jump is gone when the other's cannot be removed: it comes back.
half_removed() {
	local before bin=$LAB_DIR/bin
	IPT=iptables-nft
	lab_in node ip6tables-nft -t nat -A POSTROUTING -j $CHAIN
	before=$(rules)
	mkdir "$bin"
	cat >"$bin/ip6tables-nft" <<-EOF
		#!/bin/sh
		case " \$* " in *" -D "*) exit 4 ;; esac
		exec $(command -v ip6tables-nft) "\$@"
	EOF
	chmod +x "$bin/ip6tables-nft"
	! PATH=$bin:$PATH masq migrate eth0 --no-wait >"$LAB_DIR/out" \
		2>"$LAB_DIR/err" || fail "it went through"
	grep -q 'ip6tables-nft: cannot remove the jump' "$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/err")"
	is rules "$(rules)" "$before"
	! masq status 2>/dev/null || fail "it stays attached"
	is source "$(word source "$(traffic pod1 who $FAR_ADDR 443)")" \
		$NODE_ADDR
}

# as_before RULES: nothing of a migration is left, and pods have NAT
as_before() {
	is rules "$(rules)" "$1"
	! masq status 2>/dev/null || fail "it stays attached"
	! lab_in node nft list table inet masqbpf_migrate 2>/dev/null ||
		fail "its table is left"
	is source "$(word source "$(traffic pod1 who $FAR_ADDR 443)")" \
		$NODE_ADDR
}

# A tool that hangs has a minute; a test that has none sends what the kernel
# sends then (tests/unit/test_tool has the minute). It hangs before it has done
# anything, or behind that: in the one case and in the other all is as before.
tool_hangs() { # TOOL PATTERN before|behind
	local before pid status=0 bin=$LAB_DIR/hangs
	IPT=iptables-nft
	before=$(rules)
	mkdir -p "$bin"
	rm -f "$bin"/*
	cat >"$bin/$1" <<-EOF
		#!/bin/sh
		case " \$* " in *"$2"*)
			[ $3 = before ] || $(command -v "$1") "\$@"
			echo \$\$ >"$bin/pid.new"
			mv "$bin/pid.new" "$bin/pid"
			exec sleep 100 ;;
		esac
		exec $(command -v "$1") "\$@"
	EOF
	chmod +x "$bin/$1"
	PATH=$bin:$PATH masq migrate eth0 --no-wait >"$LAB_DIR/out" \
		2>"$LAB_DIR/err" &
	lab_wait 20 test -e "$bin/pid" || fail "$(cat "$LAB_DIR/err")"
	pid=$(cat "$bin/pid")
	# the one that comes to its pid by itself is waiting
	kill -ALRM "$pid"
	wait $! || status=$?
	is "exit code ($(cat "$LAB_DIR/err"))" "$status" 1
	grep -q "it was not done within a minute, and was ended" \
		"$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
	as_before "$before"
}

# A tool that ends without its work done, or that says it has done it: after each
# all is as before. (What only reads: tests/net/test_import.)
FAILS_UNDER=()
tool_fails() { # TOOL PATTERN WHY SCRIPT
	local before status=0 bin=$LAB_DIR/fails
	IPT=iptables-nft
	before=$(rules)
	mkdir -p "$bin"
	rm -f "$bin"/*
	{
		echo '#!/bin/sh'
		echo "case \" \$* \" in *'$2'*)"
		echo "${4//REAL/$(command -v "$1")}"
		echo ';; esac'
		echo "exec $(command -v "$1") \"\$@\""
	} >"$bin/$1"
	[ "$2" ] || echo "$4" >"$bin/$1"
	chmod +x "$bin/$1"
	PATH=$bin:$PATH lab_in node "${FAILS_UNDER[@]}" "$MASQBPF" migrate eth0 \
		--no-wait >"$LAB_DIR/out" 2>"$LAB_DIR/err" || status=$?
	is "exit code ($(cat "$LAB_DIR/err"))" "$status" 1
	grep -qE "^masqbpf: $3" "$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
	as_before "$before"
}

# The first stands before the jump when the second comes: it must not fail
# because of the second, and take its attach back.
two_at_once() {
	local first status=0 bin=$LAB_DIR/slow
	IPT=iptables-nft
	mkdir "$bin"
	cat >"$bin/iptables-nft" <<-EOF
		#!/bin/sh
		case " \$* " in *" -D "*)
			touch $bin/there
			until [ -e $bin/go ]; do sleep 0.05; done ;;
		esac
		exec $(command -v iptables-nft) "\$@"
	EOF
	chmod +x "$bin/iptables-nft"
	PATH=$bin:$PATH masq migrate eth0 --no-wait >"$LAB_DIR/out" &
	first=$!
	trap 'touch "$LAB_DIR/slow/go"' EXIT
	lab_wait 20 test -e "$bin/there"
	masq migrate eth0 --no-wait 2>"$LAB_DIR/err" || status=$?
	touch "$bin/go"
	wait $first || fail "the first failed"
	is "status of the second" $status 1
	grep -q 'migrate: another one is at work here' "$LAB_DIR/err"
	is jumps "$(jumps)" 0
	is source "$(word source "$(traffic pod1 who $FAR_ADDR 443)")" \
		$NODE_ADDR
	masq migrate --finish
	masq detach --all
}

# A policy that runs stays; where the chain says otherwise is said.
keeps_the_policy() {
	local ipt
	for ipt in iptables-nft ip6tables-nft; do
		lab_in node $ipt -t nat -F POSTROUTING
		lab_in node $ipt -t nat -F $CHAIN
		lab_in node $ipt -t nat -X $CHAIN
	done
	agent_chain iptables-nft
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$LAB_DIR/other.yaml"
	masq attach eth0 --config "$LAB_DIR/other.yaml"
	masq migrate --dry-run >"$LAB_DIR/dry" 2>"$LAB_DIR/err"
	grep -q 'the policy that runs' "$LAB_DIR/dry"
	is warnings "$(cat "$LAB_DIR/err")" "masqbpf: warning: \
192.168.0.0/16: the chain says keep, the policy masquerade"
	masq migrate --no-wait >"$LAB_DIR/out"
	is config "$(masq status --json | jq -r .config)" "$LAB_DIR/other.yaml"
}

# Both families, port ranges around the node ports, more prefixes than 64.
import_all() {
	local i
	lab_in node iptables-nft -t nat -A POSTROUTING -j $CHAIN
	agent_chain ip6tables-nft
	for i in $(seq 70); do
		lab_in node ip6tables-nft -t nat -I $CHAIN \
			-d "2001:db8:$i::/48" -j RETURN
	done
	lab_in node iptables-nft -t nat -D $CHAIN 4
	lab_in node iptables-nft -t nat -A $CHAIN -p tcp -m statistic \
		--mode random --probability 0.5 -j MASQUERADE \
		--to-ports 1024-29999
	lab_in node iptables-nft -t nat -A $CHAIN -p tcp -j MASQUERADE \
		--to-ports 32768-65535
	lab_in node iptables-nft -t nat -A $CHAIN -j MASQUERADE
	masq import iptables >"$LAB_DIR/all.yaml"
	grep -q 'portRange: 1024-65535' "$LAB_DIR/all.yaml"
	grep -q 'strictPorts: true' "$LAB_DIR/all.yaml"
	masq check "$LAB_DIR/all.yaml" --json >"$LAB_DIR/check.json"
	is prefixes "$(jq '.nonMasqueradeCIDRs | length' \
		"$LAB_DIR/check.json")" 72
	is "IPv6 link-local" "$(jq .masqLinkLocalIPv6 "$LAB_DIR/check.json")" \
		true
	import_as_json
}

# What a config cannot say is refused, and named.
import_refuses() {
	lab_in node iptables-nft -t nat -I $CHAIN -m mark --mark 1 -j RETURN
	! masq import iptables >"$LAB_DIR/out" 2>"$LAB_DIR/err" ||
		fail "it was left out silently"
	grep -q 'rule 1 of IP-MASQ-AGENT cannot be said' "$LAB_DIR/err"
	is output "$(cat "$LAB_DIR/out")" ""
}

for variant in "iptables-nft" "iptables-nft --random-fully" "iptables-legacy" \
	"iptables-legacy without nft"; do
	read -r IPT args <<<"$variant"
	[ -z "${LAB_DIR:-}" ] || lab_clean
	lab
	if [ "$args" = "without nft" ]; then
		without_nft
		args=
	fi
	# shellcheck disable=SC2086
	agent_chain "$IPT" $args
	lab_saw_reset
	steady before pod1
	steady short pod1 --short
	lab_wait 20 reached before 100
	row "$variant: import says what the chain says" import
	row "$variant: --dry-run changes nothing" dry_run
	row "$variant: takes over" migrate
	row_ok || cat "$LAB_DIR/migrate"
	steady after pod2
	row "$variant: connections from before live on" goes_on before
	row "$variant: connections from meanwhile live on" goes_on during
	row "$variant: connections from after live" goes_on after
	row "$variant: these are masqbpf's" new_ones_are_ours
	row "$variant: not over while netfilter translates" not_yet
	row "$variant: not one exchange failed" ended
	row "$variant: finish" finish
	row "$variant: connections from after live on" goes_on after
	row "$variant: short ones: not one failed" steady_end short 0
	row "$variant: nor one from after" steady_end after 100
	row "$variant: far saw the node's address alone" far_saw_the_node
done
MASQBPF=$MASQBPF_REAL
# Both families at once: the connections are IPv6's, which has the same code.
lab_clean
lab
lab_ipv6
lab_serve far 443 $FAR_ADDR6
agent_chain iptables-nft
agent_chain ip6tables-nft
IPT=ip6tables-nft
STEADY_TO=$FAR_ADDR6
SOURCE=$NODE_ADDR6
steady before pod1
steady short pod1 --short
lab_wait 20 reached before 100
row "IPv6: takes over" migrate
row_ok || cat "$LAB_DIR/migrate"
steady after pod2
row "IPv6: connections from before live on" goes_on before
row "IPv6: connections from meanwhile live on" goes_on during
row "IPv6: connections from after live" goes_on after
row "IPv6: these are masqbpf's" new_ones_are_ours
row "IPv6: not over while netfilter translates" not_yet
row "IPv6: not one exchange failed" ended
row "IPv6: finish" finish
row "IPv6: connections from after live on" goes_on after
row "IPv6: short ones: not one failed" steady_end short 0
row "IPv6: nor one from after" steady_end after 100
unset STEADY_TO SOURCE
lab_clean
lab
agent_chain iptables-nft
agent_chain ip6tables-nft
row "an agent that still runs is noticed" jump_comes_back
row "what fails is taken back" undone
row "one jump of two cannot be removed: the other is put back" half_removed
row "a tool that hangs: reading the rules" tool_hangs iptables-nft-save nat before
row "a tool that hangs: holding NAT" tool_hangs nft "-f -" before
row "a tool that hangs: and has removed the jump" tool_hangs iptables-nft " -D " behind
row "a tool that hangs: the second jump stays" tool_hangs ip6tables-nft " -D " before
row "a tool that is killed: holding NAT" tool_fails nft "-f -" \
	'masqbpf_migrate: cannot install it: a signal' 'kill -KILL $$'
row "a tool that is none: holding NAT" tool_fails nft "" \
	'masqbpf_migrate: cannot install it: Exec format error' "no program"
row "a tool that says it is done: holding NAT" tool_fails nft "-f -" \
	'masqbpf_migrate: cannot install it: nft says' 'exit 0'
row "a tool that fails behind its work: holding NAT" tool_fails nft "-f -" \
	'masqbpf_migrate: cannot install it: it ended with status 1' \
	'REAL "$@"; exit 1'
row "a tool that is killed: before it removes the jump" tool_fails \
	iptables-nft " -D " 'iptables-nft: cannot remove the jump .*: a signal' \
	'kill -KILL $$'
row "a tool that fails behind its work: removing the jump" tool_fails \
	iptables-nft " -D " 'iptables-nft: cannot remove the jump .*: it ended' \
	'REAL "$@"; exit 1'
# two that read, and nft, come before it
FAILS_UNDER=(strace -qq -o /dev/null -e "inject=clone,clone3,fork,vfork:error=EAGAIN:when=4")
row "its own attach cannot be started" tool_fails true "" \
	'migrate: attach cannot be run: Resource temporarily unavailable' ""
FAILS_UNDER=()
row "two at once: the second is refused" two_at_once
row "--config - is read once" from_stdin
row "a policy that runs stays" keeps_the_policy
row "import: both families, ports, many prefixes" import_all
row "import: what a config cannot say" import_refuses
tap_done
