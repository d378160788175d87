#!/usr/bin/env bash
# The control program holds: what it cannot find out it does not take for
# absent, a lock that somebody has delays a change and loses none, an attach
# that was interrupted or refused is made whole by the next one, and whatever
# the agent can do without does not keep it from attaching.
#
# FAULT_POINTS (default 12): at so many calls of each command, drawn with
# FAULT_SEED; 0: at every one.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/agent.sh"
. "$(dirname "$0")/../lib/steady.sh"

PORT=443
POD=10.44.14.15
URL=http://127.0.0.1:9842
POINTS=${FAULT_POINTS:-12}
SEED=${FAULT_SEED:-${TEST_SEED:-$RANDOM}}
ENTRIES=150
LIVE=20 # connections

lab_agent $POD
lab_in far ip route add $POD_NET via $NODE_ADDR
cd "$LAB_DIR"
lab_tracks node
CONFIG=$LAB_DIR/config.yaml
LOG=$LAB_DIR/log

get() {
	masq status --json | jq -c "$1"
}

flows() {
	masq flows --json | jq length
}

source_now() {
	word source "$(traffic pod1 who $FAR_ADDR $PORT)"
}

# what there is, without what changes by itself
picture() {
	ls "$MASQBPF_PIN_DIR"
	get '[.generation, .health, .interfaces]'
}

# --- the agent --------------------------------------------------------------

# agent COMMAND...: "" or what it runs under, then its own arguments
agent() { # WRAPPER... -- ARG...
	: >"$LOG"
	local wrapper=()
	while [ "$1" != -- ]; do
		wrapper+=("$1")
		shift
	done
	lab_spawn node "${wrapper[@]}" "$MASQBPF" agent --config "$CONFIG" \
		"${@:2}" eth0 2>>"$LOG"
	AGENT=$LAB_PID
	lab_process "$AGENT" >agent.pid
}

# below PID: its children and theirs
below() {
	local child
	for child in $(pgrep -P "$1" || true); do
		echo "$child"
		below "$child"
	done
}

# end_all SIGNAL FILE: the process that it names (lab_process), and what it has
# started
end_all() {
	local process
	process=$(cat "$2")
	if ! lab_gone "$process"; then
		# itself first: it might begin another one
		# shellcheck disable=SC2046 # a word each
		kill "-$1" "${process%:*}" $(below "${process%:*}") 2>/dev/null || true
	fi
	rm -f "$2"
	lab_wait 10 lab_gone "$process"
}

end_agent() { # [SIGNAL]
	local agent=$AGENT
	# strace is passed no signal on: what it runs is meant
	case $(cat "/proc/$AGENT/comm") in
	strace) agent=$(pgrep -P "$AGENT") ;;
	esac
	kill "-${1:-TERM}" "$agent"
	lab_wait 20 gone "$AGENT"
	rm -f agent.pid
}

health_says() {
	lab_in node curl -s --max-time 5 $URL/readyz | grep -qE -- "$1"
}

status_says() {
	get .problems | grep -qE -- "$1"
}

log_says() {
	grep -qE -- "$1" "$LOG"
}

await() { # SECONDS COMMAND...
	lab_wait "$@" || fail "$(cat "$LOG"; masq status)"
}

keeps() { # CIDR
	masq cidr list --json |
		jq -e --arg c "$1" '.prefixes[] | select(.prefix == $c)' >/dev/null
}

# locked SECONDS: somebody has the lock for so long, from now on
locked() {
	flock "$MASQBPF_PIN_DIR" sleep "$1" &
	HOLDER=$!
	lab_process "$HOLDER" >holder.pid
	lab_wait 5 is_locked
}

is_locked() {
	! flock -n "$MASQBPF_PIN_DIR" true
}

# --- absent, or not found out ------------------------------------------------

# A container or chroot with /proc and the node's bpffs, but without sysfs.
no_sysfs() {
	local root=$LAB_DIR/root library before
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	is source "$(source_now)" $NODE_ADDR
	before="$(picture) $(flows)"
	mkdir -p "$root"/{bin,proc,dev} "$root$LAB_DIR/bpf"
	touch "$root/dev/null"
	cp "$MASQBPF" "$root/bin/masqbpf"
	while read -r library; do
		mkdir -p "$root${library%/*}"
		cp -L "$library" "$root$library"
	done < <(ldd "$MASQBPF" | grep -o '/[^ ]*')
	mount --bind "$LAB_DIR/bpf" "$root$LAB_DIR/bpf"
	mount -t proc proc "$root/proc"
	if lab_in node chroot "$root" /bin/masqbpf attach eth0 2>err; then
		fail "attached"
	fi
	grep -q 'is sysfs mounted?' err || fail "$(cat err)"
	is lines "$(wc -l <err)" 1
	is "after" "$(picture) $(flows)" "$before"
	is source "$(source_now)" $NODE_ADDR
}

