#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# bench.sh - measures masqbpf beside what else a node can do with the packets
# of its pods, in throw-away namespaces. It is not a test: nothing passes or
# fails, except that lost frames and wrong addresses end it.
#
# Every column has a lab of its own: pod - node - far. One run of a row goes
# through all columns before the next repetition, so that what else the machine
# does meets all of them.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
	cat <<-EOF
		usage: scripts/bench.sh [--quick | --report | STAGE...]

		Without arguments every stage is measured and docs/performance.md
		written; with stages only these are measured anew.
		--quick   only the programs' own run time per packet; two minutes
		--report  only write the tables and plots from the last results
		stages:   ${STAGES[*]}
		environment: REPEAT=$REPEAT OUT=$OUT
		          WAYS='${WAYS[*]}'
		          FLOW_COUNTS='${FLOW_COUNTS[*]}'
	EOF
}

# shellcheck source=tests/lib/lab.sh
. tests/lib/lab.sh

STAGES=(packets tcp programs newflows cost connect memory listing load fill upgrade
	ports bulk latency policy xdp)
REPEAT=${REPEAT:-7}
OUT=${OUT:-build/bench/results.tsv}
BENCH=$LAB_ROOT/build/tests/bench/bench
MAX_FLOWS=262144 # the default of maxFlows
read -ra FLOW_COUNTS <<<"${FLOW_COUNTS:-1 64 10000 65536}"
PREFIXES=(10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 192.0.0.0/24
	192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24
	203.0.113.0/24 240.0.0.0/4 169.254.0.0/16)
POD_ADDR=10.44.14.15
CPU=$(($(nproc --all) - 1))
declare -A OWN=([bare]='bare lookup' [line]='one cache line')
# "old" is masqbpf with its flows in the kernel's hash map
OLD_REVISION=2bd5a44
OLD=$LAB_ROOT/build/bench/old/masqbpf-$OLD_REVISION
WAYS=${WAYS:-plain conntrack iptables nft old masqbpf masqbpf+conntrack old+fast \
masqbpf+fast masqbpf+fast+conntrack}
read -ra WAYS <<<"$WAYS"

# --- labs ------------------------------------------------------------------

# mac NS DEV: sysfs would show the machine's own devices here
mac() {
	lab_in "$1" ip -j link show "$2" | jq -r '.[0].address'
}

# lab NAME: pod, node and far network; the neighbours are fixed, so that there
# is nothing but the measured frames on the wires. far knows the way to pods,
# for the columns that don't translate.
lab() {
	local pod=$1-pod node=$1-node far=$1-far
	lab_ns "$pod" "$node" "$far"
	lab_link "$node" eth0 "$far" eth0
	lab_link "$node" pod0 "$pod" eth0
	lab_in "$node" sysctl -qw net.ipv4.ip_forward=1
	lab_in "$node" ip addr add $NODE_ADDR/20 dev eth0
	lab_in "$node" ip addr add 10.44.14.1/32 dev pod0
	lab_in "$node" ip route add 10.44.14.0/24 via $POD_ADDR dev pod0 onlink
	lab_in "$node" ip route add default via $FAR_GATEWAY
	lab_in "$node" ip neigh replace $FAR_GATEWAY dev eth0 nud permanent \
		lladdr "$(mac "$far" eth0)"
	lab_in "$node" ip neigh replace $POD_ADDR dev pod0 nud permanent \
		lladdr "$(mac "$pod" eth0)"
	lab_in "$pod" ip addr add $POD_ADDR/32 dev eth0
	lab_in "$pod" ip route add 10.44.14.1 dev eth0
	lab_in "$pod" ip route add default via 10.44.14.1
	lab_in "$far" ip addr add $FAR_GATEWAY/20 dev eth0
	lab_in "$far" ip route add local 11.0.0.0/8 dev lo
	lab_in "$far" ip route add 10.44.14.0/24 via $NODE_ADDR
}

pins() {
	echo "$LAB_DIR/bpf/$1"
}

# masq LAB ARGS...
masq() {
	local program=$MASQBPF
	case $1 in old*) program=$OLD ;; esac
	lab_in "$1-node" "$program" -q --pin-dir "$(pins "$1")" "${@:2}"
}

