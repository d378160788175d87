#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# bench_tools.sh - measures what an operator waits for, and what looking costs
# the packets. Nothing passes or fails. docs/performance.md tells its numbers.
#
#	scripts/bench_tools.sh [flows|watch|plan]...
#
# Commands are timed with real-time priority where that is permitted, so that
# wall time is not that of whatever else the machine does; packets are not.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/bench.sh
. scripts/bench.sh

REPEAT=${REPEAT:-7}
first=() # what runs a measured command first
! chrt -f 1 true 2>/dev/null || first=(chrt -f 1)

# spread NAME UNIT VALUE...: median and in brackets least and greatest
spread() {
	local name=$1 unit=$2 sorted
	shift 2
	mapfile -t sorted < <(printf '%s\n' "$@" | sort -n)
	printf '%-44s %8s (%s..%s) %s\n' "$name" "${sorted[$(($# / 2))]}" \
		"${sorted[0]}" "${sorted[$(($# - 1))]}" "$unit"
}

# times COMMAND...: wall and processor seconds, as "WALL CPU"
times() {
	local TIMEFORMAT='%R %U %S'
	{ time "${first[@]}" "$@" >/dev/null; } 2>&1 |
		awk '{ printf "%.2f %.2f\n", $1, $2 + $3 }'
}

# listing NAME ARG...: of masqbpf on the node
listing() {
	local name=$1 i line walls=() cpus=()
	shift
	for ((i = 0; i < REPEAT; i++)); do
		line=$(times nsenter --net="/run/netns/$LAB_ID-masqbpf-node" \
			"$MASQBPF" --pin-dir "$(pins masqbpf)" "$@")
		walls+=("${line% *}")
		cpus+=("${line#* }")
	done
	spread "$name, wall" s "${walls[@]}"
	spread "$name, processor" s "${cpus[@]}"
}

# flows: a full table of the default size
bench_flows() {
	labs masqbpf
	establish "$MAX_FLOWS" masqbpf
	echo "$(masq masqbpf status --json | jq .flows) live flows:"
	listing flows flows
	listing 'flows --json' flows --json
	listing 'flows --unreplied' flows --unreplied
	listing 'flows --node-port 41532' flows --node-port 41532
	listing 'explain' explain 11.0.0.1
	sed 's|^nonMasqueradeCIDRs: \[|&11.0.0.0/9, |' "$LAB_DIR/config.yaml" \
		>"$LAB_DIR/new.yaml"
	listing 'plan' plan "$LAB_DIR/new.yaml"
	echo "memory of flows: $(lab_in masqbpf-node /usr/bin/time -f %M \
		"$MASQBPF" --pin-dir "$(pins masqbpf)" flows 2>&1 >/dev/null) KiB"
}

# watching HOW: starts who watches; ended by unwatch
WATCHERS=()
watching() {
	local i=0 n=$1
	WATCHERS=()
	for ((; i < n; i++)); do
		lab_spawn masqbpf-node "$MASQBPF" -q \
			--pin-dir "$(pins masqbpf)" watch --events new,end,drop
		WATCHERS+=("$LAB_PID")
	done >/dev/null
	lab_wait 5 listeners "$n"
}

listeners() {
	[ "$(bpftool -j map lookup pinned "$(pins masqbpf)/masq_watch" \
		key 0 0 0 0 | python3 -c '
import json, struct, sys
value = bytes(int(byte, 16) for byte in json.load(sys.stdin)["value"])
print(sum(1 for until, _, _ in struct.iter_unpack("=IIQ", value) if until))')" \
		-eq "$1" ]
}

unwatch() {
	local pid
	for pid in "${WATCHERS[@]}"; do
		kill -CONT "$pid"
		kill "$pid"
		lab_wait 5 lab_gone "$pid"
	done
}

# watch: new flows and established packets with nobody, one, four listening,
# and with one that does not read
bench_watch() {
	local i way line name
	local -A new=() old=()
	labs masqbpf
	establish 64 masqbpf
	for ((i = 0; i < REPEAT; i++)); do
		for way in 0 1 4 stopped; do
			case $way in
			stopped)
				watching 1
				kill -STOP "${WATCHERS[0]}"
				;;
			*) watching $way ;;
			esac
			line=$(flood masqbpf out first=$((1000 + 40000 * i)) \
				flows=20000 count=20000)
			all_arrived "$line"
			new[$way]+=" $(value ns "$line")"
			masq masqbpf flush --port 7777 --dest 11.0.0.0/8
			establish 64 masqbpf
			line=$(flood masqbpf out flows=64 order=random \
				count=1000000)
			old[$way]+=" $(value ns "$line")"
			unwatch
		done
	done
	for way in 0 1 4 stopped; do
		case $way in
		stopped) name="one that does not read" ;;
		*) name="$way listening" ;;
		esac
		# shellcheck disable=SC2086 # lists
		spread "new flow, $name" ns ${new[$way]}
		# shellcheck disable=SC2086
		spread "established packet, $name" ns ${old[$way]}
	done
	python3 - "${new[0]}" "${new[1]}" "${new[4]}" "${new[stopped]}" \
		"${old[0]}" "${old[1]}" "${old[4]}" "${old[stopped]}" <<-'PAIRS'
		import statistics, sys
		rows = [[float(word) for word in text.split()] for text in sys.argv[1:]]
		for name, part in (("new flow", rows[:4]), ("established packet", rows[4:])):
		    for way, row in zip(("1 listening", "4 listening", "one that does not read"), part[1:]):
		        ratios = [a / b for a, b in zip(row, part[0])]
		        print(f"{name}, {way}: {statistics.median(ratios):.2f} of nobody's "
		              f"({min(ratios):.2f}..{max(ratios):.2f})")
	PAIRS
}

# plan: 100,000 prefixes against 100,000 with 1,000 changed
bench_plan() {
	python3 - "$LAB_DIR" <<-'FILES'
		import sys
		for name, keep in (("old", 0), ("new", 1000)):
		    with open(f"{sys.argv[1]}/{name}.yaml", "w") as f:
		        f.write("cidrLimit: 200000\nnonMasqueradeCIDRs:\n")
		        for n in range(100000 + keep):
		            if name == "new" and n < keep:
		                continue
		            f.write(f"  - {20 + n // 65536}.{n // 256 % 256}.{n % 256}.0/24\n")
	FILES
	local i line walls=() cpus=()
	for ((i = 0; i < REPEAT; i++)); do
		line=$(times "$MASQBPF" plan "$LAB_DIR/new.yaml" \
			--against "$LAB_DIR/old.yaml")
		walls+=("${line% *}")
		cpus+=("${line#* }")
	done
	spread 'plan of 100,000 prefixes, wall' s "${walls[@]}"
	spread 'plan of 100,000 prefixes, processor' s "${cpus[@]}"
}

case ${1-} in
-h | --help)
	sed -n 's/^# \{0,1\}//;3,/^set /{/^set /!p}' "$0"
	exit 0
	;;
esac
[ $# -gt 0 ] || set -- flows watch plan
make -s build/masqbpf build/tests/bench/bench
echo "kernel $(uname -r), $(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg)," \
	"$(git describe --always --dirty 2>/dev/null), $REPEAT runs:" \
	"median (least..greatest)${first[*]:+, commands with real-time priority}"
start
for stage; do
	"bench_$stage"
done
