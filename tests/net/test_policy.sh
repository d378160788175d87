#!/usr/bin/env bash
# Changes of the running policy under traffic: live flows keep the treatment
# that they began with, new ones get the new one, and an opener that was
# never answered heals (row E3 of the packet table).
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PORT=443
DEST=172.30.0.0/16
POD=10.44.14.15

lab_begin
lab_node_far
lab_pod pod1 $POD
lab_pod pod2 10.44.14.16
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_serve far $PORT

# Every TCP source address and port that far saw.
lab_in far nft -f - <<-EOF
	table ip tuples {
		set openers {
			type ipv4_addr . inet_service
			size 65535
			flags dynamic
		}
		chain in {
			type filter hook prerouting priority raw - 5
			iifname eth0 update @openers { ip saddr . tcp sport }
		}
	}
EOF

# sources_of PORT: the addresses that far saw with this TCP source port
sources_of() {
	lab_in far nft -j list set ip tuples openers |
		jq -r "[.nftables[].set.elem[]?.concat |
			select(.[1] == $1)[0]] | sort | join(\" \")"
}

source_now() {
	local line
	line=$(traffic pod1 who $FAR_ADDR $PORT "$@") || fail "$line"
	word source "$line"
}

# change_under_transfer BEFORE AFTER COMMAND...: a transfer both ways while
# COMMAND changes the treatment from source BEFORE to source AFTER.
change_under_transfer() {
	local before=$1 after=$2
	shift 2
	is "source before the change" "$(source_now)" "$before"
	stream_start pod1 $FAR_ADDR $PORT
	stream_more 32
	"$@"
	is "source of the next connection" "$(source_now)" "$after"
	stream_more 64
	stream_end
	is "source of the transfer" "$(word source "$STREAM_LINE")" "$before"
	is "sources of its packets" \
		"$(sources_of "$(word port "$STREAM_LINE")")" "$before"
	note "$(($(word got "$STREAM_LINE") >> 20)) MiB both ways"
}

# conversation PROTO SPORT BEFORE COMMAND...: one flow that is asked before and
# after the change, and answered both times
conversation() {
	local proto=$1 sport=$2 before=$3 first second
	shift 3
	coproc TALK { traffic pod1 talk $FAR_ADDR $PORT --proto "$proto" \
		--sport "$sport" --timeout 3; }
	echo >&"${TALK[1]}"
	read -r first <&"${TALK[0]}"
	"$@"
	lab_saw_reset
	echo >&"${TALK[1]}"
	read -r second <&"${TALK[0]}"
	is "answer after the change" "$second" "$first"
	far_saw "$before"
	[ "$proto" = icmp ] || is source "${first% *}" "$before"
}

saw_source() {
	case " $(lab_saw) " in *" $1 "*) ;; *) return 1 ;; esac
}

# E3: far drops the source that the policy gives; the connection attempt
# hangs; the change alone makes it succeed, the pod does nothing.
heals_tcp() {
	local before=$1 after=$2 port=$3 result=$LAB_DIR/heal pid start
	shift 3
	lab_saw_reset
	traffic pod1 who $FAR_ADDR $PORT --sport "$port" --timeout 30 \
		>"$result" 2>&1 &
	pid=$!
	lab_wait 5 saw_source "$before"
	"$@"
	start=${EPOCHREALTIME/[.,]/}
	wait $pid || fail "$(cat "$result")"
	note "$(((${EPOCHREALTIME/[.,]/} - start) / 1000)) ms after the change"
	is source "$(word source "$(cat "$result")")" "$after"
	is "port" "$(word port "$(cat "$result")")" "$port"
}

heals_talk() {
	local proto=$1 before=$2 after=$3 sport=$4 answer
	shift 4
	lab_saw_reset
	coproc TALK { traffic pod1 talk $FAR_ADDR $PORT --proto "$proto" \
		--sport "$sport" --timeout 1; }
	echo >&"${TALK[1]}"
	read -r answer <&"${TALK[0]}"
	is "answer before the change" "$answer" none
	far_saw "$before"
	"$@"
	lab_saw_reset
	echo >&"${TALK[1]}"
	read -r answer <&"${TALK[0]}"
	[ "$answer" != none ] || fail "no answer after the change"
	far_saw "$after"
}

# An opener without an answer stays what it is while its prefix does.
unrelated_change() {
	local pid
	lab_saw_reset
	traffic pod1 who $FAR_ADDR $PORT --sport "$1" --timeout 10 \
		>/dev/null 2>&1 &
	pid=$!
	lab_wait 5 saw_source $POD
	masq cidr add 192.0.2.0/24
	lab_saw_reset
	lab_wait 5 saw_source $POD
	kill $pid
	masq cidr del 192.0.2.0/24
	far_saw $POD
}