# The old program, from the repository's history.
old_program() {
	local src=${OLD%/*}/src
	[ ! -x "$OLD" ] || return 0
	rm -rf "$src"
	mkdir -p "$src"
	git archive "$OLD_REVISION" | tar -x -C "$src" ||
		{
			echo "bench: no revision $OLD_REVISION: a clone with history is needed" >&2
			return 1
		}
	make -s -C "$src" build/masqbpf
	cp "$src/build/masqbpf" "$OLD"
	rm -rf "$src"
}

masq_config() {
	local list
	list=$(printf ', %s' "${PREFIXES[@]}")
	cat <<-EOF
		nonMasqueradeCIDRs: [${list:2}]
		maxFlows: $MAX_FLOWS
		maxFlowsPerPod: ${MAX_PER_POD:-$MAX_FLOWS}
		timeouts: {udp: 1h, udpUnreplied: 1h}
	EOF
}

with_conntrack() {
	lab_in "$1-node" iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP
}

with_masqbpf() {
	masq_config >"$LAB_DIR/config.yaml"
	masq "$1" attach eth0 --config "$LAB_DIR/config.yaml" "${@:2}"
}

# column NAME: its lab
column() {
	local prefix
	lab "$1"
	case $1 in
	plain) ;;
	conntrack) with_conntrack "$1" ;;
	iptables)
		lab_in "$1-node" iptables -t nat -N IP-MASQ
		lab_in "$1-node" iptables -t nat -A POSTROUTING \
			-m addrtype ! --dst-type LOCAL -j IP-MASQ
		for prefix in "${PREFIXES[@]}"; do
			lab_in "$1-node" iptables -t nat -A IP-MASQ \
				-d "$prefix" -j RETURN
		done
		lab_in "$1-node" iptables -t nat -A IP-MASQ -j MASQUERADE
		;;
	nft)
		prefix=$(printf ', %s' "${PREFIXES[@]}")
		lab_in "$1-node" nft -f - <<-EOF
			table ip masq {
				set keep {
					type ipv4_addr
					flags interval
					elements = { ${prefix:2} }
				}
				chain out {
					type nat hook postrouting priority srcnat
					oifname eth0 ip daddr != @keep masquerade
				}
			}
		EOF
		;;
	masqbpf | old | xdp | masqbpf-* | old-*) with_masqbpf "$1" ;;
	masqbpf+conntrack)
		with_conntrack "$1"
		with_masqbpf "$1"
		;;
	masqbpf+fast | old+fast) with_masqbpf "$1" --fast-path ;;
	masqbpf+fast+conntrack)
		with_conntrack "$1"
		with_masqbpf "$1" --fast-path
		;;
	esac
	# nothing expires while it is measured, as in masq_config
	lab_in "$1-node" sysctl -qw net.netfilter.nf_conntrack_udp_timeout=3600 \
		net.netfilter.nf_conntrack_udp_timeout_stream=3600
}

# labs NAME...: of these columns, made anew, so that tables are empty
labs() {
	local name
	lab_clean
	set -e
	start
	for name; do
		column "$name"
	done
}

start() {
	lab_begin
	trap finish EXIT
}

# conntrack's limits belong to the machine, not to a namespace
[ -e /proc/sys/net/netfilter/nf_conntrack_max ] || modprobe nf_conntrack
CT_MAX=$(sysctl -n net.netfilter.nf_conntrack_max)
CT_BUCKETS=$(sysctl -n net.netfilter.nf_conntrack_buckets)

conntrack_size() {
	sysctl -qw net.netfilter.nf_conntrack_max="$1" \
		net.netfilter.nf_conntrack_buckets="$2"
}

finish() {
	local status=$?
	trap - EXIT
	set +e
	conntrack_size "$CT_MAX" "$CT_BUCKETS"
	lab_clean
	exit $status
}

# --- measuring -------------------------------------------------------------

# result STAGE COLUMN X METRIC VALUE
result() {
	printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$OUT"
}

# value KEY LINE
value() {
	sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" <<<"$2"
}

# flood LAB out|in KEY=VALUE...: one line of the result. What arrives has to
# have the address that is right for the column.
flood() {
	local lab=$1 dir=$2 seen=$NODE_ADDR
	shift 2
	case $lab in plain | conntrack) seen=$POD_ADDR ;; esac
	case $dir in
	out) set -- dev=pod0 sink="$LAB_ID-$lab-far" src=$POD_ADDR \
		want_src="$seen" "$@" ;;
	in) set -- dev=eth0 sink="$LAB_ID-$lab-pod" src="$seen" \
		want_dst=$POD_ADDR "$@" ;;
	esac
	"$BENCH" flood node="$LAB_ID-$lab-node" dir="$dir" sink_dev=eth0 \
		hook_dev=eth0 cpu="$CPU" "$@"
}

# all_arrived LINE: fails when frames were lost or had a wrong address
all_arrived() {
	local sent seen wrong
	sent=$(value sent "$1") seen=$(value seen "$1") wrong=$(value wrong "$1")
	if [ "$wrong" -ne 0 ] || [ $((seen * 1000)) -lt $((sent * 995)) ]; then
		echo "bench: of $sent frames $seen arrived, $wrong wrongly" >&2
		return 1
	fi
}

# establish FLOWS LAB...: packets each way for every flow, and more of them two
# seconds later, before which a UDP flow is not established
establish() {
	local dir line name flows=$1 rounds=0
	shift
	for dir in out in wait out in out in; do
		if [ $dir = wait ]; then
			sleep 2.1
			continue
		fi
		[ "$flows" -lt 1000000 ] || [ "$((rounds += 1))" -le 3 ] || break
		for name; do
			line=$(flood "$name" $dir flows="$flows" count="$flows")
			all_arrived "$line"
		done
	done
}

# establish_tcp FLOWS LAB...: a handshake and a segment each way for every flow
establish_tcp() {
	local what line name flows=$1
	shift
	for what in 'out syn' 'in synack' 'out again' 'in again'; do
		for name; do
			line=$(flood "$name" "${what% *}" proto=tcp \
				tcp="${what#* }" flows="$flows" count="$flows")
			all_arrived "$line"
		done
	done
}

# --- stages ----------------------------------------------------------------

# frames LAB FLOWS: of one measurement. The stack's consent to the fast path
# lasts a second, so there a measurement is longer than that, and the packets
# that ask for it again are in it as they are with any traffic; with more flows
# than have a packet each in that second it makes no difference.
frames() {
	case $1-$2 in
	*+fast*-1000000) echo 300000 ;;
	*+fast*) echo 6000000 ;;
	*) echo 300000 ;;
	esac
}

# skipped LAB: packets from pods that have taken the fast path until now
skipped() {
	case $1 in
	masqbpf+fast*) masq "$1" metrics | sed -n \
		's/^masqbpf_fast_path_packets_total{direction="egress"} //p' ;;
	*) echo 0 ;;
	esac
}

# established STAGE LAB FLOWS ORDER KEY=VALUE...: one measurement: ns of the
# whole way per packet, and how many of a hundred took the fast path
established() {
	local stage=$1 name=$2 flows=$3 order=$4 before line
	shift 4
	before=$(skipped "$name")
	line=$(flood "$name" out flows="$flows" order="$order" \
		count="$(frames "$name" "$flows")" "$@")
	all_arrived "$line"
	result "$stage" "$name" "$flows $order" ns "$(value ns "$line")"
	[[ $name != masqbpf+fast* ]] ||
		result "$stage" "$name" "$flows $order" share \
			"$(awk -v n="$(($(skipped "$name") - before))" \
				-v all="$(value sent "$line")" \
				'BEGIN { print 100 * n / all }')"
}

# packets: UDP, beside the least that a table costs
packets_of() {
	local flows=$1 name order i line
	establish "$flows" "${WAYS[@]}"
	for ((i = 0; i < REPEAT; i++)); do
		for order in random seq; do
			for name in "${WAYS[@]}"; do
				established packets "$name" "$flows" $order
			done
			# what one lookup per packet costs whoever does it, and the
			# least that any table could
			for name in bare line; do
				line=$(flood plain out flows="$flows" order=$order \
					own=$name table=$((2 * MAX_FLOWS)) \
					node_addr=$NODE_ADDR stats=0)
				all_arrived "$line"
				result packets "${OWN[$name]}" "$flows $order" ns \
					"$(value ns "$line")"
			done
		done
	done
}

stage_packets() {
	local flows
	labs "${WAYS[@]}"
	for flows in "${FLOW_COUNTS[@]}"; do
		packets_of "$flows"
	done
	# a million needs larger tables than the default everywhere
	conntrack_size 1200000 1048576
	MAX_FLOWS=1200000 labs "${WAYS[@]}"
	MAX_FLOWS=1200000 packets_of 1000000
	conntrack_size "$CT_MAX" "$CT_BUCKETS"
}

# tcp: the same of connections, which conntrack looks at more closely
stage_tcp() {
	local flows order i name
	labs "${WAYS[@]}"
	for flows in "${FLOW_COUNTS[@]}"; do
		establish_tcp "$flows" "${WAYS[@]}"
		for ((i = 0; i < REPEAT; i++)); do
			for order in random seq; do
				for name in "${WAYS[@]}"; do
					established tcp "$name" "$flows" $order \
						proto=tcp tcp=again
				done
			done
		done
	done
}

# programs: the kernel's own accounting, beside an empty program and a lookup
program() {
	local what=$1 dir=$2 flows=$3 line
	case $what-$dir in
	masqbpf-out | old-out) line=$(flood "$what" out flows="$flows" \
		order=random prog="$(pins "$what")/masq_egress") ;;
	masqbpf-in | old-in) line=$(flood "$what" in flows="$flows" \
		order=random prog="$(pins "$what")/masq_ingress") ;;
	*) line=$(flood plain "$dir" flows="$flows" order=random own="$what" \
		table=$((2 * MAX_FLOWS)) node_addr=$NODE_ADDR) ;;
	esac
	all_arrived "$line"
	if [ "$what" = bare ] && [ "$(value found "$line")" != "$(value runs "$line")" ]; then
		echo "bench: the bare lookup did not find its keys" >&2
		return 1
	fi
	result programs "$what" "$flows $dir" ns "$(value prog_ns "$line")"
}

stage_programs() {
	local flows i dir what line
	labs plain masqbpf old
	for flows in 64 65536; do
		establish "$flows" plain masqbpf old
		for ((i = 0; i < REPEAT; i++)); do
			for dir in out in; do
				for what in empty bare old masqbpf; do
					program $what $dir $flows
				done
				# one line a flow, by how large the array is that
				# the lines lie in
				for what in 8 32 128; do
					line=$(flood plain "$dir" flows="$flows" \
						order=random own=line \
						lines=$((what << 14)))
					all_arrived "$line"
					result programs "line $what" "$flows $dir" ns \
						"$(value prog_ns "$line")"
				done
			done
		done
	done
	for what in masq_egress masq_ingress; do
		for dir in old masqbpf; do
			result programs $dir "$what" insns \
				"$(bpftool -j prog show pinned "$(pins $dir)/$what" |
					jq .bytes_xlated/8)"
		done
	done
}

# newflows: ns of the first packet of a flow, with few and many live ones
newflows_at() {
	local live=$1 i name line first count=20000
	for ((i = 0; i < REPEAT; i++)); do
		first=$(((1 << 20) + (live > 0) * (1 << 20) + i * count))
		for name in "${WAYS[@]}"; do
			line=$(flood "$name" out first=$first flows=$count count=$count)
			all_arrived "$line"
			result newflows "$name" "$live" ns "$(value ns "$line")"
		done
	done
}

stage_newflows() {
	local name
	conntrack_size 1200000 "$CT_BUCKETS"
	MAX_FLOWS=524288 labs "${WAYS[@]}"
	newflows_at 0
	MAX_FLOWS=524288 labs "${WAYS[@]}"
	establish 60000 "${WAYS[@]}"
	newflows_at 60000
	conntrack_size "$CT_MAX" "$CT_BUCKETS"
}

# ports: one destination, more flows than ports; 64512 pairs of pod and port
# a pod. The first pod's flows keep their ports, later ones look for others.
stage_ports() {
	local name i line first one="dsts=1 spill=1 port=1024 ports=64512"
	for ((i = 0; i < 3; i++)); do
		labs iptables nft old masqbpf
		for name in iptables nft old masqbpf; do
			# shellcheck disable=SC2086 # several words
			{
				# half of all ports, as the pods have them
				line=$(flood "$name" out $one first=0 flows=32000 count=32000)
				result ports "$name" 'ports free' ns "$(value ns "$line")"
				# the other pods' flows share ports with the first's
				first=64512
				line=$(flood "$name" out $one first=$first flows=8000 count=8000)
				result ports "$name" 'own port taken' ns "$(value ns "$line")"
				result ports "$name" 'own port taken' arrived \
					"$(value seen "$line")"
				# fill up what is left
				flood "$name" out $one first=32000 flows=32512 count=32512 >/dev/null
				flood "$name" out $one first=$((64512 * 2)) flows=40000 count=40000 >/dev/null
				line=$(flood "$name" out $one first=$((64512 * 3)) flows=3000 count=3000)
				result ports "$name" 'no port left' ns "$(value ns "$line")"
				result ports "$name" 'no port left' arrived \
					"$(value seen "$line")"
				# another destination meanwhile
				line=$(flood "$name" out dst=11.1.0.1 flows=8000 count=8000)
				result ports "$name" 'elsewhere then' ns "$(value ns "$line")"
			}
		done
	done
}

# connect: TCP connections opened and closed, one processor for all of it
stage_connect() {
	local live name i line
	conntrack_size 1200000 "$CT_BUCKETS"
	for live in 0 60000; do
		labs "${WAYS[@]}"
		if [ $live -gt 0 ]; then
			establish $live "${WAYS[@]}"
		fi
		for ((i = 0; i < REPEAT; i++)); do
			for name in "${WAYS[@]}"; do
				line=$("$BENCH" connect client="$LAB_ID-$name-pod" \
					server="$LAB_ID-$name-far" ms=1500 cpu="$CPU")
				result connect "$name" $live per_s "$(value per_s "$line")"
				result connect "$name" $live failed "$(value failed "$line")"
			done
		done
	done
	conntrack_size "$CT_MAX" "$CT_BUCKETS"
}

# bulk: one TCP stream, both ends on one processor
stage_bulk() {
	local i name
	command -v iperf3 >/dev/null || {
		echo "bench: no iperf3: scripts/deps.sh bench" >&2
		return 1
	}
	labs "${WAYS[@]}"
	for name in "${WAYS[@]}"; do
		lab_spawn "$name-far" taskset -c "$CPU" iperf3 -s >/dev/null
	done
	sleep 0.5
	for ((i = 0; i < REPEAT; i++)); do
		for name in "${WAYS[@]}"; do
			result bulk "$name" 1 gbit "$(lab_in "$name-pod" taskset -c "$CPU" \
				iperf3 -J -t 2 -c 11.0.0.1 |
				jq '.end.sum_received.bits_per_second / 1e9')"
		done
	done
}

# latency: TCP request and response of 64 bytes
stage_latency() {
	local i name line
	labs "${WAYS[@]}"
	for ((i = 0; i < REPEAT; i++)); do
		for name in "${WAYS[@]}"; do
			line=$("$BENCH" rr client="$LAB_ID-$name-pod" \
				server="$LAB_ID-$name-far" ms=1000 cpu="$CPU")
			result latency "$name" 1 p50_us "$(value p50_us "$line")"
			result latency "$name" 1 p99_us "$(value p99_us "$line")"
		done
	done
}

memlock() {
	bpftool -j map show pinned "$1" | jq .bytes_memlock
}

# policy_files DIR: N.yaml with N prefixes each, and change-I.yaml, where
# 5,000 of 100,000 went and 5,000 others came since the one before.
policy_files() {
	python3 - "$1" "${PREFIXES[@]}" <<-'EOF'
		import ipaddress, random, sys
		out, base = sys.argv[1], sys.argv[2:]
		random.seed(5)
		seen = set(base)
		def fresh():
		    while True:
		        length = random.choice((20, 22, 24, 24, 24, 26, 28))
		        address = random.getrandbits(32) >> (32 - length) << (32 - length)
		        top = address >> 24
		        if top == 11 or top == 0 or top >= 224 or top == 127:
		            continue # what the packets are for is masqueraded
		        text = f'{ipaddress.IPv4Address(address)}/{length}'
		        if text not in seen:
		            seen.add(text)
		            return text
		def write(name, prefixes):
		    with open(f'{out}/{name}.yaml', 'w') as f:
		        f.write('cidrLimit: 200000\nmaxFlows: 262144\nmaxFlowsPerPod: 262144\n')
		        f.write('timeouts: {udp: 1h, udpUnreplied: 1h}\nnonMasqueradeCIDRs:\n')
		        f.writelines(f'  - {p}\n' for p in prefixes)
		many = base + [fresh() for _ in range(100000 - len(base))]
		for n in 12, 1000, 10000, 100000:
		    write(n, many[:n])
		for i in range(1, 10):
		    keep = many[len(base):]
		    random.shuffle(keep)
		    many = base + keep[5000:] + [fresh() for _ in range(5000)]
		    write(f'change-{i}', many)
	EOF
}

# policy: what its size costs
stage_policy() {
	local n i dir name line sum map where
	labs
	dir=$LAB_DIR/policy
	mkdir "$dir"
	policy_files "$dir"
	for n in 12 1000 10000 100000; do
		lab "p$n"
		masq "p$n" attach eth0 --config "$dir/$n.yaml" 2>/dev/null
		establish 64 "p$n"
		sum=0
		for map in trie_a trie_b prefixes counters; do
			sum=$((sum + $(memlock "$(pins "p$n")/masq_$map")))
		done
		result policy masqbpf $n bytes $sum
	done
	for ((i = 0; i < REPEAT; i++)); do
		for n in 12 1000 10000 100000; do
			line=$(flood "p$n" out flows=64 order=random \
				prog="$(pins "p$n")/masq_egress")
			all_arrived "$line"
			result policy masqbpf $n established_ns "$(value prog_ns "$line")"
			line=$(flood "p$n" out first=$(((1 << 20) + i * 20000)) \
				flows=20000 count=20000 prog="$(pins "p$n")/masq_egress")
			all_arrived "$line"
			result policy masqbpf $n new_ns "$(value prog_ns "$line")"
		done
	done
	for ((i = 1; i < 10; i++)); do
		# established traffic goes on meanwhile, on the other processor
		flood p100000 out flows=64 order=random count=2000000 cpu=0 \
			>"$LAB_DIR/meanwhile" &
		line=$(lab_in p100000-node "$BENCH" apply config="$dir/change-$i.yaml" \
			pin_dir="$(pins p100000)")
		wait $!
		all_arrived "$(<"$LAB_DIR/meanwhile")"
		for n in load build apply settle; do
			result policy masqbpf 100000 ${n}_ms "$(value ${n}_ms "$line")"
			result policy masqbpf 100000 ${n}_cpu_ms \
				"$(value ${n}_cpu_ms "$line")"
		done
	done
	for where in other same; do
		line=$(lab_in p100000-node "${BENCH%/*}/stall" \
			"$LAB_ID-p100000-pod" "$LAB_ID-p100000-far" 11.8.0.1 \
			"$(pins p100000)" "$dir/change-8.yaml" "$dir/change-9.yaml" \
			30 "$CPU" "$([ $where = same ] && echo "$CPU" || echo 0)" \
			2>"$LAB_DIR/stall")
		for n in quiet applying; do
			for name in p50_us p99_us p999_us max_us packets lost; do
				result policy masqbpf 100000 "stall_${where}_${n}_$name" \
					"$(value ${n}_$name "$line")"
			done
		done
	done
}

# memory: of every map, and what of it is a flow's
stage_memory() {
	local pin bytes name sum table
	labs masqbpf old
	for name in old masqbpf; do
		sum=0
		table=0
		for pin in "$(pins $name)"/masq_*; do
			bytes=$(bpftool -j map show pinned "$pin" 2>/dev/null |
				jq '.bytes_memlock // empty') || continue
			[ -n "$bytes" ] || continue # a program
			sum=$((sum + bytes))
			case ${pin##*/} in
			*ring4 | *flows4 | *aside4 | *locks) table=$((table + bytes)) ;;
			esac
			[ "$bytes" -lt 1000000 ] ||
				result memory $name "${pin##*/}" bytes "$bytes"
		done
		result memory $name 'all maps' bytes "$sum"
		result memory $name 'all maps, per maxFlows' bytes \
			"$(awk -v b=$sum -v n=$MAX_FLOWS 'BEGIN { printf "%.1f", b / n }')"
		# four records for each of maxFlows fill the new table as far as it
		# is made to be filled: two of a masqueraded flow, one of a kept
		# and one of an inbound one. The old table was one of pairs.
		result memory $name 'masqueraded flow' bytes \
			"$(awk -v b=$table -v n=$MAX_FLOWS -v part="$([ $name = old ] && echo 1 || echo 2)" \
				'BEGIN { printf "%.1f", b / n / part }')"
	done
}