# points WORD...: NAME N of each call that looks for something
points() {
	lab_in node strace -f -qq -o calls.log -e signal=none \
		-e trace=openat,open,newfstatat,stat,lstat,statfs,readlink,access,faccessat,faccessat2,bpf \
		"$MASQBPF" "$@"
	awk -v points="$POINTS" -v seed="$SEED" '
		{ sub(/^[0-9]+ +/, "") }
		!/^[a-z_0-9]+\(/ { next }
		{ line = $0; sub(/\(.*/, ""); seen[$0]++
		  # of the loader nothing is left, whatever it finds
		  if (line ~ /\.so|ld\.so|locale/)
			next
		  call[n++] = $0 " " seen[$0] }
		END { srand(seed)
		      for (i = 0; i < n; i++)
			if (!points || rand() < points / n)
				print call[i] }' calls.log
}

# Every call that says "no such thing" in turn: the instance is what it was,
# or, where all the same it succeeds, what it is to be.
nothing_is_absent() { # COMMAND
	local name n before after status met=0
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	source_now >/dev/null
	before=$(picture)
	points attach -q eth0 >met
	is "before" "$(picture)" "$before"
	while read -r name n; do
		met=$((met + 1))
		status=0
		lab_in node strace -f -o /dev/null -e trace="$name" \
			-e "inject=$name:error=ENOENT:when=$n" \
			"$MASQBPF" attach -q eth0 2>err || status=$?
		[ $status -ne 127 ] || continue # the loader's
		is "exit code, $name $n: $(cat err)" "$((status > 1))" 0
		after=$(picture)
		# a hook that was not found is there twice, what could not be
		# written for the next boot is missing: the next makes it good,
		# with the very programs that there were
		if [ "$after" != "$before" ]; then
			masq attach -q eth0
			after=$(picture)
		fi
		is "after $name $n: $(cat err)" "$after" "$before"
		[ "$(flows)" -ge 1 ] || fail "flows are gone: $name $n"
	done <met
	[ $met -gt 0 ] || fail "nothing was met"
	is source "$(source_now)" $NODE_ADDR
	note "seed $SEED, $met of $(grep -c '(' calls.log) calls"
}

# The same of detach: all, or what it says it could not remove is still there.
detach_finds_out() {
	local name n status met=0
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	points detach -q --all >met
	while read -r name n; do
		met=$((met + 1))
		masq attach -q eth0 --config "$CONFIG"
		status=0
		lab_in node strace -f -o /dev/null -e trace="$name" \
			-e "inject=$name:error=ENOENT:when=$n" \
			"$MASQBPF" detach -q --all 2>err || status=$?
		if [ -e "$MASQBPF_PIN_DIR" ] && [ $status -eq 0 ]; then
			fail "$name $n: said to be gone: $(ls "$MASQBPF_PIN_DIR")"
		fi
		# nor does anything come back after a reboot
		[ $status -ne 0 ] || is "saved, $name $n: $(cat err)" \
			"$(find "$MASQBPF_STATE_DIR" -type f)" ""
		masq detach -q --all 2>/dev/null || true
		[ ! -e "$MASQBPF_PIN_DIR" ] ||
			fail "$name $n: left: $(ls "$MASQBPF_PIN_DIR")"
		is "programs left, $name $n" "$(lab_in node "$PYTHON" \
			"$LAB_LIB/foreign.py" tcx-list eth0 egress |
			grep -c masq_ || true)" 0
	done <met
	[ $met -gt 0 ] || fail "nothing was met"
	note "seed $SEED, $met of $(grep -c '(' calls.log) calls"
}

# nth CALL N PATTERN COMMAND...: the number of its Nth such call that matches
nth() {
	lab_in node strace -qq -o calls.log -e trace="$1" -e signal=none \
		"$MASQBPF" "${@:4}" >/dev/null 2>&1
	grep -n -- "$3" calls.log | sed -n "$2s/:.*//p"
}

refused_at() { # CALL ERROR NUMBER COMMAND...
	! lab_in node strace -qq -o /dev/null -e trace="$1" \
		-e "inject=$1:error=$2:when=$3" "$MASQBPF" "${@:4}" 2>err ||
		fail "$1 $3: exit code 0: $(cat err)"
}

# half_over CALL: another size is killed at this call of bpf(), between the
# first hook that is switched and the second
half_over() {
	sed -i s/2000/1000/ "$CONFIG"
	masq attach -q eth0 --config "$CONFIG"
	sed -i s/1000/2000/ "$CONFIG"
	lab_in node strace -qq -o /dev/null -e trace=bpf \
		-e "inject=bpf:signal=KILL:when=$1" \
		"$MASQBPF" attach -q eth0 --config "$CONFIG" 2>err || true
	[ -e "$MASQBPF_PIN_DIR/next/masq_meta" ] ||
		fail "not killed in the middle: $(cat err)"
}

# Such a one is not taken for none, whatever says ENOENT: what hooks use already
# would go, and the others never be switched.
half_is_not_none() {
	local call error n killed
	# by filters it is netlink that switches: net/test_upgrade kills there
	[ "$(lab_hook)" = tcx ] || skip "this kernel has no TCX"
	printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8]' 'maxFlows: 1000' \
		>"$CONFIG"
	masq attach -q eth0 --config "$CONFIG"
	sed -i s/1000/2000/ "$CONFIG"
	killed=$(nth bpf 1 BPF_LINK_UPDATE attach -q eth0 --config "$CONFIG")
	masq detach -q --all
	half_over $((killed + 1))
	nth newfstatat 1 . cidr add --yes 192.0.2.0/24 >/dev/null
	# whoever comes first, and who goes on with it
	for n in 1 3; do
		grep -n '"masq_meta"' calls.log |
			sed -n "${n}s/:.*/ newfstatat E/p"
	done >met
	echo "1 openat ENOENT" >>met
	sed -i '1s/E$/ENOENT/; 2s/E$/EACCES/' met
	is "calls" "$(wc -l <met)" 3
	while read -r n call error; do
		masq detach -q --all
		half_over $((killed + 1))
		[ "$call" != openat ] ||
			n=$(nth openat 1 '"next"' cidr list)
		lab_in node strace -qq -o /dev/null -e trace="$call" \
			-e "inject=$call:error=$error:when=$n" \
			"$MASQBPF" cidr add -q --yes 192.0.2.0/24 2>err || true
		[ -e "$MASQBPF_PIN_DIR/next/masq_meta" ] ||
			[ "$(get .flows_max)" = 2000 ] ||
			fail "$call $error $n: forgotten: $(cat err)"
		masq attach -q eth0 --config "$CONFIG"
		is "room" "$(get .flows_max)" 2000
		is problems "$(get .problems)" "[]"
		is source "$(source_now)" $NODE_ADDR
	done <met
}

