#!/usr/bin/env bash
# A guest on the interface: attach and detach by both hooks, beside programs
# of others, who keep their place and go on working.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PORT=443
POD=10.44.14.15
FOREIGN=$LAB_LIB/foreign.py

lab_begin
lab_node_far
lab_pod pod1 $POD
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_serve far $PORT
echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$LAB_DIR/config.yaml"
BPFFS=$LAB_DIR/bpf

# foreign NAME: somebody's program, with a counter of its own
foreign() {
	lab_in node "$PYTHON" "$FOREIGN" load "$BPFFS/prog-$1" "$BPFFS/count-$1"
	echo "$1" >>"$LAB_DIR/foreigners"
}

foreign_tc() { # NAME DIRECTION PRIORITY
	foreign "$1"
	lab_in node tc filter add dev eth0 "$2" prio "$3" handle 5 \
		bpf da object-pinned "$BPFFS/prog-$1"
}

foreign_tcx() { # NAME DIRECTION [last]
	foreign "$1"
	lab_in node "$PYTHON" "$FOREIGN" tcx "$BPFFS/prog-$1" eth0 "$2" \
		"$BPFFS/link-$1" "${@:3}"
}

foreign_counts() {
	local name
	while read -r name; do
		printf '%s ' "$("$PYTHON" "$FOREIGN" count "$BPFFS/count-$name")"
	done <"$LAB_DIR/foreigners"
}