# listing: processor seconds of `flows`, a full table of the default size
stage_listing() {
	local i name program
	labs old masqbpf
	establish $MAX_FLOWS old masqbpf
	for ((i = 0; i < REPEAT; i++)); do
		for name in old masqbpf; do
			program=$MASQBPF
			[ $name = masqbpf ] || program=$OLD
			result listing $name "$(masq $name status --json | jq .flows)" s "$(
				TIMEFORMAT='%U %S'
				{ time lab_in $name-node "$program" \
					--pin-dir "$(pins $name)" flows >/dev/null; } 2>&1 |
					awk '{ print $1 + $2 }'
			)"
		done
	done
}

# load: where records lie, in a table filled further and further. Masqueraded
# flows alone fill a third; then kept and inbound ones come.
stage_load() {
	local max=65536 step line x
	local -a way
	MAX_FLOWS=$max labs masqbpf
	for step in '16384 0' '32768 0' '65536 0' '65536 kept 32768' \
		'65536 kept 65536' '65536 inbound 32768' '65536 inbound 65536'; do
		read -ra way <<<"$step"
		case ${way[1]} in
		kept) flow_frames out dst=172.30.0.1 flows="${way[2]}" ;;
		inbound) flow_frames in src=$POD_ADDR dst=11.9.0.1 \
			flows="${way[2]}" ;;
		*) flow_frames out flows="${way[0]}" ;;
		esac >/dev/null
		line=$("${BENCH%/*}/walk" "$(pins masqbpf)")
		x="$(value records "$line")/$(value slots "$line")"
		for name in home lines_hit lines_most lines_miss spilled overflowed; do
			result load masqbpf "$x" $name "$(value $name "$line")"
		done
	done
}

