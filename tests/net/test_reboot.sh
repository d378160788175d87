#!/usr/bin/env bash
# A reboot takes pins, flows and hooks: what was in force is known all the same.
# Here the bpffs is unmounted, which ends everything that was pinned there.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/agent.sh"
. "$(dirname "$0")/../lib/talks.sh"

POD=10.44.14.15
PORT=443
URL=http://127.0.0.1:9842
WIDE="10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16"

lab_agent $POD
lab_pod pod2 10.44.14.16
lab_reject $POD_NET
LOG=$LAB_DIR/log
cd "$LAB_DIR"
CONF=$LAB_DIR/conf
CONFIG=$CONF/config.yaml
mkdir "$CONF"
echo 0 >"$LAB_DIR/agent"

# --- helpers ----------------------------------------------------------------

nothing_hooked() {
	[ "$(lab_ours eth0)" = 0 ]
}

reboots() {
	stop "${1:-KILL}"
	# some other mount namespace may have a copy of this bpffs: a container's,
	# or a test's
	rm -rf "${MASQBPF_PIN_DIR:?}"
	umount -l "$LAB_DIR/bpf"
	mount -t bpf "$LAB_ID" "$LAB_DIR/bpf"
	# links go with their pins, filters with the interface
	lab_in node tc qdisc del dev eth0 clsact 2>/dev/null || true
	lab_wait 20 nothing_hooked
}

anew() {
	quiet
	stop KILL
	masq detach --all >/dev/null 2>&1 || true
	is "what is saved" "$(find "$MASQBPF_STATE_DIR" -type f)" ""
}

says() { # TEXT PATTERN
	grep -E "$2" <<<"$1" >/dev/null || fail "no word of '$2': $1"
}

silent() { # TEXT PATTERN
	! grep -E "$2" <<<"$1" >/dev/null || fail "says '$2': $1"
}

generation() {
	masq status --json | jq -r .generation
}

generation_is() {
	[ "$(generation)" = "$1" ]
}

# kept: what is kept, but for link-local
kept() {
	masq cidr list --json | jq -r '[.prefixes[] | select(.action == "keep"
		and .origin != "built-in").prefix] | join(" ")'
}

# file KEEP [MORE]: as a ConfigMap is changed, by a rename
file() {
	printf '%s\n' "nonMasqueradeCIDRs: [$1]" "${2-}" >"$CONFIG.new"
	mv "$CONFIG.new" "$CONFIG"
}

agent() {
	: >"$LOG"
	lab_spawn node "$MASQBPF" agent eth0 --config "$CONFIG" 2>>"$LOG"
	echo "$LAB_PID" >"$LAB_DIR/agent"
	lab_wait 30 ready || fail "$(cat "$LOG")"
}

get() {
	lab_in node curl -sf --max-time $((5 * TEST_SLOW)) "$URL$1"
}

# --- commands ---------------------------------------------------------------
# Each goes on with what the one before has left: an attach takes its time.

# What was typed at runtime is what was in force.
without_a_file() {
	local said
	masq attach eth0 --preset gke-before-1.14
	masq cidr add 100.64.0.0/10 --yes
	is mode "$(stat -c %a "$MASQBPF_STATE_DIR" "$MASQBPF_STATE_DIR"/* |
		tr '\n' ' ')" "700 600 "
	reboots
	said=$(masq attach eth0 2>&1)
	says "$said" "generation 2 is in force again"
	silent "$said" "neither --config nor --preset"
	is kept "$(kept)" "10.0.0.0/8 100.64.0.0/10"
	says "$(masq history)" "cidr add 100.64.0.0/10"
	says "$(masq cidr list)" "100.64.0.0/10 +keep +2 +runtime"
	# the numbers go on, and back
	masq rollback --yes
	is generation "$(generation)" 3
	is kept "$(kept)" 10.0.0.0/8
}

