#!/usr/bin/env bash
# Every system call of a command killed, and refused with each errno that its
# man page names (tests/lib/calls.py): attach, reload, detach, migrate, the
# agent's set-up, its helper at work. After each: nothing leaks, the policy in
# force is the old or the new one and status knows which, a command that failed
# said why, and the next command makes all of it whole.
#
# CALL_POINTS (1), drawn with CALL_SEED (TEST_SEED, or another one each time);
# 0: all of them, for CALL_SECONDS a row at most if that is given, CALL_SHARD
# I/N: every Nth. ERRORS=1: one errno of each call. CALL_ROWS: rows whose name
# matches.
# CALL_SITES=FILE: by kind. Not every occurrence, but every kind of call once
# (calls.py tells what that is) killed, and refused with all its errnos. FILE
# notes what was done, for rows and shards to come, and for the next run of the
# same build; what is left is done for CALL_SECONDS a row, too.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PORT=443
POD=10.44.14.15
URL=http://127.0.0.1:9842
# masqueraded by every policy here
EVER=198.51.100.9
SITES=${CALL_SITES:+$(realpath "$CALL_SITES")}
POINTS=${CALL_POINTS:-${SITES:+0}}
POINTS=${POINTS:-1}
SEED=${CALL_SEED:-${TEST_SEED:-$RANDOM}}

lab_agent $POD
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_in far ip addr add $EVER/32 dev lo
# migrate waits for what netfilter translates to end
lab_in node sysctl -qw net.netfilter.nf_conntrack_udp_timeout=2 \
	net.netfilter.nf_conntrack_udp_timeout_stream=2 \
	net.netfilter.nf_conntrack_tcp_timeout_time_wait=2
cd "$LAB_DIR"
LOG=$LAB_DIR/log
mkdir conf # strace's logs are not in a directory that is followed
echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >conf/masquerade.yaml
echo 'nonMasqueradeCIDRs: [10.0.0.0/8, 172.30.0.0/16]' >conf/keep.yaml

# --- what is looked at --------------------------------------------------------

lab_in far nft -f - <<-EOF2
	table ip leaks {
		counter leaked { }
		chain in {
			type filter hook prerouting priority raw
			ip saddr $POD_NET ip daddr $EVER counter name leaked
		}
	}
EOF2
# A datagram of a new flow every 20 ms, whose source is to be the node's.
lab_spawn pod1 "$PYTHON" -c "
import socket, time
while True:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b'x', ('$EVER', 4711))
    time.sleep(0.02)"

leaked() {
	lab_in far nft -j list counter ip leaks leaked |
		jq '.nftables[].counter.packets // empty'
}

leaks_reset() {
	lab_in far nft reset counter ip leaks leaked >/dev/null
}

# what status says is asked for once, and looked at more than once
look() {
	masq status --json >status.json || true
}

get() {
	jq -c "$1" status.json
}

source_now() {
	local line
	line=$(traffic pod1 who $FAR_ADDR $PORT) || fail "$WHERE: $line"
	word source "$line"
}

# policy WHICH...: it is one of these, by status and on the wire
policy() {
	look
	policy_seen "$@"
}

policy_seen() {
	local config which
	config=$(get .config)
	for which; do
		[[ $config = */$which.yaml\" ]] || continue
		case $which in
		masquerade) is "$WHERE: source" "$(source_now)" $NODE_ADDR ;;
		keep) is "$WHERE: source" "$(source_now)" $POD ;;
		esac
		return
	done
	fail "$WHERE: config $config: $(cat err)"
}

# but for flows of netfilter's that a migration is not to wait for
problems() {
	get '[.problems[] | select(test(
		"a migration from ip-masq-agent is not finished") | not)]'
}

whole() { # POLICY
	look
	is "$WHERE, healed: problems" "$(problems)" "[]"
	is "$WHERE, healed: programs" "$(lab_ours eth0)" 2
	policy_seen "$1"
}

nothing_left() {
	is "$WHERE: programs" "$(lab_programs eth0 | grep -c masq_ || true)" 0
	[ ! -e "$MASQBPF_PIN_DIR" ] ||
		fail "$WHERE: pins are left: $(ls "$MASQBPF_PIN_DIR"): $(cat err)"
	is "$WHERE: saved" "$(find "$MASQBPF_STATE_DIR" -type f)" ""
}

no_leak() {
	is "$WHERE: pod's address seen at $EVER" "$(leaked)" 0
}

# --- commands -----------------------------------------------------------------

attached() {
	masq attach -q eth0 --config conf/masquerade.yaml 2>/dev/null
}

detached() {
	masq detach -q --all 2>/dev/null || true
}