# flow_frames out|in KEY=VALUE... flows=N: one packet of each flow, of lab masqbpf
# or of $LAB; nobody looks at the address that it arrives with
flow_frames() {
	local lab=${LAB:-masqbpf} dir=$1 count=${*: -1}
	shift
	case $dir in
	out) set -- "$@" src=$POD_ADDR dev=pod0 sink="$LAB_ID-$lab-far" ;;
	in) set -- "$@" dev=eth0 sink="$LAB_ID-$lab-pod" ;;
	esac
	"$BENCH" flood "$@" count="${count#flows=}" node="$LAB_ID-$lab-node" \
		dir="$dir" sink_dev=eth0 hook_dev=eth0 cpu="$CPU"
}

# cost: of a record, of making room for one and of refusing one: the kernel's
# time of the program, as the mean over a flood of a thousand
cost_row() {
	local what=$1 line lab=$2 prog=$3
	shift 3
	line=$(LAB=$lab flow_frames "$@" \
		prog="$(pins "$lab")/masq_$prog" flows=1000)
	result cost "${lab%%-*}" "$what" ns "$(value prog_ns "$line")"
	result cost "${lab%%-*}" "$what" seen "$(value seen "$line")"
}

# cost_pods LAB N: so many pods with 65,536 established flows each
cost_pods() {
	local dir pod
	for dir in out in wait out in out in; do
		[ $dir != wait ] || sleep 2.1
		for ((pod = 0; pod < $2; pod++)); do
			set -- "$1" "$2" port=$((33000 + pod * 1024)) ports=1024
			case $dir in
			out) LAB=$1 flow_frames out src=10.44.14.$((15 + pod)) \
				"${@:3}" flows=65536 ;;
			in) LAB=$1 flow_frames in src=$NODE_ADDR "${@:3}" flows=65536 ;;
			esac
		done
	done >/dev/null
}