# A file that cannot be used: each kind of it.
useless_file() { # CONTENT
	local said status=0
	reboots
	rm -f "$CONFIG"
	[ -z "${1-}" ] || echo "$1" >"$CONFIG"
	said=$(masq attach eth0 --config "$CONFIG" --dry-run 2>&1) || status=$?
	is "exit status of a dry run" $status 1
	says "$said" "^masqbpf: $CONFIG:"
	says "$said" "generation 5 would be in force again"
	nothing_hooked || fail "$said"
	status=0
	said=$(masq attach eth0 --config "$CONFIG" 2>&1) || status=$?
	is "exit status" $status 1
	says "$said" "^masqbpf: $CONFIG:"
	says "$said" "generation 5 is in force again"
	says "$said" "not with the file"
	is kept "$(kept)" 10.0.0.0/8
	is "room for flows" "$(masq status --json | jq .flows_max)" 65536
	is hooks "$(lab_ours eth0)" 2
	# once it runs, the file alone is refused, and nothing changes
	status=0
	masq attach eth0 --config "$CONFIG" || status=$?
	is "exit status" $status 2
	is generation "$(generation)" 5
}

other_file() {
	local said
	reboots
	file "10.0.0.0/8, 172.30.0.0/16"
	# said beforehand as well, when there is nothing but what was saved
	said=$(masq attach eth0 --config "$CONFIG" --dry-run 2>&1)
	says "$said" "generation 3 would be in force again"
	says "$said" "172.30.0.0/16: masquerade becomes keep"
	says "$said" "nothing was changed"
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "pins: $said"
	said=$(masq attach eth0 --config "$CONFIG" 2>&1)
	says "$said" "172.30.0.0/16: masquerade becomes keep"
	is generation "$(generation)" 4
	# and where it runs, with another size; a dry run stops there
	file 10.0.0.0/8 "maxFlows: 65536"
	said=$(masq attach eth0 --config "$CONFIG" --dry-run 2>&1)
	says "$said" "172.30.0.0/16: keep becomes masquerade"
	says "$said" "nothing was changed"
	is generation "$(generation)" 4
	said=$(masq attach eth0 --config "$CONFIG" 2>&1)
	says "$said" "172.30.0.0/16: keep becomes masquerade"
	is generation "$(generation)" 5
}

same_file() {
	local said
	reboots
	file 10.0.0.0/8 "maxFlows: 65536"
	said=$(masq attach eth0 --config "$CONFIG" 2>&1)
	silent "$said" becomes
	is generation "$(generation)" 5
	is health "$(masq status --json | jq -r .health)" ok
}

# It says so once, and is not taken. Nor is there another's.
damaged() {
	local said
	reboots
	printf x | dd of="$(find "$MASQBPF_STATE_DIR" -type f)" bs=1 seek=300 \
		conv=notrunc status=none
	said=$(masq attach eth0 --config "$CONFIG" 2>&1)
	is "lines about it" "$(grep -c "ignored: damaged" <<<"$said")" 1
	is generation "$(generation)" 1
}

# It cannot be written: nothing fails, it is said once, and status tells.
unwritable() {
	local said
	mount -o remount,ro "$MASQBPF_STATE_DIR"
	trap 'mount -o remount,rw "$MASQBPF_STATE_DIR"' EXIT
	said=$(masq cidr add 192.0.2.0/24 2>&1)
	says "$said" "state: cannot be written: Read-only file system"
	is generation "$(generation)" 2
	said=$(masq cidr add 198.51.100.0/24 2>&1)
	silent "$said" "cannot be written"
	says "$(masq status)" "^saved .*cannot be written"
	is health "$(masq status --json | jq -r .health)" degraded
	says "$(masq doctor || true)" "saved .*cannot be written"
	mount -o remount,rw "$MASQBPF_STATE_DIR"
	masq reload
	is health "$(masq status --json | jq -r .health)" ok
}

# killed_unsaved COMMAND...: it has changed what is in force, and wrote half
killed_unsaved() {
	local status=0
	lab_in node strace -f -o /dev/null -e trace=fsync \
		-e inject=fsync:signal=KILL:when=1 "$MASQBPF" "$@" || status=$?
	is "exit status" $status 137
}

# A change that was killed before it was saved: said, and the next one mends it.
killed_before_saved() {
	local before
	before=$(generation)
	killed_unsaved cidr add 203.0.113.0/24
	is generation "$(generation)" $((before + 1))
	says "$(masq status)" "saved .*has generation $before and not what is in"
	is health "$(masq status --json | jq -r .health)" degraded
	masq reload
	silent "$(masq status)" "^saved"
	killed_unsaved cidr add 203.0.114.0/24
	before=$(generation)
	masq attach -q eth0
	silent "$(masq status)" "^saved"
	reboots
	masq attach -q eth0
	is generation "$(generation)" "$before"
	says "$(kept)" 203.0.114.0/24
}

