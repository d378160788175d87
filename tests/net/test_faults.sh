#!/usr/bin/env bash
# Faults that no other test has: killed at any system call of a command, calls
# that the kernel refuses, a storm of changes, races, pins that are gone, full
# disks, closed pipes, little locked memory. docs/faults.md has the list.
#
# FAULT_POINTS (default 2): at so many system calls of each command, drawn with
# FAULT_SEED (default: TEST_SEED, or another one each time) from all that it
# makes; 0: at every one, in an order that the seed gives, for FAULT_SECONDS at
# most if that is given. FAULT_SHARD=I/N: every Nth of them. FAULT_ROWS: only
# rows whose name matches.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PORT=443
POD=10.44.14.15
POINTS=${FAULT_POINTS:-2}
SEED=${FAULT_SEED:-${TEST_SEED:-$RANDOM}}
CHANGES=${FAULT_CHANGES:-1000}

lab_begin
lab_node_far
lab_pod pod1 $POD
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_serve far $PORT
cd "$LAB_DIR"
echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >masquerade.yaml
echo 'nonMasqueradeCIDRs: [10.0.0.0/8, 172.30.0.0/16]' >keep.yaml

get() {
	masq status --json | jq -c "$1"
}

ours() {
	lab_ours eth0
}

nothing_left() {
	lab_nothing_left eth0
}

attached() {
	trap 'masq detach -q --all || true' EXIT
	masq attach -q eth0 --config masquerade.yaml
}

# --- every system call ------------------------------------------------------

# prepare COMMAND: what has to be there before it
prepare() {
	case $1 in
	attach) masq detach -q --all 2>/dev/null || true ;;
	*) masq attach -q eth0 --config masquerade.yaml ;;
	esac
}

command_of() {
	case $1 in
	# over what is there: an upgrade is no more than that
	attach | again) echo attach -q eth0 --config masquerade.yaml ;;
	reload) echo reload -q --config keep.yaml ;;
	detach) echo detach -q --all ;;
	esac
}

# calls COMMAND SET: NAME N of each call that is to be met, from a run with
# strace: of POINTS equal parts one call each, the last one always; or all of
# this shard. What happens before the first bpf() is the loader's and leaves
# nothing.
calls() {
	local words
	read -ra words <<<"$(command_of "$1")"
	prepare "$1"
	lab_in node strace -f -qq -o calls.log -e signal=none -e trace="$2" \
		"$MASQBPF" "${words[@]}"
	awk -v points="$POINTS" -v seed="$SEED" -v shard="${FAULT_SHARD:-0/1}" '
		{ sub(/^[0-9]+ +/, "") }
		!/^[a-z_0-9]+\(/ { next }
		{ sub(/\(.*/, ""); seen[$0]++
		  if ($0 == "bpf" || $0 == "sendto" || $0 == "socket")
			begun = 1
		  if (begun && $0 != "exit_group" && $0 != "munmap" &&
		      $0 != "brk" && $0 != "mmap")
			call[n++] = $0 " " seen[$0] }
		END { srand(seed)
		      if (points && points < n) {
			for (i = 0; i < points - 1; i++)
				print call[int(n * (i + rand()) / points)]
			print call[n - 1]
			exit
		      }
		      split(shard, of, "/")
		      for (i = 0; i < n; i++) {
			j = i + int(rand() * (n - i))
			swap = call[i]; call[i] = call[j]; call[j] = swap
			if (i % of[2] == of[1])
				print call[i]
		      } }' calls.log
	UNTIL=$((EPOCHSECONDS + ${FAULT_SECONDS:-86400}))
}

# looks COMMAND PATTERN: all its calls of bpf() that match
looks() {
	local words
	read -ra words <<<"$(command_of "$1")"
	prepare "$1"
	lab_in node strace -f -qq -o calls.log -e signal=none -e trace=bpf \
		"$MASQBPF" "${words[@]}"
	awk -v pattern="$2" '{ sub(/^[0-9]+ +/, "") }
		/^bpf\(/ && ++n && $0 ~ pattern { print "bpf", n }' calls.log
	UNTIL=$((EPOCHSECONDS + ${FAULT_SECONDS:-86400}))
}

# tried POINTS-MET: of how many, for the row's name
tried() {
	note "seed $SEED, $1 of $(wc -l <points) points"
}

# whole: what a command that was killed left behind is healed by the next one
whole() {
	is "$1: problems" "$(get '.problems')" '[]'
	is "$1: our programs" "$(ours)" 2
	case $(get .config) in
	*masquerade.yaml*) is "$1: source" "$(source_now)" $NODE_ADDR ;;
	*keep.yaml*) is "$1: source" "$(source_now)" $POD ;;
	*) fail "$1: config $(get .config)" ;;
	esac
}