# everybody counts: each foreign program has seen packets since BEFORE
all_count_since() {
	local before after i
	read -ra before <<<"$1"
	read -ra after <<<"$(foreign_counts)"
	for ((i = 0; i < ${#before[@]}; i++)); do
		[ "${after[i]}" -gt "${before[i]}" ] ||
			fail "program $((i + 1)) of $(paste -sd' ' \
				"$LAB_DIR/foreigners") has stopped counting"
	done
}

# what is left on the interface when ours is not there
landscape() {
	lab_in node tc qdisc show dev eth0
	lab_in node tc filter show dev eth0 ingress
	lab_in node tc filter show dev eth0 egress
	ls "$BPFFS"
}

source_is() {
	local line
	line=$(traffic pod1 who $FAR_ADDR $PORT) || fail "$line"
	is "source that far saw" "$(word source "$line")" "$1"
}

attach() {
	masq attach eth0 --config "$LAB_DIR/config.yaml" "$@"
}

interface() { # FIELD
	masq status --json | jq -r ".interfaces[] | select(.name == \"eth0\").$1"
}

guest() { # HOOK WANT
	local before counts state
	landscape >"$LAB_DIR/before"
	attach --hook "$1"
	is hook "$(interface hook)" "$2"
	is attached "$(interface attached)" true
	counts=$(foreign_counts)
	source_is $NODE_ADDR
	all_count_since "$counts"
	masq status | grep foreign || fail "status does not show the others"

	# again: nothing moves, nothing doubles
	state=$(masq status --json)
	attach --hook "$1"
	is "status after the second attach" "$(masq status --json)" "$state"
	source_is $NODE_ADDR

	masq detach eth0
	landscape | diff "$LAB_DIR/before" - || fail "detach left the above"
	counts=$(foreign_counts)
	source_is $POD
	all_count_since "$counts"
}

# Somebody uses the clsact qdisc that our attach made.
clsact_stays() {
	attach --hook tc
	foreign_tc late egress 9
	masq detach --all
	local counts
	counts=$(foreign_counts)
	source_is $POD
	all_count_since "$counts"
}

# The clsact that we made goes with us; somebody else's stays, empty or not.
clsact_goes() {
	lab_link node eth2 far eth2
	masq attach eth2 --hook tc
	lab_in node tc qdisc show dev eth2 | grep clsact
	masq detach eth2
	is "qdiscs" "$(lab_in node tc qdisc show dev eth2)" \
		"qdisc noqueue 0: root refcnt 2 "
	lab_in node tc qdisc add dev eth2 clsact
	masq attach eth2 --hook tc
	masq detach --all
	lab_in node tc qdisc show dev eth2 | grep clsact
	lab_in node ip link del eth2
}

tcx_chain() { # DIRECTION: whose programs, in order
	masq status --json | jq -r --arg dir "$1" '[.interfaces[] |
		select(.name == "eth0")[$dir][] | select(.hook == "tcx") |
		if .ours then "ours" else "other" end] | join(" ")'
}

# Others come before our ingress and behind our egress: attach again puts
# ours back, and a transfer notices nothing.
back_in_place() {
	local state
	attach --hook tcx
	foreign_tcx later-in ingress
	foreign_tcx later-out egress last
	is ingress "$(tcx_chain ingress)" "other ours other"
	is egress "$(tcx_chain egress)" "other ours other"
	stream_start pod1 $FAR_ADDR $PORT
	state=$(lab_in node tc qdisc show dev eth0)
	masq attach eth0
	is ingress "$(tcx_chain ingress)" "ours other other"
	is egress "$(tcx_chain egress)" "other other ours"
	is "programs of ours" "$(masq status --json |
		jq '[.interfaces[][("ingress", "egress")][] | select(.ours)] |
			length')" 2
	is qdiscs "$(lab_in node tc qdisc show dev eth0)" "$state"
	source_is $NODE_ADDR
	stream_more 16
	stream_end
	is "source of the transfer" "$(word source "$STREAM_LINE")" $NODE_ADDR
	masq detach --all
}

detach_nothing() {
	local status=0
	masq detach eth0 2>"$LAB_DIR/err" || status=$?
	is "exit code" $status 1
	is "lines on stderr" "$(wc -l <"$LAB_DIR/err")" 1
}

# A transfer lives through the change from one hook to the other.
change_hook() {
	attach --hook "$1"
	stream_start pod1 $FAR_ADDR $PORT
	attach --hook "$2"
	is hook "$(interface hook)" "$2"
	source_is $NODE_ADDR
	stream_more 16
	stream_end
	is "source of the transfer" "$(word source "$STREAM_LINE")" $NODE_ADDR
	masq detach --all
	source_is $POD
}

two_interfaces() {
	lab_link node eth1 far eth1
	masq attach eth0 eth1 --config "$LAB_DIR/config.yaml"
	is interfaces "$(masq status --json | jq '.interfaces | length')" 2
	masq detach eth1
	is interfaces "$(masq status --json |
		jq -c '[.interfaces[] | select(.attached).name]')" '["eth0"]'
	source_is $NODE_ADDR
	masq attach eth1
	lab_in node ip link del eth1
	source_is $NODE_ADDR
	masq detach --all
	source_is $POD
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "pins are left: $(ls "$MASQBPF_PIN_DIR")"
}

# Pins of others in our directory, with names that begin as ours do.
strangers=(masq_others masq_meta2 masq_flows4x masq_clsact_ masq_clsact_2x
	tcx_guard tcx_egress tcx_egress_ tcx_egress_guard tcx_ingress_-2
	tcx_pod_2 guard)

# stranger PIN: a program of somebody's, pinned there
stranger() {
	lab_in node "$PYTHON" "$FOREIGN" load "$1" "$BPFFS/count"
	rm "$BPFFS/count"
}

strangers_there() {
	local name
	for name in "${strangers[@]}"; do
		[ -e "$MASQBPF_PIN_DIR/$name" ] || fail "$1: $name is gone"
	done
}

others_pins() { # HOOK
	local name
	masq attach eth0 --hook "$1" --config "$LAB_DIR/config.yaml"
	for name in "${strangers[@]}"; do
		stranger "$MASQBPF_PIN_DIR/$name"
	done
	masq attach eth0
	strangers_there "attach again"
	masq detach --all
	strangers_there "detach --all"
	is left "$(find "$MASQBPF_PIN_DIR" -mindepth 1 | wc -l)" \
		${#strangers[@]}
	! masq status 2>/dev/null || fail "still attached"
	# what is left without masq_meta is cleared away by the next, hooks as
	# well, theirs is not
	masq attach eth0 --hook "$1" --config "$LAB_DIR/config.yaml"
	strangers_there "attach beside them"
	rm "$MASQBPF_PIN_DIR/masq_meta"
	masq attach eth0 --hook "$1" --config "$LAB_DIR/config.yaml"
	strangers_there "attach over what is left"
	is hooks "$(lab_ours eth0)" 2
	masq detach --all
	strangers_there "detach"
	for name in "${strangers[@]}"; do
		rm "$MASQBPF_PIN_DIR/$name"
	done
	masq attach eth0 --config "$LAB_DIR/config.yaml"
	masq detach --all
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "left: $(ls "$MASQBPF_PIN_DIR")"
}

# A bpffs' root is everybody's, whatever it is called.
root_refused() {
	local command before name
	stranger "$BPFFS/tcx_guard"
	ln -s "$BPFFS" "$LAB_DIR/link"
	before=$(ls "$BPFFS")
	for command in "attach eth0" status "detach --all" "cidr list" \
		"agent --listen 127.0.0.1:0 eth0"; do
		for name in "$BPFFS" "$BPFFS/" "$BPFFS/."; do
			# shellcheck disable=SC2086
			! lab_in node timeout 20 "$MASQBPF" --pin-dir "$name" \
				$command 2>"$LAB_DIR/err" >"$LAB_DIR/out" ||
				fail "$command in $name"
		done
		is "after $command" "$(ls "$BPFFS")" "$before"
	done
	lab_in node "$MASQBPF" --pin-dir "$BPFFS" status 2>"$LAB_DIR/err" ||
		grep -q 'is the root of a bpffs' "$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/err")"
	rm "$BPFFS/tcx_guard" "$LAB_DIR/link"
}

# A directory of a bpffs that is mounted by itself is none, as in a container.
mounted_directory() {
	local dir=$LAB_DIR/mounted
	mkdir "$dir" "$BPFFS/apart"
	chmod 700 "$BPFFS/apart"
	mount --bind "$BPFFS/apart" "$dir"
	# shellcheck disable=SC2064 # its value of now
	trap "umount '$dir'; rmdir '$BPFFS/apart' '$dir'" EXIT
	masq --pin-dir "$dir" attach eth0 --config "$LAB_DIR/config.yaml"
	masq --pin-dir "$dir" status >/dev/null
	masq --pin-dir "$dir" detach --all
	is left "$(ls "$dir")" ""
}

: >"$LAB_DIR/foreigners"
auto=$(lab_hook)
hooks="tc auto"
[ "$auto" = tc ] || hooks="tcx $hooks"

row "tc: the clsact qdisc stays for its other users" clsact_stays
row "tc: others attach" foreign_tc tc-out-first egress 1
row "tc: others attach behind us" foreign_tc tc-out-last egress 65000
row "tc: others attach" foreign_tc tc-in-first ingress 1
row "tc: others attach behind us" foreign_tc tc-in-last ingress 65000
if [ "$auto" = tcx ]; then
	row "tcx: others attach" foreign_tcx tcx-out egress
	row "tcx: others attach" foreign_tcx tcx-in ingress
else
	row_skip "tcx: beside programs of others" "this kernel has no TCX"
fi
for hook in $hooks; do
	want=$hook
	[ "$hook" != auto ] || want=$auto
	row "$hook: a guest among others" guest "$hook" "$want"
	row "$hook: detach of what is not attached" detach_nothing
done
row "tc: our clsact goes, another's stays" clsact_goes
if [ "$auto" = tcx ]; then
	row "tcx: attach again puts ours back in place" back_in_place
	row "from tc to tcx under a transfer" change_hook tc tcx
	row "from tcx to tc under a transfer" change_hook tcx tc
else
	row_skip "tcx: attach again puts ours back in place" \
		"this kernel has no TCX"
	row_skip "from one hook to the other" "this kernel has no TCX"
fi
# A pod ends while every interface is looked at: that keeps nothing attached.
pod_ends() {
	local n detach
	lab_in node "$MASQBPF" attach -q eth0 --config "$LAB_DIR/config.yaml"
	lab_in node strace -qq -o "$LAB_DIR/calls" -e trace=bpf "$MASQBPF" \
		detach -q --all
	n=$(awk '/BPF_PROG_QUERY/ { print NR; exit }' "$LAB_DIR/calls")
	lab_in node "$MASQBPF" attach -q eth0 --config "$LAB_DIR/config.yaml"
	lab_in node ip link add ends type veth peer name ended
	lab_in node strace -qq -o /dev/null -e trace=bpf \
		-e "inject=bpf:delay_enter=4000000:when=$n" "$MASQBPF" \
		detach -q --all 2>"$LAB_DIR/err" &
	detach=$!
	sleep 2
	lab_in node ip link del ends
	wait $detach || fail "$(cat "$LAB_DIR/err")"
	is said "$(cat "$LAB_DIR/err")" ""
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "$(ls "$MASQBPF_PIN_DIR")"
}

# A walk through the pins that ends before its end, each of them.
walk_ends() {
	local n
	lab_in node "$MASQBPF" attach -q eth0 --config "$LAB_DIR/config.yaml"
	lab_in node strace -qq -o "$LAB_DIR/calls" -P "$MASQBPF_PIN_DIR" \
		-e trace=getdents64 "$MASQBPF" detach -q --all
	[ -s "$LAB_DIR/calls" ] || fail "no directory is read"
	for n in $(seq "$(wc -l <"$LAB_DIR/calls")"); do
		lab_in node "$MASQBPF" attach -q eth0 \
			--config "$LAB_DIR/config.yaml"
		lab_in node strace -qq -o /dev/null -P "$MASQBPF_PIN_DIR" \
			-e "inject=getdents64:error=ENOENT:when=$n" \
			"$MASQBPF" detach -q --all
		[ ! -e "$MASQBPF_PIN_DIR" ] ||
			fail "read $n: $(ls "$MASQBPF_PIN_DIR")"
	done
}

row "two interfaces, one of them vanishes" two_interfaces
row "a pod ends meanwhile" pod_ends
row "a directory whose reading ends early" walk_ends
for hook in ${hooks% auto}; do
	row "$hook: pins of others in the same directory" others_pins "$hook"
done
row "the root of a bpffs is refused" root_refused
row "a directory of a bpffs, mounted by itself" mounted_directory
tap_done
