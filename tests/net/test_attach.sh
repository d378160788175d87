#!/usr/bin/env bash
# Making, joining, healing and removing an instance: with others in the way,
# from the wrong namespace, killed half-way, refused by the kernel.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

FOREIGN=$LAB_LIB/foreign.py
EGRESS_PRIORITY=51168

lab_begin
lab_node_far
lab_link node eth1 far eth1
BPFFS=$LAB_DIR/bpf
OTHER=$BPFFS/other

# get FILTER: a value out of status
get() {
	masq status --json | jq -c "$1"
}

health_is() {
	is health "$(get .health)" "\"$1\"" || masq status
}

# refused PATTERN COMMAND...: exit 1 and one line that matches
refused() {
	local status=0
	"${@:2}" 2>"$LAB_DIR/err" >/dev/null || status=$?
	cat "$LAB_DIR/err"
	is "exit code" $status 1
	is "lines on stderr" "$(wc -l <"$LAB_DIR/err")" 1
	grep -Eq -- "$1" "$LAB_DIR/err" || fail "the line does not say '$1'"
}

ours() {
	lab_ours eth0 eth1
}

nothing_left() {
	lab_nothing_left eth0 eth1
}

# attached [ARG...]: a row's beginning; its end takes it away
attached() {
	trap 'masq detach -q --all || true' EXIT
	masq attach -q eth0 "$@"
}

joins() {
	attached
	is config "$(get .config)" '"preset ip-masq-agent"'
	masq attach eth1
	is "the policy stays" "$(get '[.generation, .config]')" \
		'[1,"preset ip-masq-agent"]'
	masq attach eth0 --preset reserved
	is "a reload" "$(get '[.generation, .config]')" '[2,"preset reserved"]'
	is interfaces "$(get '[.interfaces[].name]')" '["eth0","eth1"]'
	masq attach eth0 eth0 eth1 --json >"$LAB_DIR/json"
	is "attach --json is status --json" "$(jq -c . "$LAB_DIR/json")" \
		"$(get .)"
	is "our programs" "$(ours)" 4
}

# IPv6 that nobody asks for takes little memory; then it is too late for more.
tables() {
	local yaml=$LAB_DIR/six.yaml
	room() { get '[.budgets[] | select(.action == "keep") | .max]'; }

	attached
	is "room for IPv4 and IPv6" "$(room)" '[262144,16384]'
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8, "fd00::/8"]' >"$yaml"
	masq reload -q --yes --config "$yaml"
	is "room after the reload" "$(room)" '[262144,262144]'
	masq detach -q --all
	masq attach -q eth0 --config "$yaml"
	is "room when it is made for both" "$(room)" '[262144,262144]'
	masq detach -q --all
	echo 'maxFlows: 100' >"$LAB_DIR/tiny.yaml"
	masq attach -q eth0 --config "$LAB_DIR/tiny.yaml"
	is "room in a tiny one" "$(room)" '[100,64]'
	masq detach -q --all
	echo 'maxFlows: 1' >"$LAB_DIR/tiny.yaml"
	masq attach -q eth0 --config "$LAB_DIR/tiny.yaml"
	is "room for one" "$(room)" '[1,1]'
	health_is ok
}

at_once() {
	local i pids=()
	trap 'masq detach -q --all || true' EXIT
	for i in 1 2 3 4 5; do
		masq attach -q eth0 &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || fail "one of them failed"
	done
	is "our programs" "$(ours)" 2
	health_is ok
}

another_instance() { # HOOK
	attached --hook "$1"
	refused 'another instance' masq --pin-dir "$OTHER" attach eth0
	[ ! -e "$OTHER" ] || fail "it left pins"
	refused 'another instance' masq --pin-dir "$OTHER-a/b/c" attach eth0
	[ ! -e "$OTHER-a" ] || fail "it left directories"
	# what was there before stays
	mkdir "$OTHER-a"
	refused 'another instance' masq --pin-dir "$OTHER-a/b/c" attach eth0
	rmdir "$OTHER-a"
	masq --pin-dir "$OTHER" attach -q eth1
	is "our programs" "$(ours)" 4
	masq --pin-dir "$OTHER" detach -q --all
	is interfaces "$(get '[.interfaces[].name]')" '["eth0"]'
	health_is ok
}