# Behind the switch, while it writes the history that the file is made of: each
# of its calls that write many.
killed_before_kept() {
	local n number=0 before
	file 10.0.0.0/8
	masq reload
	file "10.0.0.0/8, 203.1.0.0/24"
	lab_in node strace -f -o calls -e trace=bpf "$MASQBPF" reload
	awk '/ bpf\(/ { n++ } /BPF_MAP_UPDATE_BATCH/ { print n }' calls >batches
	[ "$(wc -l <batches)" -ge 3 ] || fail "$(cat batches)"
	while read -r n <&3; do
		file "10.0.0.0/8, 203.1.$((++number)).0/24"
		lab_in node strace -f -o /dev/null -e trace=bpf \
			-e "inject=bpf:signal=KILL:when=$n" "$MASQBPF" reload &&
			fail "not killed at $n"
		masq reload -q
		silent "$(masq status)" "^saved"
		is "health, killed at $n" \
			"$(masq status --json | jq -r .health)" ok
	done 3<batches
	before=$(generation)
	reboots
	masq attach -q eth0
	is generation "$(generation)" "$before"
}

# The first attach, too, of which nothing is noted yet; by status and, saving it,
# by an agent and by the same attach again.
first_killed_before_saved() {
	masq detach -q --all
	file 10.0.0.0/8
	killed_unsaved attach -q eth0 --config "$CONFIG"
	says "$(masq status)" "^saved .*: has nothing and not what is in force"
	is health "$(masq status --json | jq -r .health)" degraded
	masq attach -q eth0 --config "$CONFIG"
	silent "$(masq status)" "^saved"
	reboots
	masq attach -q eth0
	is kept "$(kept)" 10.0.0.0/8
	masq detach -q --all
	killed_unsaved attach -q eth0 --config "$CONFIG"
	agent
	lab_wait 20 all_is_saved
	stop KILL
}

# Who detaches means it.
detach_forgets() {
	local said
	masq detach eth0
	is "what is saved" "$(find "$MASQBPF_STATE_DIR" -type f)" ""
	said=$(masq attach eth0 2>&1)
	says "$said" "neither --config nor --preset"
	is generation "$(generation)" 1
	# after a reboot there is nothing to detach, but something to forget
	masq cidr add 192.0.2.0/24
	reboots
	said=$(masq detach --all 2>&1) && fail "detached: $said"
	says "$said" "not attached"
	says "$said" "what was saved of before is removed"
	is "what is saved" "$(find "$MASQBPF_STATE_DIR" -type f)" ""
	said=$(masq detach --all 2>&1) && fail "detached: $said"
	silent "$said" "saved"
	masq attach eth0
	is generation "$(generation)" 1
	# what cannot be forgotten is no success, nor what is not ours to take
	trap 'mount -o remount,rw "$MASQBPF_STATE_DIR"' EXIT
	mount -o remount,ro "$MASQBPF_STATE_DIR"
	said=$(masq detach -q eth0 2>&1) && fail "detached: $said"
	says "$said" "cannot be removed: Read-only file system: the next attach"
	mount -o remount,rw "$MASQBPF_STATE_DIR"
	said=$(masq detach --all 2>&1) && fail "detached: $said"
	says "$said" "what was saved of before is removed"
	masq attach eth0
	chmod 777 "$MASQBPF_STATE_DIR"
	said=$(masq detach eth0 2>&1)
	chmod 700 "$MASQBPF_STATE_DIR"
	says "$said" "is not removed: not trusted"
	masq detach --all 2>/dev/null || true
	is "what is saved" "$(find "$MASQBPF_STATE_DIR" -type f)" ""
}

# --- the agent --------------------------------------------------------------

all_is_saved() {
	masq status >"$LAB_DIR/status" && ! grep '^saved' "$LAB_DIR/status"
}

