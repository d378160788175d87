#!/usr/bin/env bash
# What import and migrate carry over is what was there: random nat tables, who
# is translated by them and who afterwards. And single tables, with what has to
# be said about each.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

CHAIN=IP-MASQ-AGENT
CHAINS=${CHAINS:-10}
SEED=${SEED:-${TEST_SEED:-$RANDOM}}

lab() {
	local addr
	[ -z "${LAB_DIR:-}" ] || lab_clean
	lab_begin
	lab_node_far
	lab_pod pod1 10.44.14.15
	lab_ipv6
	for addr in 10.44.14.16 10.44.20.5 10.44.200.9 10.55.1.1; do
		lab_in pod1 ip addr add $addr/32 dev eth0
		lab_in node ip route add $addr/32 dev pod1
	done
	for addr in fd00:44:1::5 fd00:55::1; do
		lab_in pod1 ip addr add $addr/128 dev eth0 nodad
		lab_in node ip route add $addr/128 dev pod1
	done
	# neighbours are asked for before anything is counted
	lab_in node ping -c1 -W2 $FAR_GATEWAY >/dev/null
	lab_in node ping -c1 -W2 $FAR_GATEWAY6 >/dev/null
}

random_tables() {
	local line
	line=$("$PYTHON" "$LAB_LIB/chains.py" "$MASQBPF" "$1" "$LAB_ID" \
		"$SEED" "$CHAINS") || fail "$line"
	note "seed $SEED: $line"
	grep -q 'same=[1-9]' <<<"$line" || fail "$line"
}

# restore IPTABLES: the nat table on stdin, one rule a line, chains made
restore() {
	{
		printf '*nat\n:POSTROUTING ACCEPT [0:0]\n:%s - [0:0]\n' $CHAIN
		cat
		echo COMMIT
	} | lab_in node "$1-restore"
}

# says WHAT...: what import makes of it, and nothing else
says() {
	masq import iptables >"$LAB_DIR/out" 2>"$LAB_DIR/err"
	is config "$(grep -v '^#' "$LAB_DIR/out" | tr -d '\n" ')" "$*"
}

# refuses PATTERN: and nothing on stdout
refuses() {
	! masq import iptables >"$LAB_DIR/out" 2>"$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/out")"
	is stdout "$(cat "$LAB_DIR/out")" ""
	is lines "$(wc -l <"$LAB_DIR/err")" 1
	grep -qE -- "$1" "$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
	! masq migrate eth0 --no-wait >"$LAB_DIR/out" 2>&1 ||
		fail "migrate: $(cat "$LAB_DIR/out")"
	! masq status 2>/dev/null || fail "it attached"
}

one_table() { # IPTABLES CHECK ARG...
	local ipt=$1
	shift
	lab_in node ip6tables-nft -t nat -F
	lab_in node ip6tables-nft -t nat -X
	lab_in node iptables-nft -t nat -F
	lab_in node iptables-nft -t nat -X
	restore "$ipt"
	"$@"
}

# table_row NAME IPTABLES CHECK...: the rules on stdin
table_row() {
	local rules
	rules=$(cat)
	# shellcheck disable=SC2317
	run() {
		one_table "$@" <<<"$rules"
	}
	row "$1" run "${@:2}"
}

unused_beside() {
	restore iptables-nft <<-EOF
		-A $CHAIN -d 10.0.0.0/8 -j RETURN
		-A $CHAIN -j MASQUERADE
	EOF
	says "$@"
}

# Another table of the kernel's is there, and iptables cannot show it.
only_nft_can() {
	lab_in node nft add table ip nat
	lab_in node nft add set ip nat s '{ type ipv4_addr; }'
	lab_in node nft add chain ip nat POSTROUTING \
		'{ type nat hook postrouting priority srcnat; }'
	lab_in node nft add rule ip nat POSTROUTING ip saddr @s masquerade
	refuses 'iptables: cannot read the rules: .* only nft can show'
	lab_in node nft delete table ip nat
}

# A tool that fails has not said that there is nothing, however it fails; what it
# has printed till then is not taken for all.
tool_fails() { # WHY SCRIPT
	local bin=$LAB_DIR/bin real
	real=$(command -v iptables-nft-save)
	mkdir -p "$bin"
	echo "${2//REAL/$real}" >"$bin/iptables-nft-save"
	chmod +x "$bin/iptables-nft-save"
	restore iptables-nft <<<"-A $CHAIN -j MASQUERADE"
	PATH=$bin:$PATH refuses \
		"^masqbpf: iptables-nft-save: cannot read the rules: $1"
}

# Of two tables whose nat has one hook the first to translate counts.
beside_table() { # TOOL CHECK...: nft's words on stdin
	local words
	words=$(cat)
	lab_in node "$1-restore" <<-EOF
		*nat
		:POSTROUTING ACCEPT [0:0]
		:$CHAIN - [0:0]
		$jump
		-A $CHAIN -d 10.0.0.0/8 -j RETURN
		-A $CHAIN -s 10.44.0.0/16 -j MASQUERADE
		COMMIT
	EOF
	lab_in node nft -f - <<<"$words"
	"${@:2}"
	lab_in node nft delete table inet other
	lab_in node "$1" -t nat -F
	lab_in node "$1" -t nat -X
}

