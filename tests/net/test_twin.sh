#!/usr/bin/env bash
# One script of packets (tests/lib/twin.py) through nft masquerade and through
# masqbpf, in identical labs: what arrives on the other side is compared field
# by field. A difference stands in docs/twin.md with its reason, or fails; so
# does a reason for a difference that is none any more.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

TABLE=$LAB_ROOT/docs/twin.md

lab_begin
lab_node_far
lab_pod pod1 10.44.14.15
# nobody answers but the script: no RST for what no socket knows
for ns in pod1 far; do
	lab_in $ns nft -f - <<-END
		table inet silence {
			chain out {
				type filter hook output priority 0
				meta l4proto { tcp, udp, icmp, sctp, dccp } drop
				meta l4proto { 33, 47, 50, 99, 132, 136 } drop
			}
		}
	END
done
lab_in far ip route add 10.44.0.0/16 via $NODE_ADDR

mac() {
	lab_in node ip -j link show "$1" | jq -r '.[0].address'
}

script() {
	lab_in node ping -c 1 -W 1 $FAR_GATEWAY >/dev/null || true
	lab_in node ping -c 1 -W 1 10.44.14.15 >/dev/null || true
	lab_nat "$1"
	# the twin forgets no earlier on a slow machine
	[ "$1" != nft ] || lab_in node sysctl -qw \
		net.netfilter.nf_conntrack_udp_timeout=$((30 * TEST_SLOW)) \
		net.netfilter.nf_conntrack_icmp_timeout=$((30 * TEST_SLOW))
	"$PYTHON" "$LAB_LIB/twin.py" "$LAB_ID-pod1" "$LAB_ID-far" \
		"$(mac pod1)" "$(mac eth0)" >"$LAB_DIR/$1"
	lab_nat_off "$1"
	note "$(wc -l <"$LAB_DIR/$1") steps"
}

field() { # NAT STEP
	awk -F'\t' -v step="$2" '$1 == step { print $2 }' "$LAB_DIR/$1"
}

agree() {
	local listed nft ours
	nft=$(field nft "$1")
	ours=$(field masqbpf "$1")
	listed=$(awk -F' *[|] *' -v step="$1" '$2 == step' "$TABLE")
	if [ "$nft" = "$ours" ]; then
		[ -z "$listed" ] || fail "no difference, yet listed: $listed"
		return
	fi
	[ -n "$listed" ] || fail "differs, and docs/twin.md does not say why:
nft:     $nft
masqbpf: $ours"
	note "differs as docs/twin.md says"
}

listed_exist() {
	local step
	while read -r step; do
		cut -f1 "$LAB_DIR/nft" | grep -qxF -- "$step" ||
			fail "no such step: $step"
	done < <(awk -F' *[|] *' '/^\|/ && !/^\|(-| step )/ { print $2 }' \
		"$TABLE")
}

# masqbpf first: it would take over what conntrack has seen
row "masqbpf: the script" script masqbpf
row "nft: the script" script nft
while IFS=$'\t' read -r step _; do
	row "$step" agree "$step"
done <"$LAB_DIR/nft"
row "every step listed in docs/twin.md exists" listed_exist
tap_done