# It keeps in the history, too, what a killed command has not.
agent_keeps_text() {
	local n
	file 10.0.0.0/8
	agent
	lab_in node strace -f -o calls -e trace=bpf "$MASQBPF" cidr add \
		192.0.3.0/24
	# the policy's two, the text, and that it is whole
	n=$(awk '/ bpf\(/ { n++ } /UPDATE_BATCH/ && ++many == 4 { print n }' \
		calls)
	lab_in node strace -f -o /dev/null -e trace=bpf \
		-e "inject=bpf:signal=KILL:when=$n" "$MASQBPF" \
		cidr add 192.0.4.0/24 && fail "not killed at $n"
	lab_wait 20 all_is_saved
	# nor does it leave it at once that it could not
	mount -o remount,ro "$MASQBPF_STATE_DIR"
	trap 'mount -o remount,rw "$MASQBPF_STATE_DIR"' EXIT
	masq cidr add 192.0.5.0/24
	says "$(masq status)" "^saved .*cannot be written"
	mount -o remount,rw "$MASQBPF_STATE_DIR"
	lab_wait 30 all_is_saved
	n=$(generation)
	stop KILL
	# nor is where to save it given up for a moment's want of memory
	unread_agent ENOENT 1..2
	lab_wait 60 ready || fail "$(cat "$LOG")"
	is kept "$(kept)" "10.0.0.0/8 192.0.3.0/24 192.0.4.0/24 192.0.5.0/24"
	file "10.0.0.0/8, 192.0.6.0/24"
	lab_wait 30 generation_is $((n + 1)) || fail "$(cat "$LOG")"
	lab_wait 60 all_is_saved || fail "$(cat "$LOG")"
	n=$(generation)
	stop KILL
	reboots
	masq attach -q eth0
	is generation "$(generation)" "$n"
	is kept "$(kept)" "10.0.0.0/8 192.0.6.0/24"
	masq detach -q --all
}

agent_goes_on() {
	file "10.0.0.0/8, 100.64.0.0/10"
	agent
	# the agent saves for whom it has not
	killed_unsaved cidr add 192.0.2.0/24
	lab_wait 20 all_is_saved
	reboots
	# as it was: what was added by hand stays, as without a reboot
	agent
	is generation "$(generation)" 2
	is kept "$(kept)" "10.0.0.0/8 100.64.0.0/10 192.0.2.0/24"
	reboots
	echo "nonMasqueradeCIDRs: [10.0.0.0/8" >"$CONFIG"
	agent
	is kept "$(kept)" "10.0.0.0/8 100.64.0.0/10 192.0.2.0/24"
	says "$(cat "$LOG")" "generation 2 is in force again"
	says "$(get /readyz)" "config.yaml:.*; the policy in force is older"
}

# A preset that stands in for a file is nothing to rest upon.
no_file_is_degraded() {
	rm -f "$CONFIG"
	agent
	says "$(get /readyz)" "preset ip-masq-agent is in force because no"
	says "$(get /metrics)" "^masqbpf_verdict 1$"
	says "$(get /)" "because no config file was there"
	is health "$(masq status --json | jq -r .health)" degraded
	is verdict "$(masq status --json | jq -r \
		'.verdict[] | select(.what == "policy").level')" degraded
	says "$(masq doctor || true)" "policy .*because no config file was there"
	says "$(masq metrics)" "^masqbpf_verdict 1$"
	# the next agent knows it, too
	reboots
	agent
	says "$(get /readyz)" "because no config file was there"
	is generation "$(generation)" 1
	file 10.0.0.0/8
	lab_wait 10 generation_is 2
	silent "$(get /readyz)" "because no config file was there"
}

# unread ERROR WHEN COMMAND...: what is saved cannot be opened
unread() {
	lab_in node strace -qq -o /dev/null -P "$MASQBPF_STATE_DIR" \
		-e "inject=openat:error=$1:when=$2" "$MASQBPF" "${@:3}" 2>&1
}

# What cannot be read just now is not nothing: no preset takes its place, and
# so nothing is lost.
unreadable() {
	local said when
	masq attach -q eth0 --preset gke-before-1.14
	masq cidr add -q --yes 100.64.0.0/10
	reboots
	for when in 1 2; do # the directory, the file
		said=$(unread EIO $when attach eth0 --dry-run) &&
			fail "would be attached: $said"
		says "$said" "no preset is put in its place"
		said=$(unread EIO $when attach eth0) && fail "attached: $said"
		says "$said" "cannot be read: Input/output error"
		says "$said" "no preset is put in its place"
		[ ! -e "$MASQBPF_PIN_DIR" ] || fail "pins: $said"
	done
	masq attach -q eth0
	is generation "$(generation)" 2
	is kept "$(kept)" "10.0.0.0/8 100.64.0.0/10"
	# who names a policy means it
	reboots
	unread EIO 1 attach -q eth0 --preset ip-masq-agent >/dev/null ||
		fail "not attached"
	is generation "$(generation)" 1
}