# What cannot be listed is not empty, and what cannot be opened is not absent.
cannot_look() {
	local n says_elsewhere
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	refused_at openat EMFILE "$(nth openat 1 '"next"' reload -q)" reload -q
	is "first look" "$(cat err)" \
		"masqbpf: $MASQBPF_PIN_DIR: cannot look at next: Too many open files"
	refused_at openat EMFILE "$(nth openat 2 '"next"' reload -q)" reload -q
	is "second look" "$(cat err)" "masqbpf: $MASQBPF_PIN_DIR: cannot remove what a killed attach has begun: Too many open files"
	! lab_in node strace -qq -o /dev/null -P "$MASQBPF_PIN_DIR" \
		-e inject=getdents64:error=EIO "$MASQBPF" detach -q --all \
		2>err || fail "detach: pins: exit code 0"
	grep -q "$MASQBPF_PIN_DIR: .*Input/output error" err || fail "$(cat err)"
	masq attach -q eth0 --config "$CONFIG"
	! lab_in node strace -qq -o /dev/null -P "$MASQBPF_STATE_DIR" \
		-e inject=openat:error=EIO "$MASQBPF" detach -q --all 2>err ||
		fail "detach: saved: exit code 0"
	grep -q "^masqbpf: .*: cannot be removed: Input/output error: the next attach" \
		err || fail "$(cat err)"
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "pins are left"
	! masq detach -q --all 2>err || fail "not attached is exit code 1"
	is saved "$(find "$MASQBPF_STATE_DIR" -type f)" ""
	# a new instance, of which it is not known then whose it is
	n=$(nth newfstatat 3 self/ns/net attach -q eth0 --config "$CONFIG")
	masq detach -q --all
	refused_at newfstatat ELOOP "$n" attach -q eth0 --config "$CONFIG"
	says_elsewhere=$(cat err)
	[[ $says_elsewhere = *"belongs to another network namespace"* ]] ||
		fail "another call: $says_elsewhere"
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "pins of an attach that failed"
}

