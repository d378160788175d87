#!/usr/bin/env bash
# Expiry without a process: attached and left alone, a table of 65,536 flows
# lets 200,000 short UDP flows through, because what has expired makes room.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PORT=53
# A machine that is so much slower takes as many flows in as much more time,
# and so many of them live at once as on a fast one.
RATE=$((10000 / TEST_SLOW))	# new flows a second, over all pods
TIMEOUT=$((2 * TEST_SLOW))	# seconds
PODS=4		# at this rate each has a fifth of its quota in use

lab_begin
lab_node_far
lab_pods $PODS
lab_serve far $PORT

starts() {
	case $1 in
	nft)
		lab_nat nft
		# The conntrack table of a namespace has its own timeouts.
		lab_in node sysctl -qw \
			net.netfilter.nf_conntrack_udp_timeout=$TIMEOUT \
			net.netfilter.nf_conntrack_udp_timeout_stream=$TIMEOUT
		;;
	masqbpf)
		cat >"$LAB_DIR/config.yaml" <<-EOF
			nonMasqueradeCIDRs: [10.0.0.0/8]
			timeouts: {udp: ${TIMEOUT}s, udpUnreplied: ${TIMEOUT}s}
			maxFlows: 65536
		EOF
		masq attach eth0 --config "$LAB_DIR/config.yaml"
		;;
	esac
}

nobody_runs() {
	is "processes on the node" "$(ip netns pids "$LAB_ID-node")" ""
}

# losses: whose a packet is that did not arrive: a socket's without room, that of
# the queues between namespaces (of the whole machine), or ours
losses() {
	local ns
	for ns in far $(seq -f 'pod%g' $PODS); do
		# shellcheck disable=SC2016 # awk's
		lab_in "$ns" awk -v ns="$ns" '$1 == "Udp:" { line[++n] = $0 }
			END { split(line[1], name); split(line[2], value)
				for (i in name)
					if (name[i] ~ /Errors/ && value[i] > 0)
						print ns ": " name[i] " " value[i] }' \
			/proc/net/snmp
	done
	# columns are hexadecimal; the second counts what did not fit
	"$PYTHON" -c 'print("queues of the machine:", sum(
		int(line.split()[1], 16) for line in open("/proc/net/softnet_stat")))'
	[ ! -e "$MASQBPF_PIN_DIR" ] || masq counters --json | jq -c .drops
}

# surroundings: what else could have ended it
surroundings() {
	losses
	echo "server: $(tail -n 5 "$LAB_DIR/serve-far-$PORT")"
	echo "programs: $(lab_programs eth0 pod1 | tr '\n' ' ')"
	for ns in node far; do
		lab_in "$ns" ip neigh | sed "s/^/$ns: /"
		lab_in "$ns" nstat -az 'Icmp*' Ip{In,Out}Discards IpForwDatagrams \
			IpExtInNoRoutes IpOutNoRoutes IpReasmFails UdpNoPorts |
			awk -v ns="$ns" '$2 > 0 { print ns ": " $1 " " $2 }'
	done
	head -n 2 /proc/net/stat/arp_cache
	masq flows 2>&1 | head -n 5
	masq status 2>&1 | head -n 40
}

# short_flows COUNT SPORTS NETWORK: half of them want an answer, all arrive
short_flows() {
	local line tally before
	before=$(losses)
	lab_saw_reset
	line=$(traffic far flood $FAR_ADDR $PORT --netns "$LAB_PODS" \
		--flows "$1" --rate $RATE --sports "$2" --net "$3") ||
		fail "$line; losses before: $before; after: $(surroundings)"
	tally=$(traffic far tally $FAR_ADDR $PORT)
	is answered "$(word answered "$line")" $(($1 / 2))
	is "seen without an answer" "$(jq .distinct <<<"$tally")" $(($1 / 2))
	is sources "$(word sources "$line")" $NODE_ADDR
	is sources "$(jq -r '.sources | join(" ")' <<<"$tally")" $NODE_ADDR
	far_saw $NODE_ADDR
	note "$(word rate "$line") flows a second"
}

flow_count() {
	masq flows --json | jq length
}

no_flow_left() {
	[ "$(flow_count)" = 0 ]
}

gone() {
	lab_wait 4 no_flow_left
	is "flows in status" "$(masq status --json | jq .flows)" 0
}

no_drops() {
	is drops "$(masq counters --json |
		jq -c '.drops | with_entries(select(.value > 0))')" "{}"
}

for nat in ${LAB_NAT:-nft masqbpf}; do
	row "$nat: starts" starts "$nat"
	row_ok || continue
	if [ "$nat" = nft ]; then
		row "nft: 20,000 short UDP flows" \
			short_flows 20000 5000-5001 172.30.0.0/16
		row "nft: stops" lab_nat_off nft
		continue
	fi
	row "nothing runs" nobody_runs
	row "200,000 short UDP flows through a table of 65,536" \
		short_flows 200000 5000-5001 172.30.0.0/16
	row "expired flows are absent, and nothing has run" gone
	row "the same pods' ports again, 40,000 flows" \
		short_flows 40000 5000-5001 172.30.0.0/16
	row "nothing was dropped" no_drops
	row "nothing runs" nobody_runs
	row "stops" lab_nat_off masqbpf
done
tap_done
