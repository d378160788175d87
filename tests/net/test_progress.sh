#!/usr/bin/env bash
# What takes longer than a second says how far it is: attach beside a full
# conntrack table, flush, detach, many prefixes. strace makes every step of
# theirs slow.
# When it speaks, to whom and what it leaves: tests/unit/test_progress.c.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

POD=10.44.14.15
ENTRIES=150

lab_begin
lab_node_far
lab_pod pod $POD
# so that this namespace tracks connections
lab_in node iptables-nft -A FORWARD -m conntrack --ctstate NEW -j ACCEPT

# slowly CALL ARG...: masqbpf in a terminal, DELAY (10) ms more for each such
# call; what the terminal got is $LAB_DIR/out
slowly() {
	lab_in node script -qec "strace -f -o /dev/null -e trace=$1 \
		-e inject=$1:delay_exit=${DELAY:-10}000 '$MASQBPF' ${*:2}" \
		/dev/null >"$LAB_DIR/out" </dev/null ||
		fail "$(cat "$LAB_DIR/out")"
}

# screen: the lines that are left when all has been drawn
screen() {
	"$PYTHON" - "$LAB_DIR/out" <<-'EOP'
		import sys

		for line in open(sys.argv[1], newline="").read().split("\n"):
		    shown = ""
		    for part in line.rstrip("\r").split("\r"):
		        shown = part + shown[len(part):]
		    print(shown.rstrip())
	EOP
}

# drawn WHAT: a line that says N of M, and M is right
drawn() {
	tr '\r' '\n' <"$LAB_DIR/out" |
		grep -Eqx "masqbpf: $1 *" || fail "not drawn: $1 in $(cat "$LAB_DIR/out")"
}

attach() {
	is entries "$(lab_in node "$PYTHON" "$LAB_LIB/conntrack.py" \
		$ENTRIES $POD)" $ENTRIES
	slowly sendto attach eth0 --preset gke-before-1.14
	drawn "conntrack: taking over: [0-9]+ of $ENTRIES entries seen"
	is screen "$(screen)" \
		"masqbpf: eth0 ($(lab_hook)): attached; generation 1: 5 prefixes, built-in ones included"
}

flush() {
	slowly bpf flush
	drawn "flush: [0-9]+ of $ENTRIES flows"
	is screen "$(screen)" "masqbpf: $ENTRIES flows ended"
}

detach() {
	slowly sendto detach --all
	drawn "conntrack: looking for our flows: [0-9]+ of $ENTRIES entries seen"
	is screen "$(screen)" "masqbpf: detached; the instance is removed"
}

# Flows from outside may be as many as maxFlows says: the rest is said.
no_room() {
	printf 'maxFlows: 128\n' >"$LAB_DIR/small.yaml"
	masq attach eth0 --config "$LAB_DIR/small.yaml" 2>"$LAB_DIR/err"
	grep -q "$((ENTRIES - 128)) flows not taken over: no room; raise maxFlows" \
		"$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
	is flows "$(masq status --json | jq .flows)" 128
}

# Where the trie takes batches, a call is a thousand prefixes.
many_prefixes() {
	local delay=100
	! lab_kernel_before 5.13 || delay=1
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$LAB_DIR/few.yaml"
	{
		cat "$LAB_DIR/few.yaml"
		echo "masqueradeCIDRs:"
		seq 0 19999 | awk '{
			printf "- 10.%d.%d.0/24\n", $1 / 256, $1 % 256 }'
	} >"$LAB_DIR/many.yaml"
	masq attach eth0 --config "$LAB_DIR/many.yaml"
	masq reload --config "$LAB_DIR/few.yaml" --yes
	DELAY=$delay slowly bpf reload --config "$LAB_DIR/many.yaml"
	drawn "apply: [0-9]+ of 2000[0-9] prefixes"
	# what flips stands above it
	is screen "$(screen | grep generation)" \
		"masqbpf: generation 3: +20000 -0 ~0 prefixes"
}

row "attach beside $ENTRIES connections" attach
row_ok && row "flush of $ENTRIES flows" flush
row_ok && row "detach" detach
row_ok && row "attach beside more than there is room for" no_room
row_ok && masq -q detach --all
row "20,000 prefixes" many_prefixes
tap_done