source_now() {
	local line
	line=$(traffic pod1 who $FAR_ADDR $PORT) || fail "$line"
	word source "$line"
}

killed() { # COMMAND
	local name n status words met=0 killed=0
	trap 'masq detach -q --all 2>/dev/null || true' EXIT
	read -ra words <<<"$(command_of "$1")"
	calls "$1" all >points
	while [ "$EPOCHSECONDS" -lt "$UNTIL" ] && read -r name n; do
		met=$((met + 1))
		prepare "$1"
		status=0
		lab_in node strace -f -o /dev/null -e trace="$name" \
			-e "inject=$name:signal=KILL:when=$n" \
			"$MASQBPF" "${words[@]}" 2>/dev/null || status=$?
		[ $status -eq 137 ] || continue
		killed=$((killed + 1))
		# a policy is one or the other, before anything heals it
		if [ "$1" = reload ]; then
			whole "killed at $name $n, not healed"
		fi
		if [ "$1" = detach ]; then
			# the rest goes, or all was gone
			masq detach -q --all 2>/dev/null || true
			nothing_left
		else
			masq "${words[@]}"
			whole "killed at $name $n"
		fi
	done <points
	masq detach -q --all 2>/dev/null || true
	nothing_left
	[ $killed -gt 0 ] || fail "never killed: $(paste -sd, points)"
	tried $met
	note "killed at $killed of $(wc -l <calls.log) calls"
}

# A call that fails once: it succeeds all the same, or one line, exit code 1
# and all is as it was.
refused() { # COMMAND [PATTERN]
	local name n error status words before sample met=0 failed=0
	trap 'masq detach -q --all 2>/dev/null || true' EXIT
	read -ra words <<<"$(command_of "$1")"
	if [ $# -gt 1 ]; then
		looks "$1" "$2" >points
	else
		calls "$1" bpf,socket,sendto,sendmsg,recvmsg,recvfrom >points
	fi
	sample=$(wc -l <points)
	# Of two or three that are drawn each may be one that attach can do
	# without, a probe of what the kernel has: then more are drawn.
	[ "$POINTS" -eq 0 ] || [ $# -gt 1 ] ||
		POINTS=20 calls "$1" bpf,socket,sendto,sendmsg,recvmsg,recvfrom \
			>>points
	while [ "$EPOCHSECONDS" -lt "$UNTIL" ] && read -r name n; do
		[ $met -lt "$sample" ] || [ $failed -eq 0 ] || break
		met=$((met + 1))
		prepare "$1"
		[ "$1" = attach ] || before=$(get '[.generation, .interfaces]')
		error=ENOMEM
		status=0
		lab_in node strace -f -o /dev/null -e trace="$name" \
			-e "inject=$name:error=$error:when=$n" \
			"$MASQBPF" "${words[@]}" 2>err || status=$?
		if [ $status -eq 0 ]; then
			masq detach -q --all 2>/dev/null || true
			continue
		fi
		failed=$((failed + 1))
		is "$name $n: exit code ($(cat err))" $status 1
		is "$name $n: lines on stderr ($(cat err))" \
			"$(wc -l <err)" 1
		case $1 in
		attach) nothing_left ;;
		again | reload) is "$name $n: state" \
			"$(get '[.generation, .interfaces]')" "$before" ;;
		detach)
			# what was left is taken away by the next one
			[ ! -e "$MASQBPF_PIN_DIR" ] || masq detach -q --all
			nothing_left
			;;
		esac
	done <points
	[ $failed -gt 0 ] || fail "no call failed it: $(paste -sd, points)"
	tried $met
	note "$failed refusals end it"
}

# --- changes and races ------------------------------------------------------

pinned() {
	find "$MASQBPF_PIN_DIR" -mindepth 1 | sort
}