stage_cost() {
	local i name port
	# -quota: one pod has all that it may; -full: four pods, and all others
	# too; -open: of nobody's flows anybody has answered; -inbound: the same
	# of flows from outside
	labs
	for name in old masqbpf; do
		for i in quota full open inbound; do
			MAX_PER_POD=65536 column "$name-$i"
		done
		cost_pods $name-quota 1
		cost_pods $name-full 4
		for ((i = 0; i < 4; i++)); do
			LAB=$name-open flow_frames out src=10.44.14.$((15 + i)) \
				port=$((33000 + i * 1024)) ports=1024 flows=65536
			LAB=$name-inbound flow_frames in src=10.44.14.$((15 + i)) \
				ports=1024 flows=65536
		done >/dev/null
	done
	for ((i = 0; i < REPEAT; i++)); do
		port=$((50000 + i * 16))
		for name in old masqbpf; do
			cost_row 'a record' $name-quota egress out \
				src=10.44.15.15 port=$port
			cost_row 'refused: the pod has its quota' $name-quota \
				egress out src=$POD_ADDR port=$port
			cost_row 'refused: the table is full of established flows' \
				$name-full egress out src=10.44.15.15 port=$port
			cost_row 'room made: an unanswered flow goes' $name-open \
				egress out src=10.44.15.15 port=$port
			cost_row 'inbound, its budget full of unanswered flows' \
				$name-inbound ingress in src=10.44.14.40 port=$port
		done
	done
}