beside_row() { # NAME CHECK...
	local words
	words=$(cat)
	# shellcheck disable=SC2317
	run() {
		beside_table iptables-nft "$@" <<<"$words"
	}
	row "$1" run "${@:2}"
}

# iptables says once more that there are legacy tables, and they never go
beside_legacy() {
	lab_in node iptables-legacy -t nat -A POSTROUTING -s 10.44.14.0/24 \
		-j SNAT --to-source 10.142.0.7
	restore iptables-nft <<-EOF
		$jump
		-A $CHAIN -j MASQUERADE
	EOF
	! masq migrate eth0 --no-wait >"$LAB_DIR/out" 2>&1 ||
		fail "$(cat "$LAB_DIR/out")"
	grep -q '^masqbpf: iptables-legacy nat, chain POSTROUTING: SNAT .*would translate what' \
		"$LAB_DIR/out" || fail "$(cat "$LAB_DIR/out")"
	! masq status 2>/dev/null || fail "it attached"
}

lab
for tool in nft legacy; do
	if ! lab_in node iptables-$tool -t nat -S >/dev/null 2>&1; then
		row_skip "random tables: iptables-$tool" "not in this kernel"
		continue
	fi
	row "random tables: iptables-$tool" random_tables $tool
done
lab
jump="-A POSTROUTING -m addrtype ! --dst-type LOCAL -j $CHAIN"
table_row "a second jump narrows nothing" iptables-nft says \
	nonMasqueradeCIDRs:-10.0.0.0/8masqLinkLocal:true <<-EOF
	$jump
	-A POSTROUTING -s 10.44.0.0/16 -j $CHAIN
	-A $CHAIN -d 10.0.0.0/8 -j RETURN
	-A $CHAIN -j MASQUERADE
EOF
table_row "nor in the other order" iptables-nft says \
	'nonMasqueradeCIDRs:[]masqLinkLocal:true' <<-EOF
	-A POSTROUTING -s 10.44.0.0/16 -o eth0 -j $CHAIN
	$jump
	-A $CHAIN -j MASQUERADE
EOF
table_row "jumps with -s are the pods" iptables-nft says \
	'nonMasqueradeCIDRs:[]podCIDRs:-10.44.0.0/16-10.55.0.0/16masqLinkLocal:true' <<-EOF
	-A POSTROUTING -s 10.44.0.0/16 -j $CHAIN
	-A POSTROUTING -s 10.55.0.0/16 -j $CHAIN
	-A $CHAIN -j MASQUERADE
EOF
table_row "a jump with -o stands in the way" iptables-nft refuses \
	'rule 1 of POSTROUTING cannot be said in a config: -o \(-o eth0 -j' <<-EOF
	-A POSTROUTING -o eth0 -j $CHAIN
	-A $CHAIN -j MASQUERADE
EOF
table_row "a jump with -p stands in the way" iptables-nft refuses \
	'rule 1 of POSTROUTING cannot be said in a config: -p' <<-EOF
	-A POSTROUTING -p tcp -j $CHAIN
	-A $CHAIN -j MASQUERADE
EOF
table_row "two jumps, one of them by a mark" iptables-nft refuses \
	'rule 2 of POSTROUTING cannot be said in a config: --mark' <<-EOF
	-A POSTROUTING -s 10.44.0.0/16 -j $CHAIN
	-A POSTROUTING -m mark --mark 0x1 -j $CHAIN
	-A $CHAIN -j MASQUERADE
EOF
table_row "sources with destinations of their own" iptables-nft refuses \
	'rule 1 of IP-MASQ-AGENT .*destinations of their own' <<-EOF
	$jump
	-A $CHAIN -s 10.44.14.0/24 -d 172.16.0.0/12 -j RETURN
	-A $CHAIN -j MASQUERADE
EOF
table_row "accepted before the jump" iptables-nft says \
	'nonMasqueradeCIDRs:[]nonMasqueradeSrcCIDRs:-10.44.20.0/24masqLinkLocal:true' <<-EOF
	-A POSTROUTING -s 10.44.20.0/24 -j ACCEPT
	$jump
	-A $CHAIN -j MASQUERADE
EOF
table_row "a SNAT behind the jump would come to life" iptables-nft refuses \
	'rule 2 of POSTROUTING .*would translate what the chain takes now' <<-EOF
	$jump
	-A POSTROUTING -s 10.44.0.0/16 -j SNAT --to-source 10.142.0.7
	-A $CHAIN -j MASQUERADE
EOF
beside_row "a SNAT in another table" refuses \
	'^masqbpf: nft inet other, chain post: snat .*would translate what' <<-EOF
	table inet other {
		chain post {
			type nat hook postrouting priority 110
			ip saddr 10.44.14.0/24 snat ip to 10.142.0.7
		}
	}