chained() {
	local ipt="lab_in node iptables-nft -w -t nat"
	lab_in node nft delete table inet masqbpf_migrate 2>/dev/null || true
	lab_in node iptables-nft -t nat -S IP-MASQ-AGENT >/dev/null 2>&1 || {
		$ipt -N IP-MASQ-AGENT
		$ipt -A IP-MASQ-AGENT -d 10.0.0.0/8 -j RETURN
		$ipt -A IP-MASQ-AGENT -j MASQUERADE
	}
	[ "$(jumps)" -gt 0 ] || $ipt -A POSTROUTING -m addrtype \
		! --dst-type LOCAL -j IP-MASQ-AGENT
}

jumps() {
	lab_in node iptables-nft -t nat -S POSTROUTING | grep -c IP-MASQ || true
}

prepare() {
	case $1 in
	attach) detached ;;
	migrate)
		chained # before masqbpf goes
		detached
		# what conntrack has seen of masqbpf's flows, netfilter does not
		# translate where a port comes again
		lab_in node "$PYTHON" "$LAB_LIB/conntrack.py" flush
		;;
	*) attached ;;
	esac
}

command_of() {
	case $1 in
	attach) echo attach -q eth0 --config conf/masquerade.yaml ;;
	reload) echo reload -q --config conf/keep.yaml ;;
	detach) echo detach -q --all ;;
	migrate) echo migrate eth0 --no-wait ;;
	esac
}

# recorded NAME TRACE...: TRACE is to write the calls of NAME to the file that it
# is given first, with what else it is given for strace. Twice where kinds are
# asked for: what has another number the second time is no steady one.
recorded() {
	local log
	LOGS=''
	for log in "$1.log" ${SITES:+"$1.log2"}; do
		LOGS+=${LOGS:+,}$log
		[ -s "$log" ] || "${@:2}" "$log" ${SITES:+-k}
	done
}

# draw COMMAND KILL|ERROR: from what was recorded
draw() {
	if [ "$SITES" ]; then
		: >>"$SITES"
		set -- sites "$LOGS" "$2" "$1" "$SEED" "${CALL_SHARD:-0/1}" "$SITES"
	else
		set -- "$LOGS" "$2" "$POINTS" "$SEED" "${CALL_SHARD:-0/1}"
	fi
	"$PYTHON" "$LAB_LIB/calls.py" "$@" >points 2>drawn || fail "$(cat drawn)"
	[ "$SITES" ] || [ -s points ] || fail "no points: $(cat drawn)"
}

# each_point COMMAND FUNCTION WORD...: FUNCTION WORD... CALL NUMBER WHAT for each
# that was drawn, until the row's time is over. One that fails ends no other.
each_point() {
	local call number what kind met=0 failed=0 status
	local until=$((EPOCHSECONDS + ${CALL_SECONDS:-86400}))
	: >ended
	while [ "$EPOCHSECONDS" -lt "$until" ] && read -r call number what kind; do
		WHERE="$1: $call $number $what${kind:+ $kind}"
		met=$((met + 1))
		# not in a condition: bash would ignore -e inside
		set +e
		(
			set -Eeuo pipefail
			"${@:2}" "$call" "$number" "$what"
		)
		status=$?
		set -e
		[ $status -eq 0 ] || {
			failed=$((failed + 1))
			echo "failed: $WHERE"
			! anew "$1" || continue
			fail "the lab is not to be made whole"
		}
		[ ! "$kind" ] || echo "$1 $what $kind" >>"$SITES"
	done <points
	note "seed $SEED, $met of $(wc -l <points) points," \
		"$(wc -l <ended) end it, $(cat drawn)"
	[ $failed -eq 0 ] || fail "$failed of $met points failed ($(cat drawn))"
}

ended() {
	echo "$WHERE" >>ended
}

# after a point that failed
anew() {
	case $1 in
	agent* | helper) no_agent KILL ;;
	esac
	detached
	[ ! -e "$MASQBPF_PIN_DIR" ] || rm -r "$MASQBPF_PIN_DIR"
	find "$MASQBPF_STATE_DIR" -type f -delete
	[ "$1" != helper ] || helper_begin
}

inject() { # CALL NUMBER WHAT: for strace
	local as=error=$3
	[ "$3" != KILL ] || as=signal=KILL
	echo "-e trace=$1 -e inject=$1:$as:when=$2"
}