# The agent takes over what is pinned, or waits until it knows.
agent_finds_out() {
	local n
	put_config 10.0.0.0/8 172.30.0.0/16
	masq attach -q eth0 --config "$CONFIG"
	rm "$CONFIG"
	# the first one puts other programs in, with the fast path
	agent --
	await 20 ready
	end_agent
	# its first look at the policy is behind what it notes as not due
	agent strace -qq -o calls.log -e trace=bpf --
	await 20 ready
	end_agent
	n=$(awk '!/UPDATE_ELEM/ { due = 0; next }
		$2 != map { due = 0; map = $2 }
		++due == 5 { print NR + 2; exit }' calls.log)
	# every look at the half in force is refused, for a while
	agent strace -f -qq -o /dev/null -e trace=bpf \
		-e "inject=bpf:error=ENOMEM:when=$n..$((n + 5))" --
	await 60 ready
	log_says 'policy: read: Cannot allocate' || fail "$(cat "$LOG")"
	end_agent
	keeps 172.30.0.0/16 || fail "$(masq cidr list; cat "$LOG")"
	is generation "$(get .generation)" 1
}

# What runs is looked after, whether or not the kernel has room for another: the
# agent begins all the same, says what is due, and tries it again.
no_room() {
	local n
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	# it puts other programs in, with the fast path
	agent strace -qq -o calls.log -e trace=bpf --
	await 20 ready
	end_agent
	n=$(awk '/PROG_LOAD.*"masq_egress"/ { n = NR } END { print n }' calls.log)
	masq detach -q --all
	masq attach -q eth0 --config "$CONFIG"
	agent strace -qq -o /dev/null -e trace=bpf \
		-e "inject=bpf:error=ENOMEM:when=$n..$((n + 3))" --
	await 20 ready
	await 5 status_says 'due since .*sizes and programs are not as wanted'
	log_says 'stay as they are: tried again' || fail "$(cat "$LOG")"
	is source "$(source_now)" $NODE_ADDR
	await 60 metric_is 'agent_due{reason="config"}' 0
	await 10 log_says 'fast path: on'
	is problems "$(get .problems)" "[]"
	end_agent
}

# A newer version, of another layout, takes over beside an agent of this one: that
# writes nothing to maps that nobody looks at, and says so, once.
newer_beside() {
	local other=$LAB_DIR/bpf/other value
	put_config 10.0.0.0/8
	agent --
	await 20 ready
	lab_in node ip link add d0 type veth peer name d1
	lab_in node ip link set d0 up
	masq --pin-dir "$other" attach -q d0 --config "$CONFIG"
	value=$(bpftool -j map lookup pinned "$other/masq_meta" key 0 0 0 0 |
		jq -r '.value | .[4] = "0xfa" | join(" ")')
	# shellcheck disable=SC2086 # a word each
	bpftool map update pinned "$other/masq_meta" key 0 0 0 0 value $value
	"$PYTHON" -c 'import os, sys; os.rename(*sys.argv[1:])' \
		"$other/masq_meta" "$MASQBPF_PIN_DIR/masq_meta"
	put_config 10.0.0.0/8 172.30.0.0/16
	await 20 health_says 'not in force yet: another version of masqbpf has'
	await 20 health_says 'not looked after: another version of masqbpf has'
	is source "$(source_now)" $NODE_ADDR
	is "said" "$(grep -c 'with layout 250' "$LOG")" 1
	end_agent
	masq detach -q --all
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "$(ls "$MASQBPF_PIN_DIR")"
	lab_in node ip link del d0
}

# --- locks --------------------------------------------------------------------

# `masqbpf flows | less`, left open
pager() {
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	traffic pod1 many $FAR_ADDR $PORT --netns "$LAB_ID-pod1" \
		--sports 42000-42999 >/dev/null
	mkfifo pipe
	masq flows >pipe &
	exec {screen}<pipe
	head -c 1 <&"$screen" >/dev/null # it is at it, and the pipe is full
	lab_wait 5 masq cidr add 192.0.2.0/24
	masq reload -q --config "$CONFIG" --yes
	exec {screen}<&-
	rm pipe
}

# Whoever gives a policy by hand may think about it: nobody waits for him.
# unread FILE COMMAND...: its stderr is a full pipe of one page, which is read
# into FILE once FILE.go is there; ends with the command
cat >unread.py <<'PY'
import fcntl, os, subprocess, sys, time
name, command = sys.argv[1], sys.argv[2:]
r, w = os.pipe()
fcntl.fcntl(w, 1031, 4096)  # F_SETPIPE_SZ
os.write(w, b"." * 4095 + b"\n")
child = subprocess.Popen(command, stderr=w)
os.close(w)
open(name + ".pid", "w").write(str(child.pid))
while not os.path.exists(name + ".go") and child.poll() is None:
    time.sleep(0.05)
if os.path.exists(name + ".go"):
    with open(name, "wb") as out:
        while data := os.read(r, 65536):
            out.write(data)
            out.flush()
sys.exit(child.wait())
PY

# What a change prints is not read, nor what an agent does: the lock is let go
# of, the agent works, answers and ends, and the words come when they are read.
unread_words() {
	local i
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	rm -f words*
	lab_spawn node "$PYTHON" unread.py words "$MASQBPF" \
		cidr add 192.0.2.0/24
	i=$LAB_PID
	lab_wait 10 keeps 192.0.2.0/24
	lab_in node timeout 10 "$MASQBPF" cidr add -q 198.51.100.0/24 ||
		fail "held"
	touch words.go
	lab_wait 10 gone "$i"
	grep -q 'generation 2: +1' words || fail "$(cat words)"
	masq detach -q --all
	rm -f words*
	lab_spawn node "$PYTHON" unread.py words "$MASQBPF" agent \
		--config "$CONFIG" eth0
	lab_wait 20 ready
	for i in {1..9}; do
		put_config 10.0.0.0/8 "203.0.113.$i/32"
		lab_wait 10 keeps "203.0.113.$i/32"
	done
	lab_in node timeout 10 "$MASQBPF" cidr add -q 198.51.100.0/24 ||
		fail "the agent holds the lock"
	ready || fail "it does not answer"
	touch words.go
	lab_wait 10 grep -q '+203.0.113.9/32' words
	grep -q 'listening' words || fail "$(cat words)"
	kill "$(cat words.pid)"
	lab_wait 10 gone "$LAB_PID"
}

slow_input() {
	local typed reader
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	mkfifo pipe
	lab_in node "$MASQBPF" reload -q --yes --config - <pipe &
	reader=$!
	exec {typed}>pipe
	sleep 1
	! is_locked || fail "locked by who reads"
	timeout 5 nsenter --net="$(lab_netns node)" "$MASQBPF" cidr add -q \
		--yes 192.0.2.0/24
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8, 198.51.100.0/24]' >&"$typed"
	exec {typed}>&-
	wait "$reader"
	keeps 198.51.100.0/24 || fail "$(masq cidr list)"
	! keeps 192.0.2.0/24 || fail "$(masq cidr list)"
	rm pipe
}