# The filters outlive their pins; each refusal has the command that helps.
orphans() {
	local i
	attached --hook tc
	rm -r "$MASQBPF_PIN_DIR"
	for i in 1 2; do
		refused 'tc filter del' masq attach eth0
		# shellcheck disable=SC2046 # words
		lab_in node $(sed 's/.*gone: //' "$LAB_DIR/err")
	done
	masq attach -q eth0
	is "our programs" "$(ours)" 2
	health_is ok
}

# The stale pin and the stale address go when its successor is attached.
new_device() {
	lab_link node eth2 far eth2
	trap 'masq detach -q --all || true
		lab_in node ip link del eth2 || true' EXIT
	masq attach -q eth0 eth2
	lab_in node ip link del eth2
	health_is failed
	is interfaces "$(get '[.interfaces[] | [.name, .attached]]')" \
		'[["eth0",true],["eth2",false]]'
	get '.problems[]' | grep -q 'eth2: its device .* is gone; when it is' ||
		fail "$(masq status)"
	lab_link node eth2 far eth2
	masq attach -q eth2
	health_is ok
	is interfaces "$(get '[.interfaces[] | [.name, .attached]]')" \
		'[["eth0",true],["eth2",true]]'
	is pins "$(find "$MASQBPF_PIN_DIR" -name 'tcx_*' | wc -l)" \
		"$(get '[.interfaces[] | select(.hook == "tcx") | 2] | add // 0')"
}

# It stays away: its name is all that is left, and is enough.
device_stays_away() {
	lab_link node eth2 far eth2
	trap 'masq detach -q --all || true' EXIT
	masq attach -q eth0 eth2
	lab_in node ip link del eth2
	masq detach eth2
	health_is ok
	is interfaces "$(get '[.interfaces[].name]')" '["eth0"]'
	if masq detach eth2 2>"$LAB_DIR/err"; then
		fail "again"
	fi
	grep -q 'eth2: detach: no such interface' "$LAB_DIR/err"
}

# config_says WANT-HEALTH PATTERN [STALE]: of the file, in status and metrics
config_says() {
	health_is "$1"
	get '.problems[]' | grep -q -- "$2" || fail "$(masq status)"
	masq metrics >"$LAB_DIR/metrics"
	is stale "$(sed -n 's/^masqbpf_config_stale //p' "$LAB_DIR/metrics")" \
		"${3:-1}"
}

# Nobody follows the file; status says when it is not what is in force.
config_file() {
	local file=$LAB_DIR/followed.yaml
	trap 'masq detach -q --all || true' EXIT
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$file"
	masq attach -q eth0 --config "$file"
	health_is ok
	touch "$file"
	health_is ok
	masq cidr add 198.51.100.0/24 2>"$LAB_DIR/err"
	# no change of the file, and yet not what it says
	config_says degraded \
		'followed.yaml: what runs differs: .*198.51.100.0/24 keep' 0
	masq cidr del 198.51.100.0/24 2>"$LAB_DIR/err"
	health_is ok
	echo 'nonMasqueradeCIDRs: [10.0.0.0/9]' >"$file"
	config_says degraded 'followed.yaml: has changed and is not in force'
	masq reload -q
	health_is ok
	echo 'nonMasqueradeCIDRs: [10.0.0.1/9]' >"$file"
	config_says degraded ':1:22: .*; the policy in force is older'
	rm "$file"
	config_says degraded 'followed.yaml: is gone'
	masq reload -q --config /dev/null || true
	config_says degraded 'followed.yaml: is gone'
	echo 'nonMasqueradeCIDRs: [10.0.0.0/9]' >"$file"
	health_is ok
}