# What is left after COMMAND ended with STATUS, before anything heals it.
as_it_was_or_is() { # COMMAND STATUS
	case $1/$2 in
	reload/0) policy keep ;;
	reload/137) policy masquerade keep ;;
	reload/*) policy masquerade ;;
	attach/0) policy masquerade ;;
	attach/137) ;;
	attach/*)
		# who has not got the lock may not remove the directory: it may
		# be another's by now
		rmdir "$MASQBPF_PIN_DIR" 2>/dev/null || true
		nothing_left
		;;
	detach/0)
		# one that is mounted by itself is busy, and stays
		[[ $WHERE != *": rmdir "*EBUSY* ]] ||
			rmdir "$MASQBPF_PIN_DIR"
		nothing_left
		;;
	detach/*) ;;
	migrate/0) is "$WHERE: jumps" "$(jumps)" 0 ;;
	migrate/137) ;;
	migrate/*)
		# beside the chain ours harms nothing; it is said. And all is
		# done but for telling of it.
		if grep -qE 'stays attached beside it|stdout: write failed' err; then
			return 0
		fi
		is "$WHERE: jumps ($(cat err))" "$(jumps)" 1
		nothing_left
		;;
	esac
}

# The same again makes the rest whole.
healed() { # COMMAND WORD...
	case $1 in
	reload)
		masq "${@:2}"
		whole keep
		;;
	attach)
		masq "${@:2}"
		whole masquerade
		;;
	detach)
		detached
		nothing_left
		;;
	migrate)
		if [ "$(jumps)" -gt 0 ]; then
			masq "${@:2}" >out 2>err ||
				fail "$WHERE, healed: $(cat err)"
		else
			# the error says what is left to do
			masq "${@:2}" >out 2>err ||
				masq migrate --finish >out 2>err ||
				fail "$WHERE, healed: $(cat err)"
		fi
		is "$WHERE, healed: jumps" "$(jumps)" 0
		look
		is "$WHERE, healed: problems" "$(problems)" "[]"
		is "$WHERE, healed: source" "$(source_now)" $NODE_ADDR
		;;
	esac
}

traced_command() { # WORD... LOG [-k]
	local args=("$@") options=(-qq -e signal=none)
	[ "${args[-1]}" != -k ] || {
		options+=(-k)
		unset 'args[-1]'
	}
	lab_in node strace "${options[@]}" -o "${args[-1]}" \
		"$MASQBPF" "${args[@]:0:${#args[@]}-1}" >/dev/null 2>&1
}

record_command() { # COMMAND WORD... LOG [-k]
	prepare "$1"
	traced_command "${@:2}"
}

each_call() { # COMMAND KILL|ERROR
	local words
	trap 'detached' EXIT
	read -ra words <<<"$(command_of "$1")"
	recorded "$1" record_command "$1" "${words[@]}"
	draw "$1" "$2"
	each_point "$1" call_of "$1"
	detached
	lab_in node nft flush ruleset
}

call_of() { # COMMAND CALL NUMBER WHAT
	local words status=0
	read -ra words <<<"$(command_of "$1")"
	prepare "$1"
	leaks_reset
	# shellcheck disable=SC2046 # words
	lab_in node strace -o /dev/null $(inject "${@:2}") \
		"$MASQBPF" "${words[@]}" >out 2>err || status=$?
	case $status in
	0) ;;
	1 | 2) grep -q '^masqbpf: ' err || fail "$WHERE: no word: $(cat err)" ;;
	127) return ;; # the loader's
	137) [ "$4" = KILL ] || fail "$WHERE: killed: $(cat err)" ;;
	*) fail "$WHERE: exit code $status: $(cat err)" ;;
	esac
	[ $status -eq 0 ] || ended
	as_it_was_or_is "$1" $status
	healed "$1" "${words[@]}"
	case $1 in reload | migrate) no_leak ;; esac
}

# --- the agent ----------------------------------------------------------------

agent() { # [WRAPPER...]
	: >"$LOG"
	lab_spawn node "$@" "$MASQBPF" agent --config conf/keep.yaml eth0 2>>"$LOG"
	AGENT=$(lab_process "$LAB_PID")
	echo "$AGENT" >agent
}

ready() {
	lab_in node curl -sf --max-time 5 $URL/readyz >/dev/null
}

# points are subshells: the last one's agent
agent_of_now() {
	AGENT=$(cat agent)
}

no_agent() {
	agent_of_now
	lab_kill "${1:-TERM}" "$AGENT"
	lab_wait 20 lab_gone "$AGENT"
	# the helper has gone with it, or will
	lab_wait 20 free_port
}

free_port() {
	[ -z "$(lab_in node ss -Hltn sport = :9842)" ]
}

settled() {
	lab_gone "$AGENT" || ready
}

healthy() {
	ready && look && [ "$(problems)" = "[]" ]
}

# It may end a moment after it was seen at work: then, once, the next one has to.
healthy_or_anew() {
	if [ ! "$ANEW" ] && lab_gone "$AGENT"; then
		ANEW=1
		ended
		no_agent
		agent
	fi
	healthy
}

agent_made_whole() {
	ANEW=''
	lab_wait 60 healthy_or_anew || fail "$WHERE: $(cat "$LOG"; masq status)"
	whole keep
}

begin() { # over|anew
	case $1 in
	over) attached ;;
	anew) detached ;;
	esac
}

record_agent() { # over|anew LOG [-k]
	begin "$1"
	agent strace -D -qq -o "$2" -e signal=none "${@:3}"
	lab_wait 60 ready || fail "$(cat "$LOG")"
	no_agent
}

# Over an instance with another policy, or from nothing.
agent_sets_up() { # KILL|ERROR over|anew
	trap 'agent_of_now; lab_kill KILL "$AGENT"; detached' EXIT
	recorded "agent-$2" record_agent "$2"
	draw "agent-$2" "$1"
	each_point "agent-$2" agent_meets "$2"
}

agent_meets() { # over|anew CALL NUMBER WHAT
	begin "$1"
	leaks_reset
	# shellcheck disable=SC2046 # words
	agent strace -D -qq -o /dev/null $(inject "${@:2}")
	lab_wait 60 settled || fail "$WHERE: $(cat "$LOG"; masq status)"
	if lab_gone "$AGENT"; then
		# the C library's modules for names have words of their own
		[ "$4" = KILL ] ||
			grep -qE '^masqbpf: |^Assertion ' "$LOG" ||
			fail "$WHERE: it ended without a word: $(cat "$LOG")"
		[ "$1" != over ] || policy masquerade keep
	fi
	agent_made_whole
	[ "$1" != over ] || no_leak
	no_agent
}

traced() {
	grep -q attached strace.err
}

# What the helper is asked for: hooks, the uplink's watch, the next boot's file.
worked() {
	rm -f "$MASQBPF_PIN_DIR"/tcx_ingress_*
	local time=$EPOCHREALTIME
	masq cidr add "192.0.2.$((10#${time#*.} % 250))/32" --yes 2>/dev/null >&2
	echo "# $time" >>conf/keep.yaml
}

worked_off() {
	lab_gone "$AGENT" || {
		healthy && [ -e "$(echo "$MASQBPF_PIN_DIR"/tcx_ingress_*)" ]
	}
}

trace_helper() { # ARG...
	: >strace.err
	strace -o "$1" -p "$(pgrep -P "${AGENT%:*}")" "${@:2}" 2>strace.err &
	TRACER=$!
	lab_wait 10 traced
}

trace_end() {
	kill "$TRACER" 2>/dev/null || true
	wait "$TRACER" || true
}

helper_begin() {
	attached
	agent
	lab_wait 30 healthy || fail "$(cat "$LOG")"
}

record_helper() { # LOG [-k]
	trace_helper "$@"
	worked
	lab_wait 60 worked_off || fail "$(cat "$LOG")"
	trace_end
}

helper_works() { # KILL|ERROR
	trap 'agent_of_now; lab_kill KILL "$AGENT"; detached' EXIT
	helper_begin
	recorded helper record_helper
	draw helper "$1"
	each_point helper helper_meets
	no_agent
}

helper_meets() { # CALL NUMBER WHAT
	agent_of_now
	leaks_reset
	# shellcheck disable=SC2046 # words
	trace_helper /dev/null $(inject "$@")
	worked
	lab_wait 60 worked_off || fail "$WHERE: $(cat "$LOG"; masq status)"
	trace_end
	agent_made_whole
	no_leak
}

only=${CALL_ROWS:-.}
when() { # NAME FUNCTION...
	[[ ! $1 =~ $only ]] || row "$@"
}
# Each load of the programs takes its seconds: with a sample, those rows alone
# whose like test_faults.sh and test_agent.sh do not have.
rare() { # NAME FUNCTION...
	[ "$POINTS" != 0 ] || when "$@"
}

# What is soonest done comes first, that is what loads no programs: with
# CALL_SITES an errno that one command met at a place is not asked for of the
# next.
rare "reload: killed at every system call" each_call reload KILL
when "reload: every system call refused" each_call reload ERROR
rare "helper: killed at every system call" helper_works KILL
when "helper: every system call refused" helper_works ERROR
rare "agent over: killed at every system call" agent_sets_up KILL over
when "agent over: every system call refused" agent_sets_up ERROR over
rare "detach: killed at every system call" each_call detach KILL
rare "detach: every system call refused" each_call detach ERROR
when "migrate: killed at every system call" each_call migrate KILL
when "migrate: every system call refused" each_call migrate ERROR
rare "attach: killed at every system call" each_call attach KILL
rare "attach: every system call refused" each_call attach ERROR
rare "agent anew: killed at every system call" agent_sets_up KILL anew
rare "agent anew: every system call refused" agent_sets_up ERROR anew
tap_done