# Readers whose locks overlap at any moment.
readers() {
	rm -f stop
	put_config 10.0.0.0/8
	agent --
	await 20 ready
	for _ in {1..4}; do
		(while [ ! -e stop ]; do masq counters >/dev/null; done) &
	done
	masq cidr add 192.0.2.0/24
	put_config 10.0.0.0/8 198.51.100.0/24
	await 20 keeps 198.51.100.0/24
	touch stop
	wait
	end_agent
}

# Those who wait are served in the order in which they came.
writers() {
	local i waiting=()
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	locked 3
	for i in {1..4}; do
		masq cidr add "198.51.100.$i/32" &
		waiting+=($!)
		lab_wait 5 queued "$i"
	done
	for i in "${waiting[@]}"; do
		wait "$i"
	done
	is order "$(masq history --json | jq -r '.[].command' |
		grep -o '100\.[0-9]' | paste -sd' ')" "100.4 100.3 100.2 100.1"
}

queued() { # COUNT: so many wait for the lock
	[ "$(grep -c -- "-> FLOCK.*:$(stat -c %i "$MASQBPF_PIN_DIR") " \
		/proc/locks)" -eq "$1" ]
}

# It says who has it, and gives up in time.
busy() {
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	locked 60
	# a reader does without
	is health "$(get .health)" '"ok"'
	# Ctrl-C ends a wait
	if timeout -s INT 1 nsenter --net="$(lab_netns node)" \
		"$MASQBPF" cidr add 192.0.2.0/24; then
		fail "not interrupted"
	fi
	if masq cidr add 192.0.2.0/24 2>err; then
		fail "changed under a lock"
	fi
	grep -qE 'locked by process [0-9]+ \(sleep\) for 20 s|locked by process [0-9]+ \(flock\) for 20 s|locked by a process that is not seen' err || fail "$(cat err)"
	kill_holder
	masq cidr add 192.0.2.0/24
}

kill_holder() {
	end_all TERM holder.pid
}

# A change of the file while somebody has the lock: due, said, and then done.
change_under_lock() {
	put_config 10.0.0.0/8
	agent --
	await 20 ready
	locked 60
	put_config 10.0.0.0/8 198.51.100.0/24
	await 20 health_says 'due: .*config.yaml: not in force yet: locked by'
	await 5 status_says 'due since .*config.yaml: not in force yet'
	is metric "$(masq metrics | grep 'agent_due{reason="config"}')" \
		'masqbpf_agent_due{reason="config"} 1'
	if keeps 198.51.100.0/24; then
		fail "changed under a lock"
	fi
	kill_holder
	await 20 keeps 198.51.100.0/24
	await 5 metric_is 'agent_due{reason="config"}' 0
	await 15 metric_is 'agent_due{reason="interfaces"}' 0
	is health "$(get .health)" '"ok"'
	end_agent
}

metric_is() {
	masq metrics | grep -qx "masqbpf_$1 $2"
}