# A file that sets nothing replaces nothing, whoever is asked to take it.
sets_nothing() {
	local file=$LAB_DIR/template.yaml text before status cmd
	trap 'masq detach -q --all || true' EXIT
	for text in '' '# words' --- null '{}' 'masqLinkLocal:'; do
		printf '%s\n' "$text" >"$file"
		[ "$text" = masqLinkLocal: ] && continue # the defaults, said
		status=0
		masq attach eth0 --config "$file" 2>"$LAB_DIR/err" || status=$?
		is "first attach, '$text'" $status 2
		is lines "$(wc -l <"$LAB_DIR/err")" 1
		! masq status 2>/dev/null || fail "it attached"
	done
	printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8]' \
		'masqueradeCIDRs: [10.9.0.0/16]' >"$LAB_DIR/good.yaml"
	masq attach -q eth0 --config "$LAB_DIR/good.yaml"
	before=$(masq cidr list --json)
	for text in '' '# words' --- null '~' '{}' $'# words\n--- {} # words' \
		'nonMasqueradeCIDR: [192.0.2.0/24]' 'masqLinkLocal:'; do
		printf '%s\n' "$text" >"$file"
		for cmd in "reload --config $file" "plan $file" \
			"attach eth0 --config $file"; do
			status=0
			# shellcheck disable=SC2086
			masq $cmd >"$LAB_DIR/out" 2>"$LAB_DIR/err" || status=$?
			is "$cmd, '$text'" $status 2
			is stdout "$(cat "$LAB_DIR/out")" ""
			is "errors of $cmd" "$(grep -vc ': warning: ' \
				"$LAB_DIR/err")" 1
			grep -q 'nothing is set' "$LAB_DIR/err" ||
				fail "$(cat "$LAB_DIR/err")"
			is "$cmd, '$text'" "$(masq cidr list --json)" "$before"
		done
	done
	# other keys alone: ip-masq-agent's defaults, and that is said
	echo 'masqLinkLocal: true' >"$file"
	masq reload --config "$file" 2>"$LAB_DIR/err"
	grep -q 'nonMasqueradeCIDRs is not given: the preset ip-masq-agent' \
		"$LAB_DIR/err"
	# of the file that is followed status says so
	masq reload -q --config "$LAB_DIR/good.yaml"
	echo '{}' >"$LAB_DIR/good.yaml"
	config_says degraded 'is empty: nothing is set'
	echo 'nonMasqueradeCIDRS_: []' >"$LAB_DIR/good.yaml"
	config_says degraded 'nothing is set'
}

clsact_deleted() {
	attached --hook tc
	lab_in node tc qdisc del dev eth0 clsact
	health_is failed
	masq status | grep -q 'egress hook is missing' || fail "not said"
	masq attach -q eth0 --hook tc
	health_is ok
}

# An ingress qdisc would take the egress program into its only chain.
ingress_qdisc() {
	trap 'masq detach -q --all || true
		lab_in node tc qdisc del dev eth1 ingress' EXIT
	# where there is no TCX an earlier row has left its clsact
	lab_in node tc qdisc del dev eth1 clsact 2>/dev/null || true
	lab_in node tc qdisc add dev eth1 ingress
	refused 'ingress qdisc' masq attach -q eth1 --hook tc
	nothing_left
	is "our programs" "$(ours)" 0
}

priority_taken() {
	trap 'masq detach -q --all || true
		lab_in node tc qdisc del dev eth0 clsact
		rm -f "$BPFFS"/prog-x "$BPFFS"/count-x' EXIT
	lab_in node "$PYTHON" "$FOREIGN" load "$BPFFS/prog-x" "$BPFFS/count-x"
	lab_in node tc qdisc replace dev eth0 clsact
	lab_in node tc filter add dev eth0 egress prio $EGRESS_PRIORITY \
		handle 7 bpf da object-pinned "$BPFFS/prog-x"
	refused "priority $EGRESS_PRIORITY is taken" \
		masq attach -q eth0 --hook tc
	nothing_left
	lab_in node tc filter show dev eth0 egress | grep -q 'handle 0x7' ||
		fail "the other filter is gone"
}

# Reading finds the instance's namespace; attach means the one it is run in.
elsewhere() {
	local here
	attached
	here=$(get .)
	is "status from outside" "$("$MASQBPF" status --json | jq -c .)" "$here"
	refused "nsenter --net=$(lab_netns node) " lab_in far "$MASQBPF" \
		attach eth0
	is status "$(get .)" "$here"
	"$MASQBPF" detach -q eth0
	nothing_left
}