# Nor is what another version has saved: a node's upgrade ends with a reboot.
other_version() {
	local said
	masq attach -q eth0 --preset gke-before-1.14
	masq cidr add -q --yes 100.64.0.0/10
	reboots
	printf '\143' | dd of="$(find "$MASQBPF_STATE_DIR" -type f)" bs=1 seek=8 \
		conv=notrunc status=none
	said=$(masq attach eth0 2>&1) && fail "attached: $said"
	says "$said" "made by another version of masqbpf; the policy of before"
	says "$said" "no preset is put in its place"
	nothing_hooked || fail "$said"
	masq attach -q eth0 --preset ip-masq-agent
	is generation "$(generation)" 1
}

# addresses N: a file with so many that no other such one fits beside it
addresses() {
	local i
	file 10.0.0.0/8 "snat: {addresses: [$(for i in {1..150}; do
		echo "{destination: 198.51.$i.0/24, address: 203.0.$1.$i}"
	done | paste -sd,)]}"
}

# A file that is as it should be, and cannot be had: the last policy is better
# than none, for packets that begin to flow.
refused_file() {
	local said n
	addresses 1
	masq attach -q eth0 --config "$CONFIG"
	reboots
	addresses 2
	said=$(masq attach eth0 --config "$CONFIG" 2>&1) && fail "$said"
	says "$said" "do not fit beside those of the policy in force"
	says "$said" "attached with the policy of before, not with the file"
	is generation "$(generation)" 1
	is hooks "$(lab_ours eth0)" 2
	masq detach -q --all
	# no memory for its size: libbpf asks twice
	file 10.0.0.0/8 "maxFlows: 1000"
	masq attach -q eth0 --config "$CONFIG"
	reboots
	file 10.0.0.0/8 "maxFlows: 2000"
	lab_in node strace -qq -o calls -e trace=bpf "$MASQBPF" attach -q \
		eth0 --config "$CONFIG"
	n=$(grep -n 'MAP_CREATE.*"masq_flows4"' calls | cut -d: -f1 | tail -n 1)
	masq detach -q --all
	file 10.0.0.0/8 "maxFlows: 1000"
	masq attach -q eth0 --config "$CONFIG"
	reboots
	file 10.0.0.0/8 "maxFlows: 2000"
	said=$(lab_in node strace -qq -o /dev/null -e trace=bpf \
		-e "inject=bpf:error=ENOMEM:when=$n..$((n + 1))" "$MASQBPF" \
		attach eth0 --config "$CONFIG" 2>&1) && fail "$said"
	says "$said" "attached with the policy of before, not with the file"
	is "room for flows" "$(masq status --json | jq .flows_max)" 1000
	is hooks "$(lab_ours eth0)" 2
	# the agent takes the file, as far as it can be had
	reboots
	: >"$LOG"
	lab_spawn node strace -D -qq -o /dev/null -e trace=bpf \
		-e "inject=bpf:error=ENOMEM:when=$n..$((n + 1))" \
		"$MASQBPF" agent eth0 --fast-path off --config "$CONFIG" \
		2>>"$LOG"
	echo "$LAB_PID" >"$LAB_DIR/agent"
	lab_wait 60 ready || fail "$(cat "$LOG")"
	says "$(cat "$LOG")" "load: .*Cannot allocate memory"
	lab_wait 60 room_is 2000 || fail "$(cat "$LOG")"
	stop KILL
}

room_is() {
	[ "$(masq status --json | jq .flows_max)" = "$1" ]
}

unread_agent() { # ERROR WHEN
	: >"$LOG"
	lab_spawn node strace -D -qq -o /dev/null -P "$MASQBPF_STATE_DIR" \
		-e "inject=openat:error=$1:when=$2" \
		"$MASQBPF" agent eth0 --config "$CONFIG" 2>>"$LOG"
	echo "$LAB_PID" >"$LAB_DIR/agent"
}