# A prefix is kept and masqueraded in turn. No byte of a transfer is lost, no
# exchange fails, and every packet that far sees is consistent with exactly one
# generation: tests/lib/generations.py says what that means. Now and then the
# policy rests, so that it is known which one is in force.
storm() {
	local i before pins pids dump begin action stop=$LAB_DIR/stop.storm
	attached
	echo "0 0 masquerade" >changes
	lab_spawn far tcpdump -qnp -i eth0 -s 64 -w capture -U \
		--immediate-mode -Z root tcp and dst port $PORT 2>tcpdump.log
	dump=$LAB_PID
	lab_wait 20 grep -q listening tcpdump.log
	pins=$(pinned)
	before=$(get .generation)
	lab_saw_reset
	trap 'touch "$LAB_DIR/stop.storm"
		masq detach -q --all || true' EXIT
	# shellcheck disable=SC2094 # two files
	traffic pod1 stream $FAR_ADDR $PORT --stop "$stop" --chunk 16384 \
		--interval 0.01 --progress progress.stream >streamed 2>&1 &
	pids=$!
	traffic pod1 steady $FAR_ADDR $PORT --short --stop "$stop" \
		--progress progress.storm >storm 2>&1 &
	lab_wait 10 test -s progress.stream
	for ((i = 0; i < CHANGES; i++)); do
		action=keep
		[ $((i % 2)) = 0 ] || action=masquerade
		begin=$EPOCHREALTIME
		masq reload -q --config $action.yaml --yes
		echo "$begin $EPOCHREALTIME $action" >>changes
		# an odd number, so that either of them rests
		[ $((i % 75)) -ne 74 ] || sleep 0.6
	done
	touch "$stop"
	wait $! || fail "$(tail -3 storm)"
	wait "$pids" || fail "transfer: $(tail -3 streamed)"
	is "generations" "$(get .generation)" $((before + CHANGES))
	is "pins" "$(pinned)" "$pins"
	far_saw $NODE_ADDR $POD
	is "source of the transfer" "$(word source "$(cat streamed)")" $NODE_ADDR
	kill "$dump"
	lab_wait 10 lab_gone "$dump"
	grep -q '^0 packets dropped by kernel' tcpdump.log ||
		fail "the capture is not whole: $(cat tcpdump.log)"
	"$PYTHON" "$LAB_LIB/generations.py" capture changes $NODE_ADDR $POD \
		>judged || fail "$(cat judged)"
	# and it can say no: keep and masquerade taken for each other
	"$PYTHON" "$LAB_LIB/generations.py" capture changes $POD $NODE_ADDR \
		>swapped && fail "the judge agrees with everything"
	note "$(word ok "$(cat storm)") exchanges," \
		"$(($(word got "$(cat streamed)") >> 20)) MiB both ways," \
		"packets: $(tail -1 judged)"
}

race() {
	local i one two=$LAB_DIR/bpf/two status_one status_two
	trap 'masq detach -q --all 2>/dev/null ||
		masq --pin-dir "$LAB_DIR/bpf/two" detach -q --all 2>/dev/null ||
		true' EXIT
	for ((i = 0; i < 2; i++)); do
		status_one=0
		status_two=0
		masq attach -q eth0 2>err.one &
		one=$!
		masq --pin-dir "$two" attach -q eth0 2>err.two || status_two=$?
		wait $one || status_one=$?
		is "exit codes ($(cat err.one err.two))" \
			$((status_one + status_two)) 1
		cat err.one err.two | grep -q 'another instance'
		is "our programs" "$(ours)" 2
		masq detach -q --all 2>/dev/null ||
			masq --pin-dir "$two" detach -q --all
		nothing_left
		[ ! -e "$two" ] || fail "the loser left pins"
	done
}

# Whoever is last decides; nobody leaves a half.
attach_and_detach() {
	local i pid
	trap 'masq detach -q --all 2>/dev/null || true' EXIT
	for ((i = 0; i < 4; i++)); do
		masq attach -q eth0 2>err.attach &
		pid=$!
		masq detach -q --all 2>err.detach || true
		wait $pid || fail "attach: $(cat err.attach)"
		case $(ours) in
		0) nothing_left ;;
		2) is health "$(get .health)" '"ok"' ;;
		*) fail "half an instance" ;;
		esac
	done
	masq attach -q eth0
	is health "$(get .health)" '"ok"'
}