namespace_gone() { # HOOK
	local name=$LAB_ID-gone
	ip netns add "$name"
	trap 'ip netns del "$name" 2>/dev/null || true' EXIT
	ip -n "$name" link add eth0 type veth peer name peer
	nsenter --net="/run/netns/$name" "$MASQBPF" attach -q eth0 --hook "$1"
	ip netns del "$name"
	# the kernel takes a namespace down when it finds the time
	refused 'another network namespace' masq attach eth0
	masq detach -q --all
	nothing_left
}

# A mount namespace of its own, but the machine's bpffs: as in a container
# with a hostPath mount.
shared_bpffs() {
	trap 'masq detach -q --all || true' EXIT
	masq_in_mount_ns attach -q eth0
	health_is ok
	masq_in_mount_ns detach -q --all
	nothing_left
}

masq_in_mount_ns() {
	unshare -m nsenter --net="$(lab_netns node)" "$MASQBPF" "$@"
}

# The capabilities that a manifest has to name, and no others.
with_caps() {
	local caps=$1
	# before 5.11 maps count against it, and CAP_SYS_RESOURCE is dropped
	ulimit -l unlimited 2>/dev/null || true
	lab_in node setpriv --bounding-set "-all$caps" --inh-caps "-all$caps" \
		"$MASQBPF" "${@:2}"
}

least_caps() {
	trap 'masq detach -q --all || true' EXIT
	with_caps ,+bpf,+net_admin,+perfmon attach -q eth0
	health_is ok
	is "status names our programs" \
		"$(with_caps ,+bpf,+net_admin status | grep -c masq_)" 2
	refused CAP_NET_ADMIN with_caps ,+bpf detach --all
	health_is ok
	with_caps ,+bpf,+net_admin detach -q --all
	nothing_left
}

missing_cap() { # MISSING CAPS
	refused "missing: CAP_${1^^}\)" with_caps "$2" attach eth0
	nothing_left
}

# libbpf asks the kernel whether programs have names, and takes a refusal for a
# no: ours are known all the same.
nameless() { # HOOK
	local log=$LAB_DIR/names.log number
	[ "$1" = tc ] || [ "$(lab_hook)" = tcx ] || skip "no TCX"
	masq detach -q --all 2>/dev/null || true
	lab_in node strace -f -qq -o "$log" -e trace=bpf \
		"$MASQBPF" attach -q eth0 --hook "$1" 2>/dev/null
	trap 'masq detach -q --all' EXIT
	masq detach -q --all
	number=$(grep -n '"libbpf_nametest"' "$log" | head -1 | cut -d: -f1)
	lab_in node strace -f -qq -o /dev/null -e trace=bpf \
		-e "inject=bpf:error=ENOMEM:when=$number" \
		"$MASQBPF" attach -q eth0 --hook "$1"
	is "names in the kernel" "$(lab_ours eth0)" 0
	is "names in status" "$(masq status | grep -c "$1 masq_.*gress")" 2
	masq detach -q --all
	is "programs" "$(lab_programs eth0 | wc -l)" 0
	trap - EXIT
	nothing_left
}

# Without an Ethernet header other programs are needed.
layer3() {
	lab_in node ip tuntap add tun0 mode tun 2>/dev/null ||
		skip "no tun devices here"
	trap 'masq detach -q --all || true
		lab_in node ip link del tun0' EXIT
	masq attach -q tun0 eth0
	masq status | grep -q 'egress  *[a-z]* masq_egress_l3' ||
		fail "$(masq status)"
	health_is ok
}

# No address of its own: what the kernel would take instead.
unnumbered() {
	trap 'masq detach -q --all || true' EXIT
	masq attach -q eth1
	is addresses "$(get '.interfaces[0].addresses')" "[\"$NODE_ADDR\"]"
}

no_address() {
	lab_ns bare
	trap 'nsenter --net="$(lab_netns bare)" "$MASQBPF" detach -q --all' EXIT
	lab_in bare ip link add eth0 type veth peer name peer
	lab_in bare "$MASQBPF" attach -q eth0
	is health "$(lab_in bare "$MASQBPF" status --json | jq -c \
		'[.health, .problems]')" \
		'["degraded",["eth0: no IPv4 address to translate to"]]'
}

