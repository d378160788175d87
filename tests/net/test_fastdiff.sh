#!/usr/bin/env bash
# The fast path does what the stack does: two labs, one with it and one without,
# get the same scripted random traffic (tests/lib/fastdiff.py), and what comes
# out, all bytes of it, what rules have dropped, and what masqbpf has counted is
# compared. The only differences that there may be (docs/fastpath.md) are in the
# second after a change, in which nothing is sent, and in counters of rules that
# drop nothing.
#	test_fastdiff.sh [SEED...]	FASTDIFF_SEEDS="FIRST LAST", FAST_HOOK=tc
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

HOOK=${FAST_HOOK:-auto}

# A change of these is a change of the test; random ones are torture's.
SEEDS=(3 5 8)
[ $# -eq 0 ] || SEEDS=("$@")
[ -z "${FASTDIFF_SEEDS:-}" ] ||
	read -ra SEEDS < <(eval "echo {${FASTDIFF_SEEDS/ /..}}")

quiet() { # NS: its stack answers nothing; what comes is read off the wire
	lab_in "$1" nft -f - <<-X
		table inet quiet {
			chain in {
				type filter hook prerouting priority -300
				meta l4proto { tcp, udp, icmp } drop
				icmpv6 type < 128 drop
			}
		}
	X
}

mac_of() { # NS DEV
	lab_in "$1" ip -j link show "$2" | jq -r '.[0].address'
}

# side on|off OUT: a lab of its own, and all seeds in it
side() {
	local i seed
	TAP_DIR= # not this one's to take away
	lab_begin
	lab_node_far
	lab_pods 3
	lab_ipv6
	for i in 1 2 3; do
		quiet pod$i
		# nobody asks, and nobody waits for an answer
		lab_in node ip neigh replace 10.44.14.$((14 + i)) dev pod$i \
			lladdr "$(mac_of pod$i eth0)" nud permanent
		lab_in node ip neigh replace fd00:44::$((14 + i)) dev pod$i \
			lladdr "$(mac_of pod$i eth0)" nud permanent
	done
	quiet far
	lab_in node ip neigh replace $FAR_GATEWAY dev eth0 \
		lladdr "$(mac_of far eth0)" nud permanent
	lab_in node ip neigh replace $FAR_GATEWAY6 dev eth0 \
		lladdr "$(mac_of far eth0)" nud permanent
	lab_in node sysctl -qw net.ipv4.icmp_ratelimit=0 \
		net.ipv6.icmp.ratelimit=0
	# conntrack in use, and as liberal with the one as with the other
	lab_in node nft add table inet tracked
	lab_in node nft add chain inet tracked c \
		'{ type filter hook prerouting priority 0; }'
	lab_in node nft add rule inet tracked c ct state invalid counter
	lab_in node sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=1
	printf 'nonMasqueradeCIDRs: [10.0.0.0/8]\nenableIPv6: true\n' \
		>"$LAB_DIR/config.yaml"
	masq attach -q eth0 --hook "$HOOK" --fast-path="$1" --config "$LAB_DIR/config.yaml"
	for seed in "${SEEDS[@]}"; do
		"$PYTHON" "$LAB_LIB/fastdiff.py" "$LAB_ID" "$seed" \
			>"$2/$seed.out" 2>&1 || echo "status $?" >>"$2/$seed.out"
		masq flows --json | jq -c 'sort_by(.orig.src, .orig.sport)[] |
			[.orig, .xlat, .state, .egress, .ingress]' \
			>>"$2/$seed.out"
		masq status --json | jq -c .fast_path_share >"$2/$seed.share"
		masq flush -q
		echo >"$2/$seed.done"
	done
}

same() { # SEED
	[ "$(find "$OUT" -name "$1.done" | wc -l)" = 2 ] ||
		fail "$(tail -n 5 "$OUT/on.log" "$OUT/off.log" "$OUT"/*/"$1.out" 2>&1)"
	grep -q "^status" "$OUT/on/$1.out" && fail "$(tail "$OUT/on/$1.out")"
	diff -U 4 --label "seed $1: the stack" --label "the fast path" \
		"$OUT/off/$1.out" "$OUT/on/$1.out" ||
		fail "test_fastdiff.sh $1 does it again"
	note "$(grep -c '^  ' "$OUT/on/$1.out") packets came out"
}

# It would prove nothing if all had taken the stack.
used() {
	local last=${SEEDS[-1]}
	note "$(cat "$OUT/on/$last.share")"
	jq -e '.egress > 0.3 and .ingress > 0.3' "$OUT/on/$last.share" \
		>/dev/null || fail "only $(cat "$OUT/on/$last.share")"
	is "without it" "$(cat "$OUT/off/$last.share")" null
}

OUT=$(mktemp -d "${TMPDIR:-/tmp}/masqbpf-diff.XXXXXX")
trap 'rm -rf "$OUT" "$TAP_DIR"' EXIT
mkdir "$OUT/on" "$OUT/off"
sides=()
for mode in on off; do
	(side $mode "$OUT/$mode") >"$OUT/$mode.log" 2>&1 &
	sides+=($!)
done
trap 'kill "${sides[@]}" 2>/dev/null || true; wait; rm -rf "$OUT" "$TAP_DIR"' EXIT
for pid in "${sides[@]}"; do
	wait "$pid" || true
done
for seed in "${SEEDS[@]}"; do
	row "seed $seed: the same as by the stack" same "$seed"
done
row "most of it took the fast path" used
tap_done