# fill: eight million flows
stage_fill() {
	local i line dir max=8000000 start name
	labs plain
	lab masqbpf
	MAX_FLOWS=$max masq_config >"$LAB_DIR/config.yaml"
	start=$EPOCHREALTIME
	masq masqbpf attach eth0 --config "$LAB_DIR/config.yaml"
	result fill masqbpf attach s \
		"$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')"
	for dir in out in; do
		for name in plain masqbpf; do
			line=$(flood $name $dir flows=$max count=$max)
			all_arrived "$line"
			result fill $name "fill $dir" ns "$(value ns "$line")"
		done
	done
	result fill masqbpf flows count "$(masq masqbpf status --json | jq .flows)"
	for ((i = 0; i < REPEAT; i++)); do
		for name in plain masqbpf; do
			line=$(flood $name out flows=$max order=random)
			all_arrived "$line"
			result fill $name random ns "$(value ns "$line")"
		done
		line=$(flood masqbpf out flows=$max order=random \
			prog="$(pins masqbpf)/masq_egress")
		result fill masqbpf program ns "$(value prog_ns "$line")"
	done
}

# seconds COMMAND...: how long it takes
seconds() {
	local start=$EPOCHREALTIME
	"$@" >&2
	awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}

# fill LAB FLOWS: by packets, but for what takes them an hour
fill() {
	local line flows=$2
	[ "$1 $2" != "old 8000000" ] || flows=1
	line=$(flood "$1" out flows="$flows" count="$flows")
	all_arrived "$line"
	[ "$flows" = "$2" ] || "${BENCH%/*}/fill3" "$(pins "$1")" "$2"
}