# Descriptors 0 to 2 are closed: no map may get their numbers.
closed_streams() {
	attached <&- >&- 2>&-
	health_is ok
}

waits_for_lock() {
	attached
	flock "$MASQBPF_PIN_DIR" sleep 0.5 &
	lab_wait 5 locked
	health_is ok
	wait
}

locked() {
	! flock -n -s "$MASQBPF_PIN_DIR" true
}

# Ctrl-C waits: what has begun is finished.
interrupted() {
	local tenths status
	for tenths in 1 5; do
		status=0
		lab_in node timeout -s INT "$((tenths * TEST_SLOW))e-1" \
			"$MASQBPF" attach -q eth0 || status=$?
		# 124: timeout was there first; it may also be the other way
		[ $status -eq 124 ] || [ $status -eq 0 ] ||
			fail "after $tenths/10 s: exit code $status"
		health_is ok
		masq detach -q --all
		nothing_left
	done
}

# --- killed, refused by the kernel -----------------------------------------

# traced INJECTION COMMAND...: strace makes a bpf() call fail or kill
traced() {
	lab_in node strace -f -o /dev/null -e trace=bpf -e "inject=bpf:$1" \
		"${@:2}"
}

# Whatever was there when it was killed: the next attach makes it whole.
killed() {
	local n status
	for n in $1; do
		status=0
		traced "signal=KILL:when=$n" "$MASQBPF" attach -q eth0 \
			2>/dev/null || status=$?
		# another kernel may need fewer calls
		[ $status -eq 137 ] || [ "$n" -gt 100 ] ||
			fail "not killed at call $n: exit code $status"
		masq attach -q eth0
		is "killed at call $n" "$(get .health)" '"ok"'
		is "killed at call $n: our programs" "$(ours)" 2
		masq detach -q --all
		nothing_left
	done
}

# One line, and all as it was.
failed_call() {
	local n before after
	attached
	before=$(get '[.generation, .config, .health, .interfaces]')
	for n in $1; do
		if traced "error=ENOMEM:when=$n" "$MASQBPF" attach -q eth1 \
			--preset reserved 2>"$LAB_DIR/err"; then
			masq detach -q --all
			masq attach -q eth0
			before=$(get '[.generation, .config, .health, .interfaces]')
			continue
		fi
		is "call $n: lines on stderr" "$(wc -l <"$LAB_DIR/err")" 1
		after=$(get '[.generation, .config, .health, .interfaces]')
		is "call $n: $(cat "$LAB_DIR/err")" "$after" "$before"
	done
}

# Of two kinds of hooks the old ones have gone when it fails: one kind stays, for
# without any pods would leave as they are.
failed_switch() { # FROM TO
	local n
	masq attach -q eth0 --hook "$1"
	lab_in node strace -qq -o "$LAB_DIR/calls" -e trace=bpf "$MASQBPF" \
		attach -q eth0 --hook "$2"
	# that it is done is noted behind the switch
	n=$(awk '/\/masq_seeded"/ { fd = $NF }
		index($0, "UPDATE_ELEM, {map_fd=" fd ",") { n = NR }
		END { print n }' "$LAB_DIR/calls")
	masq detach -q --all
	masq attach -q eth0 --hook "$1"
	if traced "error=ENOMEM:when=$n" "$MASQBPF" attach -q eth0 --hook "$2" \
		2>"$LAB_DIR/err"; then
		fail "not refused"
	fi
	is "lines on stderr" "$(wc -l <"$LAB_DIR/err")" 1
	is "our programs: $(cat "$LAB_DIR/err")" "$(ours)" 2
	is health "$(get .health)" '"ok"'
	masq attach -q eth0 --hook "$2"
	is hook "$(get '.interfaces[0].hook')" "\"$2\""
	is "our programs" "$(ours)" 2
	masq detach -q --all
}

# What a first attach has made is not left when it cannot be mapped.
unmapped() {
	local n
	lab_in node strace -qq -o "$LAB_DIR/calls" -e trace=mmap "$MASQBPF" \
		attach -q eth0
	masq detach -q --all
	n=$(grep -n 'PROT_READ|PROT_WRITE, MAP_SHARED,' "$LAB_DIR/calls" |
		tail -n 1 | cut -d: -f1)
	if lab_in node strace -qq -o /dev/null -e trace=mmap \
		-e "inject=mmap:error=ENOMEM:when=$n" "$MASQBPF" attach -q \
		eth0 2>"$LAB_DIR/err"; then
		fail "not refused"
	fi
	grep -q 'cannot map: Cannot allocate memory' "$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/err")"
	nothing_left
}