EOF
beside_row "another table's masquerade, and what the chain does not take" says \
	nonMasqueradeCIDRs:-10.0.0.0/8podCIDRs:-10.44.0.0/16masqLinkLocal:true <<-EOF
	table inet other {
		chain post {
			type nat hook postrouting priority 110
			ip saddr 10.44.14.0/24 masquerade
			ip saddr 192.168.122.0/24 snat ip to 10.142.0.7
			ip6 saddr fd00:44::/64 snat ip6 to fd00:142::7
		}
	}
EOF
table_row "of several conditions the one that matters is named" iptables-nft \
	refuses 'rule 2 of IP-MASQ-AGENT cannot be said in a config: --mark' <<-EOF
	-A POSTROUTING -p tcp -m tcp --dport 80 -j MASQUERADE
	$jump
	-A $CHAIN -d 10.0.0.0/8 -j RETURN
	-A $CHAIN -m mark --mark 0x1 -j RETURN
	-A $CHAIN -p tcp -j MASQUERADE --to-ports 2000-3000
	-A $CHAIN -j MASQUERADE
EOF
table_row "SNAT in the chain" iptables-nft refuses \
	'rule 1 of IP-MASQ-AGENT cannot be said in a config: SNAT' <<-EOF
	$jump
	-A $CHAIN -j SNAT --to-source 10.142.0.7
EOF
table_row "a chain without an end" iptables-nft says \
	nonMasqueradeCIDRs:-0.0.0.0/0masqueradeCIDRs:-172.30.0.0/16masqLinkLocal:false <<-EOF
	$jump
	-A $CHAIN -d 172.30.0.0/16 -j MASQUERADE
EOF
table_row "ports of some packets alone" iptables-nft refuses \
	'rule 1 of IP-MASQ-AGENT cannot be said in a config: --to-ports' <<-EOF
	$jump
	-A $CHAIN -p tcp -d 172.30.0.0/16 -j MASQUERADE --to-ports 2000-3000
	-A $CHAIN -j MASQUERADE
EOF
table_row "what is never got to is in nobody's way" iptables-nft says \
	nonMasqueradeCIDRs:-10.0.0.0/8masqLinkLocal:true <<-EOF
	$jump
	-A $CHAIN -d 10.0.0.0/8 -j RETURN
	-A $CHAIN -d 10.9.0.0/16 -m mark --mark 0x1 -j MASQUERADE
	-A $CHAIN -j MASQUERADE
	-A $CHAIN -p tcp -j LOG
EOF
table_row "an IPv6 chain alone leaves IPv4 alone" ip6tables-nft says \
	nonMasqueradeCIDRs:-0.0.0.0/0-fd00::/8masqLinkLocal:falsemasqLinkLocalIPv6:trueenableIPv6:true <<-EOF
	$jump
	-A $CHAIN -d fd00::/8 -j RETURN
	-A $CHAIN -j MASQUERADE
EOF
table_row "beside an IPv4 chain that nothing jumps to, too" ip6tables-nft \
	unused_beside \
	nonMasqueradeCIDRs:-0.0.0.0/0masqLinkLocal:falsemasqLinkLocalIPv6:trueenableIPv6:true <<-EOF
	$jump
	-A $CHAIN -j MASQUERADE
EOF
table_row "a table that only nft can show" ip6tables-nft only_nft_can <<-EOF
	$jump
	-A $CHAIN -j MASQUERADE
EOF
# fails NAME WHY SCRIPT: with a chain of IPv6 that could be read
fails() {
	table_row "a tool that $1" ip6tables-nft tool_fails "$2" "$3" <<-EOF
		$jump
		-A $CHAIN -j MASQUERADE
	EOF
}

NOT_ALL='what it printed is not what it prints'
sh=$'#!/bin/sh\n'
fails fails 'it ended with status 4' "${sh}exit 4"
fails "is no program" 'Exec format error' "no program"
fails "may not be run" 'Permission denied' '#!/etc'
fails "is killed at once" 'a signal has ended it' "${sh}kill -KILL \$\$"
fails "crashes behind its last line" 'a signal has ended it' \
	"${sh}REAL \"\$@\"; kill -SEGV \$\$"
fails "prints half and is content" "$NOT_ALL" \
	"${sh}REAL \"\$@\" | sed '/^COMMIT/,\$d'"
fails "prints half a line" "$NOT_ALL" "${sh}REAL \"\$@\" | head -c -4"
fails "prints another's words" "$NOT_ALL" "${sh}echo usage: see the manual"
fails "prints a zero byte" "$NOT_ALL" \
	"${sh}REAL \"\$@\" | sed 's/MASQ-AGENT/\\x00/'"
fails "prints without end" 'it printed more than 128 MiB' \
	"${sh}exec cat /dev/zero"
if lab_in node iptables-legacy -t nat -S >/dev/null 2>&1; then
	row "a SNAT in legacy iptables" beside_legacy
fi
tap_done
