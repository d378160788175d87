#!/usr/bin/env bash
# Promise 1: no packet of a pod towards a masquerade prefix leaves with any
# source but the node's, however strange it is. Everything that a scanner's
# probes can be, in both families, out of tests/lib/probes.py; the far side
# counts sources. First without masqbpf: what the kernel forwards has to be
# seen there with the pod's source, or the test could not see a leak.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

export LAB_IPV6=true
lab_begin
lab_node_far
lab_pod pod1 10.44.14.15
lab_ipv6
node_mac=$(lab_in node ip -j link show pod1 | jq -r ".[0].address")

# probes NAME [DROPS_COMMAND...]: the table goes to LAB_DIR/NAME
probes() {
	local name=$1
	shift
	"$PYTHON" "$LAB_LIB/probes.py" "$LAB_ID-pod1" "$node_mac" \
		"$LAB_ID-far" "$@" >"$LAB_DIR/$name" 2>"$LAB_DIR/$name.leaks" ||
		fail "$(cat "$LAB_DIR/$name.leaks")"
}

reach() {
	lab_in node ping -c 1 -W 5 $FAR_GATEWAY
	lab_in node ping -c 1 -W 5 $FAR_GATEWAY6
	lab_in node ping -c 1 -W 5 10.44.14.15
	lab_in node ping -c 1 -W 5 fd00:44::15
}

# column TABLE FAMILY CLASS NUMBER
column() {
	awk -v f="$2" -v c="$3" -v n="$4" '$1 == f && $2 == c { print $n }' \
		"$LAB_DIR/$1"
}

seen_without() { # FAMILY CLASS
	local leaked
	leaked=$(column off "$1" "$2" 5)
	note "$leaked of $(column off "$1" "$2" 3)"
	[ "$leaked" -gt 0 ] ||
		fail "the far side saw none: nothing is shown by this class"
}

none_leaks() { # FAMILY CLASS
	local arrived leaked dropped
	arrived=$(column on "$1" "$2" 4)
	leaked=$(column on "$1" "$2" 5)
	dropped=$(column on "$1" "$2" 6)
	[ "$leaked" -eq 0 ] ||
		fail "$leaked of them arrived untranslated:" \
			"$(grep "^$1	$2	" "$LAB_DIR/on.leaks")"
	note "$arrived translated, $dropped dropped and counted"
	# whatever the kernel forwards is one or the other
	[ $((arrived + dropped)) -ge "$(column off "$1" "$2" 5)" ] ||
		fail "$(column off "$1" "$2" 5) were forwarded without masqbpf"
}


row "the node reaches far and the pod" lab_wait 10 reach
row "the probes, without masqbpf" probes off
row "masqbpf starts" lab_nat masqbpf
cat >"$LAB_DIR/drops" <<-END
	#!/bin/sh
	nsenter --net="$(lab_netns node)" -- "$MASQBPF" counters --json |
		jq '[.drops[]] | add'
END
chmod +x "$LAB_DIR/drops"
row "the probes, through masqbpf" probes on "$LAB_DIR/drops"
while read -r family class _; do
	row "$family ${class//_/ }: seen without masqbpf" \
		seen_without "$family" "$class"
	row "$family ${class//_/ }: none leaks" none_leaks "$family" "$class"
done <"$LAB_DIR/off"
tap_done