# A pin is gone: said in one line that names it; attach heals or says how.
pin_gone() { # NAME
	local status=0
	attached
	rm "$MASQBPF_PIN_DIR/$1"
	masq counters >/dev/null 2>err || status=$?
	is "exit code" $status 1
	is "lines on stderr" "$(wc -l <err)" 1
	masq detach -q --all
	nothing_left
}

all_pins_gone() {
	local status=0
	attached
	is source "$(source_now)" $NODE_ADDR
	rm -r "$MASQBPF_PIN_DIR"
	masq status >/dev/null 2>err || status=$?
	is "exit code" $status 1
	grep -q 'not attached' err
	masq attach -q eth0 --config masquerade.yaml
	is health "$(get .health)" '"ok"'
	is "our programs" "$(ours)" 2
	is source "$(source_now)" $NODE_ADDR
}

# --- output and limits ------------------------------------------------------

# Nobody reads on: no message, and the next command works.
closed_pipe() {
	local command
	attached
	traffic far many $FAR_ADDR $PORT --netns "$LAB_ID-pod1" \
		--sports 40000-40999 >/dev/null
	for command in flows counters "flows --json" "status --json" metrics \
		"cidr list"; do
		# shellcheck disable=SC2086 # words
		{ masq $command 2>err && echo 0 >status ||
			echo $? >status; } | true
		case $(cat status) in
		0 | 1 | 141) ;;
		*) fail "$command: exit code $(cat status)" ;;
		esac
		[ ! -s err ] || fail "$command: $(cat err)"
	done
	{ masq flows 2>err || true; } | head -n 1 >first
	is "lines" "$(wc -l <first)" 1
	[ ! -s err ] || fail "$(cat err)"
}

full_disk() {
	local command status
	attached
	is source "$(source_now)" $NODE_ADDR # a flow to print
	for command in flows counters "cidr list" "explain 8.8.8.8" metrics \
		history "plan keep.yaml" "check keep.yaml" "completion bash" \
		--help; do
		status=0
		# shellcheck disable=SC2086 # words
		masq $command >/dev/full 2>err || status=$?
		is "$command: exit code" $status 1
		is "$command: lines on stderr ($(cat err))" "$(wc -l <err)" 1
	done
}

# A file that could not be written whole is not put in the old one's place.
textfile() {
	local status=0
	attached
	mkdir -p small
	mount -t tmpfs -o size=8k trust small
	trap 'umount small; masq detach -q --all || true' EXIT
	echo old >small/masqbpf.prom
	masq metrics --textfile small/masqbpf.prom 2>err || status=$?
	is "exit code" $status 1
	is "lines on stderr" "$(wc -l <err)" 1
	is "the file" "$(cat small/masqbpf.prom)" old
	is "files" "$(ls -A small)" masqbpf.prom
}

# Since 5.11 the cgroup pays for maps; before, the limit is named.
memlock() {
	trap 'masq detach -q --all 2>/dev/null || true' EXIT
	if (ulimit -l 64 && lab_in node setpriv \
		--bounding-set -all,+bpf,+net_admin,+perfmon \
		--inh-caps -all,+bpf,+net_admin,+perfmon \
		"$MASQBPF" attach -q eth0) 2>err; then
		is health "$(get .health)" '"ok"'
	else
		grep -q RLIMIT_MEMLOCK err || fail "$(cat err)"
		nothing_left
	fi
}

only=${FAULT_ROWS:-.}
when() { # NAME FUNCTION...
	[[ ! $1 =~ $only ]] || row "$@"
}
for command in attach again reload detach; do
	when "$command: killed at any call" killed $command
	when "$command: a call that fails once" refused $command
done
# all of them, as attach looks again after it has changed something
for command in attach again detach; do
	when "$command: a look at the hooks that fails" \
		refused $command BPF_PROG_QUERY
done
when "$CHANGES reloads under traffic" storm
when "two instances want one interface" race
when "attach and detach at once" attach_and_detach
when "the pin of the flows is gone" pin_gone masq_flows4
when "the pin of a program is gone" pin_gone masq_ctl
when "the pin of masq_meta is gone" pin_gone masq_meta
when "all pins are gone" all_pins_gone
when "nobody reads what is printed" closed_pipe
when "every command onto a full disk" full_disk
when "a textfile onto a full disk" textfile
when "64 kB of locked memory" memlock
tap_done