# E2, second half: the pod's own opener on a closed record is new.
closed_record() {
	lab_keep "$nat" $DEST
	is source "$(source_now --sport "$1" --abort)" $POD
	lab_unkeep "$nat" $DEST
	is source "$(source_now --sport "$1" --abort)" $NODE_ADDR
}

swaps() {
	local pid i line
	printf '10.0.0.0/8\n' >"$LAB_DIR/a"
	printf '10.0.0.0/8 keep\n%s keep\n172.31.0.0/16 masquerade\n' \
		$DEST >"$LAB_DIR/b"
	traffic far many $FAR_ADDR $PORT --timeout 60 --parallel 20 \
		--netns "$LAB_ID-pod1,$LAB_ID-pod2" --sports 50000-51999 \
		>"$LAB_DIR/swaps" 2>&1 &
	pid=$!
	for ((i = 0; i < 100; i++)); do
		masq cidr set "$LAB_DIR/$([ $((i % 2)) = 0 ] && echo b || echo a)"
	done
	wait $pid || fail "$(cat "$LAB_DIR/swaps")"
	line=$(cat "$LAB_DIR/swaps")
	is connections "$(word ok "$line")" 4000
	is sources "$(word sources "$line")" \
		"$NODE_ADDR,$POD,10.44.14.16"
}

generation() {
	masq status --json | jq .generation
}

origin() { # PREFIX
	masq counters --json | jq -r --arg prefix "$1" \
		'.prefixes[] | select(.prefix == $prefix and .in_policy).origin'
}

generations() {
	local before
	before=$(generation)
	masq cidr add 192.0.2.0/24
	is "generation after add" "$(generation)" $((before + 1))
	is "origin" "$(origin 192.0.2.0/24)" runtime
	masq reload
	is "generation after reload" "$(generation)" $((before + 2))
	is "origin of the runtime change" "$(origin 192.0.2.0/24)" ""
	masq reload
	is "generation after an empty reload" "$(generation)" $((before + 2))
}

# Every flow has a source port of its own (no NodePort: pods get none), so no row meets another's record.
port=40000
for nat in ${LAB_NAT:-nft masqbpf}; do
	row "$nat: starts" lab_nat "$nat"
	row_ok || continue
	row "$nat: masquerade to keep during a transfer" \
		change_under_transfer $NODE_ADDR $POD lab_keep "$nat" $DEST
	row "$nat: keep to masquerade during a transfer" \
		change_under_transfer $POD $NODE_ADDR lab_unkeep "$nat" $DEST
	for proto in tcp udp icmp; do
		row "$nat: E1: an answered $proto flow stays masqueraded" \
			conversation $proto $((port += 1)) $NODE_ADDR \
			lab_keep "$nat" $DEST
		row "$nat: E2: an answered $proto flow stays kept" \
			conversation $proto $((port += 1)) $POD \
			lab_unkeep "$nat" $DEST
	done
	row "$nat: E2: an opener on a closed record is new" \
		closed_record $((port += 1))
	if [ "$nat" = nft ]; then
		row "$nat: stops" lab_nat_off nft
		continue
	fi

	row "$nat: policy keeps $DEST" lab_keep "$nat" $DEST
	row "far rejects pods" lab_reject $POD_NET
	row "$nat: an unrelated change leaves a hanging opener alone" \
		unrelated_change $((port += 1))
	row "$nat: E3: kept, hanging, then masqueraded: tcp heals" \
		heals_tcp $POD $NODE_ADDR $((port += 1)) \
		lab_unkeep "$nat" $DEST
	for proto in udp icmp; do
		row "$nat: policy keeps $DEST" lab_keep "$nat" $DEST
		row "$nat: E3: kept, hanging, then masqueraded: $proto heals" \
			heals_talk $proto $POD $NODE_ADDR $((port += 1)) \
			lab_unkeep "$nat" $DEST
	done
	row "far rejects the node" lab_reject $NODE_ADDR
	row "$nat: E3: masqueraded, hanging, then kept: tcp heals" \
		heals_tcp $NODE_ADDR $POD $((port += 1)) lab_keep "$nat" $DEST
	for proto in udp icmp; do
		row "$nat: policy masquerades $DEST" lab_unkeep "$nat" $DEST
		row "$nat: E3: masqueraded, hanging, then kept: $proto heals" \
			heals_talk $proto $NODE_ADDR $POD $((port += 1)) \
			lab_keep "$nat" $DEST
	done
	row "far accepts all" lab_accept
	row "$nat: 100 whole policies in turn under 4000 connections" swaps
	row "$nat: generations and origins" generations
	row "$nat: stops" lab_nat_off "$nat"
done
tap_done
