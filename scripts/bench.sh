#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# bench.sh - measures masqbpf beside what else a node can do with its pods'
# packets, in throw-away namespaces. Nothing of it is a test.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
	cat <<-EOF
	usage: scripts/bench.sh [--quick]

	--quick  only the programs' own run time per packet, in two minutes
	EOF
}

. tests/lib/lab.sh

BENCH=$LAB_ROOT/build/tests/bench/bench
MAX_FLOWS=${MAX_FLOWS:-262144}
TRAFFIC=()

# lab NAME: pod, node and far network with the names NAME-pod ... The node's
# neighbours are fixed: nothing but the measured frames on the wires.
lab() {
	local pod=$1-pod node=$1-node far=$1-far
	lab_ns "$pod" "$node" "$far"
	lab_link "$node" eth0 "$far" eth0
	lab_link "$node" pod0 "$pod" eth0
	lab_in "$node" sysctl -qw net.ipv4.ip_forward=1
	lab_in "$node" ip addr add $NODE_ADDR/20 dev eth0
	lab_in "$node" ip addr add 10.44.14.1/32 dev pod0
	lab_in "$node" ip route add 10.44.14.0/24 via 10.44.14.15 dev pod0 onlink
	lab_in "$node" ip route add default via $FAR_GATEWAY
	lab_in "$node" ip neigh replace $FAR_GATEWAY dev eth0 nud permanent \
		lladdr "$(mac "$far" eth0)"
	lab_in "$node" ip neigh replace 10.44.14.15 dev pod0 nud permanent \
		lladdr "$(mac "$pod" eth0)"
	lab_in "$pod" ip addr add 10.44.14.15/32 dev eth0
	lab_in "$pod" ip route add 10.44.14.1 dev eth0
	lab_in "$pod" ip route add default via 10.44.14.1
	lab_in "$far" ip addr add $FAR_GATEWAY/20 dev eth0
	lab_in "$far" ip route add local 198.18.0.0/15 dev lo
}

# mac NS DEV: sysfs would show the machine's own devices here
mac() {
	lab_in "$1" ip -j link show "$2" | jq -r '.[0].address'
}

masq_config() {
	cat <<-EOF
	nonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]
	maxFlows: $MAX_FLOWS
	maxFlowsPerPod: $MAX_FLOWS
	timeouts: {udp: 1h, udpUnreplied: 1h}
	EOF
}

# flood LAB SOURCE out|in KEY=VALUE...: one line of the result. What arrives
# must have the right address: SOURCE is what the far side has to see.
flood() {
	local lab=$1 seen=$2 dir=$3
	shift 3
	case $dir in
	out) set -- dev=pod0 sink="$LAB_ID-$lab-far" sink_dev=eth0 \
		hook_dev=eth0 src=10.44.14.15 want_src="$seen" "$@" ;;
	in) set -- dev=eth0 sink="$LAB_ID-$lab-pod" sink_dev=eth0 \
		hook_dev=eth0 src="$seen" want_dst=10.44.14.15 "$@" ;;
	esac
	"$BENCH" flood node="$LAB_ID-$lab-node" dir="$dir" "$@"
}

# value KEY LINE
value() {
	sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" <<<"$2"
}

# checked LINE: fails when frames were lost or had a wrong address
checked() {
	local sent seen wrong
	sent=$(value sent "$1") seen=$(value seen "$1") wrong=$(value wrong "$1")
	if [ "$wrong" -ne 0 ] || [ $((seen * 1000)) -lt $((sent * 995)) ]; then
		echo "bench: of $sent frames $seen arrived, $wrong wrongly" >&2
		return 1
	fi
}

# establish LAB SOURCE FLOWS: two packets each way for every flow
establish() {
	local dir
	for dir in out in out in; do
		checked "$(flood "$1" "$2" $dir flows="$3" count="$3")"
	done
}

# median: of the numbers on stdin, with the range
median() {
	sort -n | awk '{ v[NR] = $1 } END { printf "%.1f %.1f %.1f\n",
		NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2,
		v[1], v[NR] }'
}

# --- the programs' own time ------------------------------------------------

# per_program REPEAT FLOWS...: run time per packet by the kernel's accounting
per_program() {
	local repeat=$1 flows dir what order i line src out=$LAB_DIR/programs
	local rows=()
	shift
	: >"$out"
	for flows; do
		establish plain 10.44.14.15 "$flows"
		establish masq $NODE_ADDR "$flows"
		order=random
		for ((i = 0; i < repeat; i++)); do
			for dir in out in; do
				for what in empty bare masq; do
					case $what-$dir in
					masq-out)
						line=$(flood masq $NODE_ADDR out flows="$flows" order=$order \
							prog="$MASQBPF_PIN_DIR/masq_egress") ;;
					masq-in)
						line=$(flood masq $NODE_ADDR in flows="$flows" order=$order \
							prog="$MASQBPF_PIN_DIR/masq_ingress") ;;
					*-out)
						line=$(flood plain 10.44.14.15 out flows="$flows" order=$order \
							own=$what table=$((2 * MAX_FLOWS))) ;;
					*-in)
						# the sink's pod address, the key of the node's
						line=$(flood plain 10.44.14.15 in flows="$flows" order=$order \
							own=$what table=$((2 * MAX_FLOWS)) node_addr=$NODE_ADDR) ;;
					esac
					checked "$line"
					printf '%s\t%s\t%s\t%s\n' "$flows" "$dir" "$what" "$(value prog_ns "$line")" >>"$out"
				done
			done
		done
	done
	printf '%-8s %-8s %21s %21s %21s %7s %7s %7s\n' flows hook 'empty' 'bare lookup' 'masqbpf' '-empty' '/bare' 'above'
	for flows; do
		for dir in out in; do
			line=
			for what in empty bare masq; do
				line+=" $(awk -v f="$flows" -v d=$dir -v w=$what '$1 == f && $2 == d && $3 == w { print $4 }' "$out" | median)"
			done
			awk -v f="$flows" -v d="$dir" '{
				printf "%-8s %-8s", f, d == "out" ? "egress" : "ingress"
				for (i = 1; i < 9; i += 3)
					printf " %7.1f (%5.1f..%5.1f)", $i, $(i + 1), $(i + 2)
				printf " %7.1f %7.2f %7.2f\n", $7 - $1, $7 / $4, ($7 - $1) / ($4 - $1)
			}' <<<"$line"
		done
	done
}

quick() {
	lab plain
	lab masq
	masq_config >"$LAB_DIR/config.yaml"
	lab_in "$LAB_ID-masq-node" true 2>/dev/null || true
	nsenter --net="/run/netns/$LAB_ID-masq-node" "$MASQBPF" -q attach eth0 --config "$LAB_DIR/config.yaml"
	per_program "${REPEAT:-5}" 64 65536
}

case ${1-} in
--quick) lab_begin; quick ;;
--lib) ;;
-h | --help) usage ;;
*) usage >&2; exit 2 ;;
esac