# Somebody takes the lock as soon as the agent has let go of it, which is
# before its first policy.
lock_before_policy() {
	put_config 10.0.0.0/8
	# behind the agent's own, which it has when it has made the pins
	(until [ -e "$MASQBPF_PIN_DIR/masq_meta" ] &&
		flock "$MASQBPF_PIN_DIR" sleep 60 2>/dev/null; do
		sleep 0.02
	done) &
	lab_process $! >holder.pid
	# it has let go of it when it starts its helper
	agent strace -f -qq -o /dev/null -e trace=clone,clone3,fork \
		-e inject=clone,clone3,fork:delay_exit=1000000 --
	await 20 health_says 'due: .*: not in force yet: locked by'
	await 5 status_says 'due since'
	if ready; then
		fail "ready without a policy"
	fi
	kill_holder
	await 30 ready
	is source "$(source_now)" $NODE_ADDR
	end_agent
}

# An uplink that comes back while somebody has the lock.
uplink_under_lock() {
	put_config 10.0.0.0/8
	agent --
	await 20 ready
	locked 60
	lab_in node ip link set eth0 down
	lab_in node ip link set eth0 name old0
	lab_in node ip link set old0 name eth0
	lab_in node tc qdisc del dev eth0 clsact 2>/dev/null || true
	rm -f "$MASQBPF_PIN_DIR"/tcx_egress_*
	lab_in node ip link set eth0 up
	lab_in node ip route replace default via $FAR_GATEWAY
	await 20 health_says 'due: interfaces and addresses are not looked after'
	await 5 status_says 'due since'
	kill_holder
	await 20 log_says 'attached again'
	is source "$(source_now)" $NODE_ADDR
	end_agent
}

# --- taking over --------------------------------------------------------------

# entries ADDR: so many flows from outside to a pod of this address
entries() {
	lab_in node ip route replace "$1/32" dev pod1
	lab_in node "$PYTHON" "$LAB_LIB/conntrack.py" $ENTRIES "$1" >/dev/null
}

all_taken() { # ADDR
	[ "$(masq flows --pod "$1" --json | jq length)" -eq $ENTRIES ]
}

# live: connections that nobody translates, to where the policy masquerades
live() {
	rm -f live.*
	steady live pod1 --count $LIVE --pace 0.05
	lab_wait 20 reached live $((2 * LIVE))
}

lives() {
	lab_wait 20 reached live $(($(progress live) + 2 * LIVE)) ||
		fail "$(cat live.result)"
	touch live.stop
	lab_wait 20 lab_gone "$(cat live.pid)"
	grep -qE 'failed=0|^ok|sources=' live.result || fail "$(cat live.result)"
	is sources "$(word sources "$(tail -1 live.result)")" $POD
	note "$(tail -1 live.result)"
}