# upgrade: flows that are taken over, to another size, and from the old program
stage_upgrade() {
	local count name line i
	old_program
	for count in 262144 8000000; do
		for name in masqbpf old; do
			# every repetition finds what the one before has made
			for ((i = 0; i < (count > 262144 ? 1 : REPEAT); i++)); do
				MAX_FLOWS=$count labs $name
				fill "$name" "$count"
				MAX_FLOWS=$((count + count / 8)) masq_config \
					>"$LAB_DIR/larger.yaml"
				result upgrade $name $count s "$(seconds lab_in \
					$name-node "$MASQBPF" -q --pin-dir \
					"$(pins $name)" attach eth0 --config \
					"$LAB_DIR/larger.yaml")"
				result upgrade $name $count flows "$(lab_in \
					$name-node "$MASQBPF" --pin-dir \
					"$(pins $name)" status --json | jq .flows)"
			done
		done
	done
}

# xdp_way WAY: what hangs at the uplink's ingress of lab xdp from now on;
# nothing for the other ways
xdp_way() {
	local pins pin
	pins=$(pins xdp)
	for pin in "$pins"/tcx_ingress_* "$LAB_DIR/bpf/way"; do
		[ -e "$pin" ] || continue
		bpftool link detach pinned "$pin"
		rm "$pin"
	done
	set -- "$1" node="$LAB_ID-xdp-node" dev=eth0 pin="$LAB_DIR/bpf/way"
	case $1 in
	tc) "$BENCH" hook "${@:2}" kind=tc prog="$pins/masq_ingress" ;;
	xdp) "$BENCH" hook "${@:2}" kind=xdp pin_dir="$pins" ;;
	'xdp redirect')
		"$BENCH" hook "${@:2}" kind=xdp pin_dir="$pins" into=pod0 \
			into_mac="$XDP_POD" ;;
	esac
}

# xdp_flood WAY KEY=VALUE...: replies, from the far namespace on
xdp_flood() {
	local lab=xdp line
	# what nobody translates has to go to the pod's own address
	[ "$1" != plain ] || local NODE_ADDR=$POD_ADDR
	if [ "$1" = 'tc fast path' ]; then
		lab=masqbpf+fast
	else
		xdp_way "$1"
	fi
	line=$(flood "$lab" in via="$LAB_ID-$lab-far" via_dev=eth0 "${@:2}")
	all_arrived "$line"
	echo "$line"
}

# xdp_frames PROTO FLOWS KEY=VALUE...: one repetition of a row
xdp_frames() {
	local way line proto=$1 flows=$2
	shift 2
	for way in "${XDP_WAYS[@]}" 'xdp redirect' 'tc fast path'; do
		# the stack has let a packet of every flow through just now
		[ "$way" != 'tc fast path' ] ||
			xdp_flood "$way" proto="$proto" flows="$flows" \
				order=seq count="$flows" "$@" >/dev/null
		line=$(xdp_flood "$way" proto="$proto" flows="$flows" \
			count=150000 "$@")
		result xdp "$way" "$proto $flows" ns "$(value ns "$line")"
		result xdp "$way" "$proto $flows" skbs "$(value skbs "$line")"
		result xdp "$way" "$proto $flows" seen "$(value seen "$line")"
	done
}