not_known() {
	lab_in node curl -s --max-time 5 "$URL/readyz" |
		grep -q "what was in force before is not known"
}

agent_unreadable() {
	rm -f "$CONFIG"
	masq attach -q eth0 --preset gke-before-1.14
	masq cidr add -q --yes 100.64.0.0/10
	reboots
	# for a moment
	unread_agent ENOMEM 1..2
	lab_wait 60 ready || fail "$(cat "$LOG")"
	is generation "$(generation)" 2
	is kept "$(kept)" "10.0.0.0/8 100.64.0.0/10"
	reboots
	# for longer
	unread_agent EIO 1..3
	lab_wait 60 not_known || fail "$(cat "$LOG")"
	nothing_hooked || fail "$(cat "$LOG")"
	silent "$(cat "$LOG")" "no config file: preset"
	# the next one may
	reboots
	agent
	is kept "$(kept)" "10.0.0.0/8 100.64.0.0/10"
	reboots
	unread_agent EIO 1..3
	lab_wait 60 not_known || fail "$(cat "$LOG")"
	file 10.0.0.0/8
	lab_wait 60 ready || fail "$(cat "$LOG")"
	is kept "$(kept)" 10.0.0.0/8
}

# However it is written, it is one directory, and what is saved is one file.
spelled() {
	masq --pin-dir "$MASQBPF_PIN_DIR/" attach -q eth0 \
		--preset gke-before-1.14
	masq --pin-dir "$LAB_DIR/bpf/.//masqbpf" cidr add -q --yes \
		100.64.0.0/10
	is files "$(find "$MASQBPF_STATE_DIR" -type f | wc -l)" 1
	reboots
	masq attach -q eth0
	is generation "$(generation)" 2
	masq --pin-dir "$MASQBPF_PIN_DIR/." detach -q --all
	is "what is saved" "$(find "$MASQBPF_STATE_DIR" -type f)" ""
}

# No flow is left that the change could be judged by: what was noted is.
guard_knows_before() {
	file 10.0.0.0/8 "guard: {action: rollback}"
	agent
	talk pod1 $FAR_ADDR
	talk pod2 $FAR_ADDR
	reboots TERM
	quiet
	file "$WIDE" "guard: {action: rollback}"
	agent
	lab_wait 10 generation_is 2
	says "$(masq history 2)" "172.30.12.0/24 .* 2 answered flows before"
	knock pod1 $FAR_ADDR
	knock pod2 $FAR_ADDR
	lab_wait 40 generation_is 3
	says "$(cat "$LOG")" "generation 2 broke traffic and is taken back"
	# and the file that was refused stays so
	reboots
	quiet
	agent
	says "$(get /readyz)" "refused by the guard"
	is generation "$(generation)" 3
	is kept "$(kept)" 10.0.0.0/8
	says "$(masq history 2)" "10.44.14.15 > 172.30.12.110:443 tcp: no answer"
}

row "without a file the last policy comes back, and history goes on" \
	without_a_file
row "another file is a change, and says what flips" other_file
row "a file that is gone: the last policy" useless_file
row "a file that is broken: the last policy" \
	useless_file "nonMasqueradeCIDRs: [10.0.0.0/8"
row "a file that sets nothing: the last policy" useless_file "# nothing"
row "the same file: as if nothing had been" same_file
row "what is damaged is ignored, and said" damaged
row "what cannot be saved is told" unwritable
row "a change that was killed before it was saved" killed_before_saved
row "a change that was killed before the history had it" killed_before_kept
row "a first attach that was killed before it was saved" \
	first_killed_before_saved
row "a detach is meant" detach_forgets
anew
row "the agent: a change killed before the history had it" agent_keeps_text
row "the agent: the same" agent_goes_on
anew
row "a preset for want of a file is degraded, everywhere" no_file_is_degraded
anew
row "what cannot be read is not nothing" unreadable
anew
row "the agent: what cannot be read is not nothing" agent_unreadable
anew
row "what another version has saved is not nothing" other_version
anew
row "a file that cannot be had: the last policy" refused_file
anew
row "a pin directory has one file, however it is written" spelled
anew
row "the guard knows who was answered before, and what it refused" \
	guard_knows_before
quiet
stop
tap_done