# killed_at PERMILLE: an attach that ends after this part of its calls
killed_at() {
	local calls
	masq detach -q --all 2>/dev/null || true
	lab_in node strace -f -qq -o calls.log -e signal=none -e trace=bpf \
		"$MASQBPF" attach -q eth0 --config "$CONFIG"
	masq detach -q --all
	# from the first hook on, its requests to the programs are the seeding
	calls=$(awk '{ sub(/^[0-9]+ +/, "") } /^bpf\(/ { n++ }
		/BPF_PROG_QUERY/ { begun = 1 }
		begun && /BPF_PROG_TEST_RUN/ { print n }' calls.log)
	sed -n "$(($(wc -l <<<"$calls") * $1 / 1000 + 1))p" <<<"$calls"
}

attach_is_killed() {
	local n permille
	put_config 10.0.0.0/8
	for permille in 100 500 950; do
		live
		n=$(killed_at $permille)
		if lab_in node strace -f -o /dev/null -e trace=bpf \
			-e "inject=bpf:signal=KILL:when=$n" \
			"$MASQBPF" attach -q eth0 --config "$CONFIG"; then
			fail "not killed at $n"
		fi
		status_says 'egress hook is missing|not taken over|no policy' ||
			fail "$(masq status)"
		masq attach eth0 --config "$CONFIG"
		lives
		is health "$(get .health)" '"ok"'
		is "new connections" "$(source_now)" $NODE_ADDR
		clean
	done
}

# The dump of conntrack is refused: hooks are there, the next one makes it whole.
seeding_is_refused() {
	put_config 10.0.0.0/8
	entries 10.44.15.1
	lab_in node strace -f -o /dev/null -e trace=sendto,recvmsg \
		-e inject=sendto:error=ENOBUFS:when=60 \
		"$MASQBPF" attach -q eth0 --config "$CONFIG" || true
	status_says 'live flows of before are not taken over' ||
		fail "$(masq status)"
	is source "$(source_now)" $NODE_ADDR
	masq attach eth0
	is health "$(get .health)" '"ok"'
	all_taken 10.44.15.1 || fail "$(masq flows | wc -l) flows"
}

# The agent's first attach is refused: another instance has the interface.
agent_is_refused() {
	local other=$LAB_DIR/bpf/other
	put_config 0.0.0.0/0
	live
	masq --pin-dir "$other" attach -q eth0 --config "$CONFIG"
	put_config 10.0.0.0/8
	agent --
	await 20 health_says 'due: eth0: cannot be attached'
	await 5 status_says 'due since .*eth0: cannot be attached'
	masq --pin-dir "$other" detach -q --all
	await 60 ready
	lives
	is "new connections" "$(source_now)" $NODE_ADDR
	is health "$(get .health)" '"ok"'
	end_agent
}

# slow_agent: every question that the helper asks of the routes takes 0.15 s
slow_agent() { # ADDR
	entries "$1"
	agent strace -f -qq -o /dev/null -e trace=sendto \
		-e inject=sendto:delay_exit=150000 --
	await 60 health_says 'is being attached'
}

# It takes as long as it takes, is seen to go on, and keeps nobody waiting.
takes_long() {
	put_config 10.0.0.0/8
	slow_agent 10.44.15.2
	is healthz "$(lab_in node curl -s --max-time 5 $URL/healthz)" ok
	await 5 status_says 'hook is missing: process .* is at it|not taken over: process .* is at it'
	await 60 log_says "taking over: [0-9]+ of [0-9]+ entries seen"
	await 120 ready
	all_taken 10.44.15.2 || fail "$(masq flows | wc -l) flows"
	is source "$(source_now)" $NODE_ADDR
	end_agent
}

# Ended in the midst of it: at once, and the next one makes it whole.
ended_early() { # SIGNAL ADDR
	put_config 10.0.0.0/8
	slow_agent "$2"
	end_agent "$1"
	if all_taken "$2"; then
		fail "it was not in the midst of it"
	fi
	agent --
	await 60 ready
	all_taken "$2" || fail "$(masq flows | wc -l) flows"
	is health "$(get .health)" '"ok"'
	end_agent
}

# --- what it can do without ---------------------------------------------------

# as_nobody COMMAND...: of the node's network, with no right at all
as_nobody() {
	lab_spawn node setpriv --reuid 65534 --regid 65534 --clear-groups \
		--inh-caps=-all --bounding-set=-all "$@"
}

port_is_taken() {
	local thief
	put_config 10.0.0.0/8
	as_nobody "$PYTHON" -c '
import socket, time
s = socket.socket()
s.bind(("127.0.0.1", 9842))
s.listen(1)
time.sleep(600)'
	thief=$LAB_PID
	lab_wait 10 lab_in node bash -c ': </dev/tcp/127.0.0.1/9842'
	agent --
	await 20 log_says 'eth0: attached'
	is source "$(source_now)" $NODE_ADDR
	await 5 status_says 'due since .*127.0.0.1:9842: cannot listen'
	metric_is 'agent_due{reason="listen"}' 1 || fail "$(masq metrics)"
	is "said" "$(grep -c 'cannot listen' "$LOG")" 1
	kill "$thief"
	await 20 ready
	metric_is 'agent_due{reason="listen"}' 0 || fail "$(masq metrics)"
	end_agent
}

# An address that is not there yet, as on a node that boots.
address_comes() {
	put_config 10.0.0.0/8
	agent -- --listen 192.0.2.7:9842
	await 20 log_says 'eth0: attached'
	await 5 status_says '192.0.2.7:9842: cannot listen'
	lab_in node ip addr add 192.0.2.7/32 dev lo
	await 20 lab_in node curl -sf http://192.0.2.7:9842/readyz
	end_agent
}

# no_inotify CALL ERROR: the kernel has none left; and the file is followed
no_inotify() {
	put_config 10.0.0.0/8
	agent strace -f -qq -o /dev/null -e trace="$1" \
		-e "inject=$1:error=$2:when=1..$3" --
	await 20 ready
	is source "$(source_now)" $NODE_ADDR
	await 5 status_says 'due since .*changes are not told \(inotify'
	put_config 10.0.0.0/8 198.51.100.0/24
	await 20 keeps 198.51.100.0/24
	# it has some again
	await 60 metric_is 'agent_due{reason="follow"}' 0
	log_says 'changes are told again' || fail "$(cat "$LOG")"
	put_config 10.0.0.0/8 203.0.113.0/24
	await 10 keeps 203.0.113.0/24
	end_agent
}

# Each look at what has changed there is written down there: no end of news.
endless_news() {
	put_config 10.0.0.0/8
	agent strace -qq -o "$LAB_DIR/news" -e trace=read --
	await 20 ready
	is source "$(source_now)" $NODE_ADDR
	put_config 10.0.0.0/8 198.51.100.0/24
	await 20 keeps 198.51.100.0/24
	end_agent
	[ "$(wc -l <"$LAB_DIR/news")" -gt 100 ] || fail "no news"
	rm "$LAB_DIR/news"
}

no_netlink() {
	put_config 10.0.0.0/8
	# the agent's own socket, not those that it and its helper read with
	agent strace -f -qq -o /dev/null -e trace=bind \
		-e inject=bind:error=ENOMEM:when=5..9 --
	await 60 log_says 'eth0: attached'
	await 60 ready
	is source "$(source_now)" $NODE_ADDR
	end_agent
}

# Names and files that anybody can take are nobody's locks.
impostor() {
	local thief
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	as_nobody "$PYTHON" -c '
import fcntl, os, socket, sys, time
stat = os.stat(sys.argv[1])
held = []
for name in ("masqbpf-migrate", "masqbpf-agent",
             f"masqbpf-agent/{stat.st_dev:x}/{stat.st_ino:x}"):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind("\0" + name)
    s.listen(1)
    held.append(s)
for path in (sys.argv[1], sys.argv[1] + "/agent", "/run/masqbpf-migrate-" +
             str(os.stat("/proc/self/ns/net").st_ino)):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CREAT)
        fcntl.flock(fd, fcntl.LOCK_EX)
        print("has", path, flush=True)
    except OSError:
        pass
print("tried", flush=True)
time.sleep(600)' "$MASQBPF_PIN_DIR" >thief.log 2>&1
	thief=$LAB_PID
	lab_wait 10 grep -q tried thief.log || fail "$(cat thief.log)"
	is "what it has" "$(cat thief.log)" tried
	# status is not fooled: there is no agent that would take it
	put_config 10.0.0.0/8 198.51.100.0/24
	status_says 'has changed and is not in force' || fail "$(masq status)"
	agent --
	await 20 keeps 198.51.100.0/24
	is health "$(get .health)" '"ok"'
	end_agent
	if masq migrate --dry-run eth0 2>err; then
		fail "migrated"
	fi
	grep -q 'at work here' err && fail "$(cat err)"
	kill "$thief"
}