# xdp_sockets veth|wire: one repetition with connections that the pod opens.
# veth: as veth comes, segments and checksums are left to it, and it hands them
# over undone. wire: far does both, and the node's GRO has frames to merge.
xdp_sockets() {
	local way lab line tx=on gro=off
	[ "$1" = veth ] || tx=off gro=on
	for way in "${XDP_WAYS[@]}"; do
		lab=xdp
		[ "$way" != plain ] || lab=plain
		# as long as XDP is there, nobody can turn TSO on again
		xdp_way none
		lab_in "$lab-far" ethtool -K eth0 tx $tx tso $tx gso $tx >/dev/null
		lab_in "$lab-node" ethtool -K eth0 gro $gro >/dev/null
		[ "$lab" != xdp ] || xdp_way "$way"
		# rates per second of processor time: the machine has other work
		line=$(lab_in "$lab-pod" taskset -c "$CPU" \
			iperf3 -J -R -t 1 -c 11.0.0.1 |
			jq -r '.end | (.sum_received.bits_per_second / 1e9) as $rate |
				(.cpu_utilization_percent |
				 (.host_total + .remote_total) / 100) as $cpus |
				"gbit=\($rate) per_cpu=\($rate / $cpus)"')
		result xdp "$way" "bulk $1" gbit "$(value gbit "$line")"
		result xdp "$way" "bulk $1" per_cpu "$(value per_cpu "$line")"
		line=$("$BENCH" rr client="$LAB_ID-$lab-pod" \
			server="$LAB_ID-$lab-far" ms=300 cpu="$CPU")
		result xdp "$way" "rr $1" p50_us "$(value p50_us "$line")"
	done
}

# xdp: what if XDP and not tc received replies? Both get the same frames, from
# the far side's end of the uplink; see tests/bench/xdp.bpf.c.
XDP_WAYS=(plain tc xdp)
stage_xdp() {
	local i lab way dir line flows
	labs plain xdp masqbpf+fast
	XDP_POD=$(mac xdp-pod eth0)
	for lab in xdp masqbpf+fast; do
		# without GRO a veth takes no frames from XDP
		lab_in $lab-node ethtool -K eth0 gro on >/dev/null
		lab_in $lab-pod ethtool -K eth0 gro on >/dev/null
		# once more out than `establish`: now the fast path is allowed
		for dir in out in out in out; do
			for line in "udp 65536" "tcp 8"; do
				line=$(flood $lab $dir proto="${line% *}" \
					flows="${line#* }" count="${line#* }")
				all_arrived "$line"
			done
		done
	done
	for way in "${XDP_WAYS[@]}" 'xdp redirect' 'tc fast path'; do
		xdp_flood "$way" verify=1 flows=64 count=1000 >/dev/null
	done
	for flows in "${FLOW_COUNTS[@]}"; do
		for ((i = 0; i < REPEAT; i++)); do
			xdp_frames udp "$flows" order=random
		done
	done
	for flows in 1 8; do
		for ((i = 0; i < REPEAT; i++)); do
			xdp_frames tcp "$flows" frame=1514
		done
	done
	for lab in plain xdp; do
		lab_spawn $lab-far taskset -c "$CPU" iperf3 -s >/dev/null
	done
	sleep 0.5
	for ((i = 0; i < REPEAT; i++)); do
		xdp_sockets veth
		xdp_sockets wire
	done
}

about() {
	result about machine kernel value "$(uname -r)"
	result about machine cpu value "$(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc --all) CPUs$(systemd-detect-virt -q 2>/dev/null && echo ', virtual')"
	result about machine date value "$(date -u +%F)"
	result about machine masqbpf value "$(git describe --always --dirty 2>/dev/null || echo unknown)"
	result about machine iptables value "$(iptables -V)"
	result about machine conntrack value "$CT_BUCKETS buckets, nf_conntrack_max $CT_MAX"
	result about machine repeat value "$REPEAT"
	result about machine "load $1" value "$(cut -d' ' -f1 /proc/loadavg)"
	result about machine load value "$(cut -d' ' -f1-3 /proc/loadavg)"
}

measure() {
	local stage
	make -s build/masqbpf build/tests/bench/bench build/tests/bench/stall \
		build/tests/bench/walk
	mkdir -p "$(dirname "$OUT")"
	touch "$OUT"
	old_program
	start
	for stage; do
		sed -i "/^$stage\t/d;/^about\t/d" "$OUT"
		echo "bench: $stage" >&2
		"stage_$stage"
		about "$stage"
	done
}

report() {
	python3 tests/bench/report.py "$OUT" "$@"
}

[ "${BASH_SOURCE[0]}" = "$0" ] || return 0 # sourced

case ${1-} in
-h | --help) usage ;;
--quick)
	REPEAT=5
	OUT=build/bench/quick.tsv
	measure programs
	report programs
	;;
--report) report --write ;;
-*)
	usage >&2
	exit 2
	;;
'')
	measure "${STAGES[@]}"
	report --write
	;;
*)
	measure "$@"
	report "$@"
	;;
esac