# Nor one whose network namespace could not be known: nobody could remove it.
namespace_unknown() {
	local n refused=0
	for n in 1 2 3 4; do
		if lab_in node strace -qq -o /dev/null -P /proc/self/ns/net \
			-e "inject=newfstatat:error=ENOMEM:when=$n" \
			"$MASQBPF" attach -q eth0 2>"$LAB_DIR/err"; then
			health_is ok
			masq detach -q --all
			continue
		fi
		grep -q 'network namespace' "$LAB_DIR/err" ||
			fail "$(cat "$LAB_DIR/err")"
		nothing_left
		refused=$((refused + 1))
	done
	[ $refused -ge 2 ] || fail "refused $refused times"
	for n in 1 2 3; do
		lab_in node timeout 10 strace -D -qq -o /dev/null \
			-P /proc/self/ns/net \
			-e "inject=newfstatat:error=ENOMEM:when=$n" \
			"$MASQBPF" agent eth0 2>"$LAB_DIR/err" || true
		masq attach -q eth0
		health_is ok
		masq detach -q --all
	done
}

failed_first() {
	local n
	for n in $1; do
		if traced "error=ENOMEM:when=$n" "$MASQBPF" attach -q eth0 \
			2>"$LAB_DIR/err"; then
			health_is ok
			masq detach -q --all
			continue
		fi
		is "call $n: lines on stderr" "$(wc -l <"$LAB_DIR/err")" 1
		nothing_left
	done
}

row "attach again keeps the policy, with one it is a reload" joins
row "tables as large as the config asks" tables
row "five attaches at once make one instance" at_once
row "tc: an interface of another instance" another_instance tc
row "auto: an interface of another instance" another_instance auto
row "tc: filters whose pins are gone" orphans
row "an interface is deleted and made again" new_device
row "an interface is deleted and stays away" device_stays_away
row "the config file changes, breaks, goes" config_file
row "a file that sets nothing replaces nothing" sets_nothing
row "tc: somebody deletes clsact" clsact_deleted
row "tc: an ingress qdisc is no clsact" ingress_qdisc
row "tc: somebody has our priority" priority_taken
row "from another network namespace" elsewhere
row "auto: the network namespace is gone" namespace_gone auto
row "tc: the network namespace is gone" namespace_gone tc
row "another mount namespace, the same bpffs" shared_bpffs
row "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON are enough" least_caps
row "without CAP_BPF" missing_cap bpf ,+net_admin,+perfmon
row "without CAP_NET_ADMIN" missing_cap net_admin ,+bpf,+perfmon
row "without CAP_PERFMON" missing_cap perfmon ,+bpf,+net_admin
row "an uplink without Ethernet header" layer3
row "programs without names, tc" nameless tc
row "programs without names, tcx" nameless tcx
row "an uplink without address" unnumbered
row "a node without address" no_address
row "standard streams closed" closed_streams
row "waits for the lock" waits_for_lock
row "attach is interrupted" interrupted
row "attach is killed" killed "70 106 126"
row "the first attach fails" failed_first \
	"43 84 118 131"
row "the first attach cannot map what it made" unmapped
row "the network namespace cannot be known" namespace_unknown
row "another attach fails" failed_call \
	"3 40 59 61 70 80 100 118"
if [ "$(lab_hook)" = tcx ]; then
	row "an attach fails that was to change the hook" failed_switch tcx tc
	row "the same, the other way" failed_switch tc tcx
else
	row_skip "an attach fails that was to change the hook" \
		"this kernel has no TCX"
fi
tap_done