# tidy_row NAME COMMAND...: and nothing of it is left, however it ended
tidy_row() {
	row "$@"
	touch stop live.stop
	for file in agent.pid holder.pid; do
		[ -e $file ] || continue
		end_all KILL $file || true
	done
	umount "$LAB_DIR/root/proc" "$LAB_DIR/root$LAB_DIR/bpf" 2>/dev/null || true
	masq --pin-dir "$LAB_DIR/bpf/other" detach -q --all 2>/dev/null || true
	masq detach -q --all 2>/dev/null || true
	lab_in node ip addr del 192.0.2.7/32 dev lo 2>/dev/null || true
}

tidy_row "attach without sysfs leaves the instance alone" no_sysfs
tidy_row "attach: what says ENOENT is not the instance's absence" nothing_is_absent
tidy_row "detach: what says ENOENT is not gone" detach_finds_out
tidy_row "what cannot be looked at is said, and the next command heals" cannot_look
tidy_row "a take-over that was killed is not taken for none" half_is_not_none
tidy_row "agent: a policy that cannot be read is not replaced" agent_finds_out
tidy_row "a reader that stays stops nobody" pager
tidy_row "who types a policy stops nobody" slow_input
tidy_row "words that nobody reads stop nobody" unread_words
tidy_row "readers in a loop starve no writer" readers
tidy_row "writers are served in turn" writers
tidy_row "a lock that stays is named, and a wait may be ended" busy
tidy_row "a config that changes under a lock is due, said and taken" change_under_lock
tidy_row "a lock between set-up and first policy" lock_before_policy
tidy_row "hooks that go under a lock come back" uplink_under_lock
tidy_row "attach is killed while it takes over: the next is whole" attach_is_killed
tidy_row "taking over is refused: the next attach is whole" seeding_is_refused
tidy_row "agent: its first attach is refused, the next is whole" agent_is_refused
tidy_row "agent: programs that are refused do not end it" no_room
tidy_row "agent: a newer layout beside it is left alone" newer_beside
tidy_row "taking over has all the time it needs" takes_long
tidy_row "SIGTERM while it takes over: the next agent is whole" ended_early TERM 10.44.15.3
tidy_row "SIGKILL while it takes over: the next agent is whole" ended_early KILL 10.44.15.4
tidy_row "the metrics port is somebody else's" port_is_taken
tidy_row "the metrics address comes later" address_comes
tidy_row "inotify instances are used up" no_inotify inotify_init1 EMFILE 5
tidy_row "inotify watches are used up" no_inotify inotify_add_watch ENOSPC 8
tidy_row "the config's directory is written to without end" endless_news
tidy_row "netlink is refused for a while" no_netlink
tidy_row "an unprivileged process has the names that locks had" impostor
tap_done
