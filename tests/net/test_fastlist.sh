#!/usr/bin/env bash
# Packets that come in by lists, as a card under load hands them over: each of
# the list meets our hook before the first of them meets the stack. They get the
# fast path as well.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
cd "$(dirname "$0")/../.."
# its labs, and its frames: lists of 64 (XDP live frames)
WAYS=masqbpf+fast
. scripts/bench.sh
lab_kernel_before 5.18 && {
	row_skip "lists of packets" "this kernel makes no live frames"
	tap_done
	exit
}

fast_packets() { # DIRECTION
	masq masqbpf+fast metrics | sed -n \
		"s/^masqbpf_fast_path_packets_total{direction=\"$1\"} //p"
}

lists() { # out|in egress|ingress
	local line before
	before=$(fast_packets "$2")
	line=$(flood masqbpf+fast "$1" flows=4 order=random count=300000)
	all_arrived "$line"
	[ $(($(fast_packets "$2") - before)) -gt 200000 ] ||
		fail "of $(value sent "$line") packets took it:" \
			"$(($(fast_packets "$2") - before))"
}

# Of a list of new ones each asks for itself. 256 flows in turn, four times,
# while nothing has consent: lists of 64, so all four rounds are a millisecond.
each_of_a_list() { # out|in egress|ingress
	local line before taken
	sleep 2.1
	before=$(fast_packets "$2")
	line=$(flood masqbpf+fast "$1" flows=256 order=seq count=1024)
	all_arrived "$line"
	taken=$(($(fast_packets "$2") - before))
	# two of a list may share a place: six of ten have it after a round
	[ $taken -gt 450 ] || fail "of 1024 packets took it: $taken"
}

start
MAX_FLOWS=4096 labs masqbpf+fast
establish 4 masqbpf+fast
row "from a pod" lists out egress
row "to a pod" lists in ingress
establish 256 masqbpf+fast
row "from a pod, each of a list" each_of_a_list out egress
row "to a pod, each of a list" each_of_a_list in ingress
tap_done
