#!/usr/bin/env bash
# The agent: follows its config and the node, heals, serves, has no
# privileges while it runs, and may be stopped, killed and started again
# without a packet noticing.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/agent.sh"

POD=10.44.14.15
PORT=443
URL=http://127.0.0.1:9842

lab_agent $POD
lab_in far ip route add $POD_NET via $NODE_ADDR
CONF=$LAB_DIR/conf
CONFIG=$CONF/config.yaml
LOG=$LAB_DIR/log
AUTO=$(lab_hook)
mkdir "$CONF"

# --- helpers ----------------------------------------------------------------

# agent ARG...: in the background. Every start has its own log.
agent() {
	spawn "$MASQBPF" agent "$@"
}

spawn() {
	stop KILL # of a row that failed
	: >"$LOG"
	lab_spawn node "$@" 2>>"$LOG"
	echo "$LAB_PID" >"$LAB_DIR/agent"
}

# A row runs in a subshell: what it started is told by a file.
agent_pid() {
	cat "$LAB_DIR/agent"
}
echo 0 >"$LAB_DIR/agent"

get() {
	lab_in node curl -sS --max-time $((5 * TEST_SLOW)) "$URL$1"
}

start() {
	agent --config "$CONFIG" "$@"
	lab_wait 20 ready || fail "$(cat "$LOG")"
}

# metric NAME: its value; NAME with its labels
metric() {
	get /metrics | sed -n "s/^masqbpf_$1 //p"
}

metric_is() {
	[ "$(metric "$1")" = "$2" ]
}

keeps() { # CIDR...: what the policy keeps, but for link-local
	[ "$(masq cidr list --json |
		jq -r '[.prefixes[] | select(.action == "keep" and
			.origin != "built-in").prefix] | join(" ")')" = "$*" ]
}

# soon COMMAND...: it holds, and how soon is told. The bound is below the
# poll of resyncInterval, and far above what a loaded machine needs.
soon() {
	local start=${EPOCHREALTIME/[.,]/} slow=$((TEST_SLOW < 5 ? TEST_SLOW : 5))
	TEST_SLOW=$slow lab_wait 10 "$@" || fail "$(cat "$LOG")"
	note "$(((${EPOCHREALTIME/[.,]/} - start) / 1000)) ms"
}

says_once() { # PATTERN: the log, which comes after the deed
	lab_wait 5 grep -qE -- "$1" "$LOG" || fail "$(cat "$LOG")"
	is "lines about it" "$(lines "$1")" 1
}

lines() { # PATTERN: how many lines of the log say it
	grep -cE -- "$1" "$LOG" || true
}

source_now() {
	word source "$(traffic pod1 who $FAR_ADDR $PORT)"
}

source_is() {
	[ "$(source_now)" = "$1" ]
}

config() { # CIDR...
	local IFS=,
	echo "nonMasqueradeCIDRs: [$*]"
}

# --- starting ---------------------------------------------------------------

no_file() {
	agent --config "$CONFIG" eth0
	lab_wait 20 ready || fail "$(cat "$LOG")"
	is "keeps" "$(keeps 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 && echo ok)" ok
	is "said" "$(lines 'warning: .*no config file.*preset ip-masq-agent')" 1
	metric_is config_stale 0
	# and a file that comes is taken
	config 10.0.0.0/8 >"$CONFIG"
	soon keeps 10.0.0.0/8
	stop
	masq detach --all
}

broken_file() {
	echo 'nonMasqueradeCIDRs: [10.0.0.1/8]' >"$CONFIG"
	agent --config "$CONFIG" eth0
	lab_wait 20 lab_in node curl -s $URL/healthz
	lab_wait 5 metric_is config_last_reload_successful 0
	is "readyz" "$(lab_in node curl -s -o "$LAB_DIR/ready" \
		-w '%{http_code}' $URL/readyz)" 503
	grep -q 'did you mean 10.0.0.0/8' "$LAB_DIR/ready"
	metric_is config_generation 0
	metric_is config_stale 0
	is "source" "$(source_now)" $POD # nothing is attached
	config 10.0.0.0/8 >"$CONFIG"
	soon metric_is config_generation 1
	lab_wait 5 ready
	is "source" "$(source_now)" $NODE_ADDR
	stop
	masq detach --all
}

empty_at_start() {
	printf -- '---\n# nonMasqueradeCIDRs: [10.0.0.0/8]\n' >"$CONFIG"
	agent --config "$CONFIG" eth0
	lab_wait 20 lab_in node curl -s $URL/healthz
	lab_wait 5 metric_is config_last_reload_successful 0
	is "readyz" "$(lab_in node curl -s -o "$LAB_DIR/ready" \
		-w '%{http_code}' $URL/readyz)" 503
	grep -q 'nothing is set' "$LAB_DIR/ready"
	metric_is config_generation 0
	is "source" "$(source_now)" $POD # nothing is attached
	config 10.0.0.0/8 >"$CONFIG"
	soon metric_is config_generation 1
	lab_wait 5 ready # and attached
	is "source" "$(source_now)" $NODE_ADDR
	stop
	masq detach --all
}

# manifest_caps: what it declares, as setpriv wants it, one a line
manifest_caps() {
	local comment='^$'
	! lab_kernel_before 5.11 || comment='# - '
	sed -n '/add: # set-up/,/drop:/p' \
		"$LAB_ROOT/deploy/kubernetes/daemonset.yaml" |
		sed -n "s/$comment/- /; s/^ *- \([A-Z_]*\).*\$/\1/p" |
		tr '[:upper:]' '[:lower:]' | sed 's/^/+/'
}

under() { # CAPS: the agent with these and no others
	spawn setpriv --bounding-set "-all,$1" --inh-caps "-all" \
		--no-new-privs "$MASQBPF" agent --config "$CONFIG" eth0
}

# Each of them is needed: without it the agent ends and says why.
each_cap() {
	local cap count=0
	while read -r cap; do
		# what is for `kubectl exec ... masqbpf probe` the agent never has
		[ "$cap" != +net_raw ] || continue
		under "$(manifest_caps | grep -vx -- "$cap" | paste -sd,)"
		count=$((count + 1))
		if [ "$cap" = +setpcap ]; then
			lab_wait 60 ready || fail "$(cat "$LOG")"
			[ "$(proc "$(agent_pid)" CapBnd)" != 0000000000000000 ] ||
				fail "nothing lacks without it"
			stop
		else
			lab_wait 60 gone "$(agent_pid)"
			echo 0 >"$LAB_DIR/agent"
			grep -qiE "CAP_${cap#+}|cannot change the user" "$LOG" ||
				fail "$cap: $(cat "$LOG")"
			is "source without $cap" "$(source_now)" $POD
		fi
		masq detach --all || true
	done < <(manifest_caps)
	[ $count -ge 6 ] || fail "only $count"
}

# The capabilities that the manifest declares, and no others; before 5.11 with
# the one that is a comment there.
declared_caps() {
	local caps
	caps=$(manifest_caps | paste -sd,)
	[ "$caps" ] || fail "no capabilities in the manifest"
	note "$caps"
	under "$caps"
	lab_wait 20 ready || fail "$(cat "$LOG")"
	is "source" "$(source_now)" $NODE_ADDR
	stop
	masq detach --all
}

proc() { # PID FIELD
	sed -n "s/^$2:\t//p" "/proc/$1/status"
}

no_privileges() {
	local OWN
	OWN=$(id -u masqbpf 2>/dev/null || echo 60842)
	local pid helper set caps=0000000000000000
	start eth0
	pid=$(agent_pid)
	# CAP_BPF 39, CAP_NET_ADMIN 12
	! lab_kernel_before 5.19 || caps=0000008000000000
	helper=$(pgrep -x -P "$pid" masqbpf-helper)
	is "uids of the agent" "$(proc "$pid" Uid)" "$(printf "$OWN\t%.0s" {1..3})$OWN"
	is "gids of the agent" "$(proc "$pid" Gid)" "$(printf "$OWN\t%.0s" {1..3})$OWN"
	is "groups of the agent" "$(proc "$pid" Groups | tr -d ' ')" ""
	for set in CapPrm CapEff; do
		is "$set of the agent" "$(proc "$pid" $set)" $caps
	done
	for set in CapInh CapBnd CapAmb; do
		is "$set of the agent" "$(proc "$pid" $set)" 0000000000000000
	done
	is "CapPrm of the helper" "$(proc "$helper" CapPrm)" 000000c000001000
	is "CapBnd of the helper" "$(proc "$helper" CapBnd)" 0000000000000000
	for pid in $pid $helper; do
		is NoNewPrivs "$(proc "$pid" NoNewPrivs)" 1
		is Seccomp "$(proc "$pid" Seccomp)" 2
	done
}

# not_permitted PID: the calls of syscalls.py that its filter refuses
not_permitted() {
	"$PYTHON" "$LAB_LIB/syscalls.py" "$1" >"$LAB_DIR/calls" ||
		fail "$(cat "$LAB_DIR/calls")"
	awk '$2 == "EPERM" { print $1 }' "$LAB_DIR/calls" | paste -sd' '
}

# Each of them is made in the process itself, as one would that took it over.
# That both go on afterwards is what the rows below see.
system_calls() {
	local pid
	pid=$(agent_pid)
	lab_spawn node sleep 1000
	is "refused to any process" "$(not_permitted "$LAB_PID")" ""
	kill "$LAB_PID"
	is "refused to the agent" "$(not_permitted "$pid")" "$(calls_but \
		getuid read-open lookup connect)"
	is "refused to the helper" "$(not_permitted "$(pgrep -x -P "$pid" masqbpf-helper)")" "$(calls_but \
		getuid read-open pin lookup)"
	note "$(wc -l <"$LAB_DIR/calls") calls"
	ready
}

calls_but() { # CALL...
	awk '{ print $1 }' "$LAB_DIR/calls" |
		grep -vxF -f <(printf '%s\n' "$@") | paste -sd' '
}

second_agent() {
	local status i
	for i in {1..4}; do # however often it is tried
		status=0
		masq agent --listen 127.0.0.1:0 eth0 2>"$LAB_DIR/second" ||
			status=$?
		is "exit status" $status 1
		grep -q "an agent is at work: process $(agent_pid)\$" \
			"$LAB_DIR/second" || fail "$(cat "$LAB_DIR/second")"
	done
}

# It cannot read the names of other programs, and is not to be fooled by that.
other_instance() {
	local pid pins=$LAB_DIR/bpf/other
	lab_spawn node "$MASQBPF" --pin-dir "$pins" agent \
		--config "$CONFIG" --listen 127.0.0.1:9843 eth0 \
		2>"$LAB_DIR/other"
	pid=$LAB_PID
	lab_wait 20 grep -q '^masqbpf: eth0: ' "$LAB_DIR/other"
	grep -q 'eth0: attach: belongs to another instance' "$LAB_DIR/other" ||
		fail "$(cat "$LAB_DIR/other")"
	is "programs" "$(masq status --json |
		jq -c '.interfaces[0] | [.egress, .ingress | length]')" '[1,1]'
	lab_in node curl -s http://127.0.0.1:9843/readyz |
		grep -q 'eth0: is not attached'
	kill "$pid"
	lab_wait 5 gone "$pid"
	masq --pin-dir "$pins" detach --all
}

# --- following the config ---------------------------------------------------

rewrite() {
	config 10.0.0.0/8 172.30.0.0/16 >"$CONFIG"
	soon keeps 10.0.0.0/8 172.30.0.0/16
	says_once ': generation .*\+172.30.0.0/16 keep'
	is "source" "$(source_now)" $POD
}

rename_over() {
	config 10.0.0.0/8 >"$CONFIG.new"
	mv "$CONFIG.new" "$CONFIG"
	soon keeps 10.0.0.0/8
	says_once ': generation .*-172.30.0.0/16 keep'
	is "source" "$(source_now)" $NODE_ADDR
}

# The backup by rename, then a new file: vi.
editor() {
	mv "$CONFIG" "$CONFIG~"
	config 10.0.0.0/8 192.0.2.0/24 >"$CONFIG"
	soon keeps 10.0.0.0/8 192.0.2.0/24
	is "alarms" "$(lines 'is gone|is empty')" 0
}

# A writer that keeps the file open: every beginning of a list is a list.
half_written() {
	local before i text
	before=$(metric config_generation)
	text=$(printf -- '- 10.%d.0.0/16\n' {1..20})
	{
		printf 'nonMasqueradeCIDRs:\n'
		for ((i = 0; i < ${#text}; i += 20)); do
			printf '%s' "${text:i:20}"
			sleep 0.1
		done
		sleep 1
		is "generation while it is written" \
			"$(metric config_generation)" "$before" >&2
		printf '\n'
	} >"$CONFIG"
	soon metric_is config_generation $((before + 1))
	is "prefixes" "$(masq cidr list --json |
		jq '[.prefixes[] | select(.prefix | endswith(".0.0/16")) |
			select(.prefix | startswith("10."))] | length')" 20
}

# hold TEXT: a writer, in the background, that writes it and keeps the file
# open until `let_go TEXT`
hold() {
	rm -f "$LAB_DIR/pipe"
	mkfifo "$LAB_DIR/pipe"
	{
		printf '%s\n' "$1"
		touch "$LAB_DIR/held"
		cat "$LAB_DIR/pipe"
	} >"$CONFIG" &
	lab_own $!
	lab_wait 5 test -e "$LAB_DIR/held"
	rm "$LAB_DIR/held"
}

let_go() {
	printf '%s\n' "$1" >"$LAB_DIR/pipe"
}

# At the start there is nothing that told of a writer, but the kernel.
half_at_start() {
	local unfinished='config.yaml: is still being written;'
	stop
	masq detach --all
	hold $'nonMasqueradeCIDRs:\n- 10.0.0.0/10'
	touch -d '1 hour ago' "$CONFIG"
	agent --config "$CONFIG" eth0
	lab_wait 20 health_says 'no policy is in force' || fail "$(cat "$LOG")"
	says_once "$unfinished no policy"
	if ready; then
		fail "ready"
	fi
	metric_is config_generation 0
	let_go '- 10.64.0.0/10'
	soon keeps 10.0.0.0/10 10.64.0.0/10
	metric_is config_generation 1
	lab_wait 5 ready
	# with a policy that is pinned
	stop
	hold $'nonMasqueradeCIDRs:\n- 10.0.0.0/9'
	start eth0
	lab_wait 10 says_once "$unfinished the policy in force is kept"
	keeps 10.0.0.0/10 10.64.0.0/10 || fail "half: $(masq cidr list)"
	metric_is config_stale 1
	let_go '- 10.128.0.0/9'
	soon keeps 10.0.0.0/9 10.128.0.0/9
	lab_wait 5 metric_is config_stale 0
	metric_is config_generation 2
}

# On SIGHUP: soon let go of, and kept open for longer than it is waited for.
half_on_sighup() {
	local before
	stop
	start eth0
	before=$(metric config_generation)
	hold $'nonMasqueradeCIDRs:\n- 10.0.0.0/10'
	kill -HUP "$(agent_pid)"
	sleep 1
	metric_is config_generation "$before"
	let_go '- 10.64.0.0/10'
	soon keeps 10.0.0.0/10 10.64.0.0/10
	metric_is config_generation $((before + 1))
	hold $'nonMasqueradeCIDRs:\n- 10.0.0.0/9'
	kill -HUP "$(agent_pid)"
	lab_wait 10 metric_is config_stale 1 || fail "$(cat "$LOG")"
	says_once 'config.yaml: is still being written; the policy in force'
	metric_is config_generation $((before + 1))
	let_go '- 10.128.0.0/9'
	soon keeps 10.0.0.0/9 10.128.0.0/9
	lab_wait 5 metric_is config_stale 0
	metric_is config_generation $((before + 2))
}

# Its directory goes with all that is in it, and another comes, a step after
# the other: long before the poll, which is at 60 s.
directory() {
	local dir=$LAB_DIR/outer/inner
	stop
	mkdir -p "$dir"
	config 10.0.0.0/8 >"$dir/c.yaml"
	agent --config "$dir/c.yaml" eth0
	lab_wait 20 ready || fail "$(cat "$LOG")"
	lab_wait 5 keeps 10.0.0.0/8
	mv "$dir" "$LAB_DIR/away"
	soon metric_is config_stale 1
	rmdir "$LAB_DIR/outer"
	sleep 0.5
	mkdir "$LAB_DIR/outer"
	sleep 0.5
	mkdir "$dir"
	sleep 0.5
	config 10.0.0.0/9 >"$dir/c.yaml"
	soon keeps 10.0.0.0/9
	# all at once, and half-written: not before it is whole
	rm -r "$LAB_DIR/outer" "$LAB_DIR/away"
	lab_wait 5 metric_is config_stale 1
	mkdir -p "$dir"
	{
		printf 'nonMasqueradeCIDRs:\n- 10.0.0.0/10\n'
		sleep 0.5
		printf -- '- 10.64.0.0/10\n'
	} >"$dir/c.yaml"
	soon keeps 10.0.0.0/10 10.64.0.0/10
	is "halves taken" "$(lines '-10.0.0.0/9 keep')" 1
	is "wholes taken" "$(lines '10.0.0.0/10 keep, .10.64.0.0/10 keep')" 1
	stop
	start eth0
}

# The same file by a name elsewhere: nobody who watches its directory hears.
by_poll() {
	stop
	config 10.0.0.0/8 >"$CONFIG"
	echo 'resyncInterval: 1s' >>"$CONFIG"
	ln "$CONFIG" "$LAB_DIR/other_name"
	start eth0
	keeps 10.0.0.0/8 || fail "$(cat "$LOG")"
	config 10.0.0.0/8 192.0.2.0/24 >"$LAB_DIR/other_name"
	soon keeps 10.0.0.0/8 192.0.2.0/24
	rm "$LAB_DIR/other_name"
}

touched() {
	local before
	before=$(metric config_generation)
	touch "$CONFIG"
	sleep 0.7
	is "generation" "$(metric config_generation)" "$before"
}

# alarm PATTERN COMMAND...: what COMMAND does to the file changes nothing but
# the alarm, and is said once
alarm() {
	local pattern=$1 before
	before=$(metric config_generation)
	shift
	"$@"
	lab_wait 5 metric_is config_stale 1 || fail "$(cat "$LOG")"
	lab_wait 5 metric_is config_last_reload_successful 0
	sleep 0.5
	is "generation" "$(metric config_generation)" "$before"
	says_once "$pattern.*kept"
	ready || fail "not ready any more"
	masq status | grep -q "health .*degraded" || fail "$(masq status)"
	masq status | grep -qE -- "$pattern" || fail "$(masq status)"
	get /readyz | grep -qE -- "$pattern" || fail "$(get /readyz)"
}

write() {
	printf '%s\n' "$1" >"$CONFIG"
}

# Files that set nothing, each as an accident makes it.
SETS_NOTHING=('' $'\n \n' '# nonMasqueradeCIDRs: [10.0.0.0/8]' '---' null '~'
	'{}' $'# left by a template\n{}' $'---\n# words\n...'
	$'---\n---\nnonMasqueradeCIDRs: [192.0.2.0/24]' '!!map {}'
	$'\xef\xbb\xbf# words' 'nonMasqueradeCIDR: [192.0.2.0/24]'
	'masqLinkLocal:' 'timeouts: {}'
	$'config:\n  nonMasqueradeCIDRs: [192.0.2.0/24]'
	$'apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n    # words')

# The policy stays with its exceptions; an alarm each time; its own file ends it.
sets_nothing() {
	local text before list good
	good=$'nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [10.9.0.0/16]'
	printf '%s\n' "$good" >"$CONFIG"
	soon keeps 10.0.0.0/8
	list=$(masq cidr list --json | jq -c '[.prefixes[] | [.prefix, .action]]')
	grep -q 10.9.0.0/16 <<<"$list"
	before=$(metric config_generation)
	for text in "${SETS_NOTHING[@]}"; do
		printf '%s' "$text" >"$CONFIG"
		lab_wait 10 metric_is config_stale 1 ||
			fail "'$text': $(cat "$LOG")"
		metric_is config_last_reload_successful 0
		get /readyz | grep -q 'nothing is set' || fail "$(get /readyz)"
		masq status | grep -q 'nothing is set' || fail "$(masq status)"
		is "'$text'" "$(masq cidr list --json |
			jq -c '[.prefixes[] | [.prefix, .action]]')" "$list"
		is generation "$(metric config_generation)" "$before"
		printf '%s\n' "$good" >"$CONFIG"
		lab_wait 10 metric_is config_stale 0
	done
	is "generation at the end" "$(metric config_generation)" "$before"
}

# What is not given is said at every change.
defaults_said() {
	local text n
	n=$(lines 'nonMasqueradeCIDRs is not given: the preset ip-masq-agent')
	for text in 'masqLinkLocal: true' 'masqLinkLocal: false' 'cidrLimit: 5'; do
		printf '%s\n' "$text" >"$CONFIG"
		n=$((n + 1))
		soon said_defaults $n
		soon keeps 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16
	done
	metric_is config_stale 0
	config 10.0.0.0/8 >"$CONFIG"
	soon keeps 10.0.0.0/8
}

said_defaults() {
	[ "$(lines 'nonMasqueradeCIDRs is not given: the preset ip-masq-agent')" = "$1" ]
}

comes_back() {
	local before
	before=$(metric config_generation)
	printf '%s\n' 'nonMasqueradeCIDRs:' \
		"$(printf -- '- 10.%d.0.0/16\n' {1..20})" >"$CONFIG"
	soon metric_is config_stale 0
	is "generation" "$(metric config_generation)" "$before"
}

kubelet() {
	local dir=$LAB_DIR/volume
	stop
	mkdir -p "$dir/..1"
	config 10.0.0.0/8 >"$dir/..1/ip-masq-agent"
	ln -s ..1 "$dir/..data"
	ln -s ..data/ip-masq-agent "$dir/ip-masq-agent"
	agent --config "$dir/ip-masq-agent" eth0
	lab_wait 20 ready || fail "$(cat "$LOG")"
	lab_wait 5 keeps 10.0.0.0/8
	for ((i = 2; i < 5; i++)); do
		mkdir "$dir/..$i"
		config 10.0.0.0/8 "192.0.$i.0/24" >"$dir/..$i/ip-masq-agent"
		ln -s "..$i" "$dir/..data_tmp"
		mv -T "$dir/..data_tmp" "$dir/..data"
		rm -r "$dir/..$((i - 1))"
		soon keeps 10.0.0.0/8 "192.0.$i.0/24"
	done
	# the ConfigMap is deleted
	rm "$dir/ip-masq-agent"
	lab_wait 5 metric_is config_stale 1
	keeps 10.0.0.0/8 192.0.4.0/24
	stop
}

runtime_stays() {
	config 10.0.0.0/8 >"$CONFIG"
	start eth0
	lab_wait 5 keeps 10.0.0.0/8
	masq cidr add 198.51.100.0/24
	stop
	start eth0
	keeps 10.0.0.0/8 198.51.100.0/24 || fail "lost over a restart"
	kill -HUP "$(agent_pid)"
	soon keeps 10.0.0.0/8
}

# stays PREFIX...: over some polls, a touch, and another agent
stays() {
	touch "$CONFIG"
	sleep 2.5
	keeps "$@" || fail "after two polls: $(masq cidr list)"
	stop
	start eth0
	sleep 1.5
	keeps "$@" || fail "after a restart: $(masq cidr list)"
}

# What somebody does by hand lasts until the file's content changes.
by_hand() {
	stop
	masq detach --all
	write $'nonMasqueradeCIDRs: [10.0.0.0/8]\nresyncInterval: 1s'
	start eth0
	masq cidr add 172.30.0.0/16
	masq cidr del 10.0.0.0/8
	is "source" "$(source_now)" $POD
	metric_is config_generation 3
	stays 172.30.0.0/16
	masq rollback 2 --yes
	is "source" "$(source_now)" $POD
	stays 10.0.0.0/8 172.30.0.0/16
	masq rollback 1 --yes
	is "source" "$(source_now)" $NODE_ADDR
	stays 10.0.0.0/8
	masq rollback 3 --yes
	metric_is config_stale 0
	write $'nonMasqueradeCIDRs: [10.0.0.0/9]\nresyncInterval: 1s'
	soon keeps 10.0.0.0/9
	# the very same text again is no change, also when it was away
	masq cidr add 172.30.0.0/16
	rm "$CONFIG"
	lab_wait 10 metric_is config_stale 1
	write $'nonMasqueradeCIDRs: [10.0.0.0/9]\nresyncInterval: 1s'
	lab_wait 10 metric_is config_stale 0
	keeps 10.0.0.0/9 172.30.0.0/16 || fail "$(masq cidr list)"
	masq reload -q
	keeps 10.0.0.0/9 || fail "reload: $(masq cidr list)"
}

# Whoever asks while another size is on its way is answered, and who asks
# afterwards is told what is in force then. How long the way was is nothing
# that a scrape costs.
scraped_while_it_grows() {
	local helper generation
	config 10.0.0.0/8 >"$CONFIG"
	start eth0
	generation=$(masq status --json | jq .generation)
	helper=$(pgrep -P "$(agent_pid)" -f . | head -1)
	lab_spawn node strace -qq -o "$LAB_DIR/slow" -e trace=bpf \
		-e inject=bpf:delay_enter=20000 -p "$helper"
	lab_wait 5 traced "$helper"
	{
		echo "nonMasqueradeCIDRs: [10.0.0.0/8, 172.30.0.0/16]"
		echo "maxFlows: 16384"
	} >"$CONFIG"
	until [ "$(lines 'has room for 16384 flows')" = 1 ]; do
		get /metrics >/dev/null
		get / >/dev/null
		gone "$(agent_pid)" && fail "$(cat "$LOG")"
		sleep 0.1
	done
	kill "$LAB_PID"
	wait "$LAB_PID" || true
	soon metric_is config_generation $((generation + 1))
	soon page_says "<dd>$((generation + 1)), in force"
	soon keeps 10.0.0.0/8 172.30.0.0/16
	[ "$(wc -l <"$LAB_DIR/slow")" -gt 50 ] || fail "nothing was slowed down"
	config 10.0.0.0/8 >"$CONFIG"
	lab_wait 60 metric_is config_generation $((generation + 2)) ||
		fail "$(cat "$LOG")"
}

traced() { # PROCESS
	grep -q '^TracerPid:.[1-9]' "/proc/$1/status"
}

page_says() {
	get / | grep -cF "$1" >/dev/null
}

# The file is the same, the flags are not.
other_flags() {
	local source inside=21003 taken=()
	config 10.0.0.0/8 >"$CONFIG"
	stop
	start eth0
	stop
	start --to-ports 21000-21009 eth0
	is "said" "$(lines 'taken over; the command line has changed')" 1
	# 30100 may be a NodePort: another is chosen
	source=$(word port "$(traffic pod1 who $FAR_ADDR $PORT --sport 30100)")
	[[ $source == 2100? ]] || fail "port $source"
	taken+=("$source")
	stop
	start --to-ports 21000-21009 eth0
	is "said" "$(lines 'the command line has changed')" 0
	# a port of the pod's own outside is not kept, one inside is
	source=$(word port "$(traffic pod1 who $FAR_ADDR $PORT --sport 45000)")
	[[ $source == 2100? ]] || fail "TCP port $source"
	taken+=("$source")
	source=$(echo | traffic pod1 talk $FAR_ADDR $PORT --proto udp \
		--sport 45001 --timeout 3)
	source=${source#"$NODE_ADDR "}
	[[ $source == 2100? ]] || fail "UDP port $source"
	# one that neither of the two TCP connections above was given
	while [[ " ${taken[*]} " == *" $inside "* ]]; do
		inside=$((inside + 1))
	done
	source=$(word port "$(traffic pod1 who $FAR_ADDR $PORT --sport $inside)")
	is "a port inside" "$source" $inside
	stop
	start eth0
	source=$(word port "$(traffic pod1 who $FAR_ADDR $PORT --sport 30101)")
	[[ $source != 2100? ]] || fail "port $source"
}

pinned_wins() {
	local before
	stop
	before=$(masq status --json | jq .generation)
	write 'nonMasqueradeCIDRs: ['
	start eth0
	metric_is config_generation "$before"
	metric_is config_stale 1
	stop
	rm "$CONFIG"
	start eth0
	metric_is config_generation "$before"
	metric_is config_stale 1
	stop
	config 10.0.0.0/8 >"$CONFIG"
	start eth0
	metric_is config_stale 0
}

# A policy that never had a file misses none; what was named in vain is said.
named_in_vain() {
	stop
	masq detach --all
	masq attach eth0 --preset ip-masq-agent
	agent --config "$LAB_DIR/no/such.yaml" eth0
	lab_wait 20 ready || fail "$(cat "$LOG")"
	is "said" "$(lines 'warning: .*such.yaml: no config file: the policy')" 1
	metric_is config_stale 0
	# that it cannot be told is another matter
	ln -s loop "$LAB_DIR/loop"
	agent --config "$LAB_DIR/loop" eth0
	lab_wait 20 ready || fail "$(cat "$LOG")"
	is "said" "$(lines 'loop: cannot be opened: .* in force is kept')" 1
	metric_is config_stale 1
	stop
	masq detach --all
	start eth0
}

# --- the node ---------------------------------------------------------------

attached() { # IFACE [HOOK]
	metric_is "attached{interface=\"$1\",hook=\"${2:-$AUTO}\"}" 1
}

link_comes_back() {
	lab_in node ip link del eth0
	soon metric_is 'attached{interface="eth0",hook="none"}' 0
	if ready; then
		fail "ready without an interface"
	fi
	lab_link node eth0 far eth0
	lab_in node ip addr add $NODE_ADDR/20 dev eth0
	lab_in node ip route add default via $FAR_GATEWAY
	lab_in far ip addr add $FAR_GATEWAY/20 dev eth0
	lab_in far ip route add $POD_NET via $NODE_ADDR
	soon attached eth0
	is "source" "$(source_now)" $NODE_ADDR
}

# The old one goes elsewhere, another takes its name.
link_moves() {
	lab_in node ip link set eth0 down
	lab_in node ip link set eth0 name old0
	lab_in node ip link set old0 up
	soon metric_is 'attached{interface="eth0",hook="none"}' 0
	attached old0 || fail "$(get /metrics)"
	lab_in node ip link set old0 down
	lab_in node ip link set old0 name eth0
	lab_in node ip link set eth0 up
	lab_in node ip route replace default via $FAR_GATEWAY
	soon attached eth0
	is "source" "$(source_now)" $NODE_ADDR
}

pin_removed() {
	[ "$AUTO" = tcx ] || skip "this kernel has no TCX"
	rm "$MASQBPF_PIN_DIR"/tcx_egress_*
	lab_wait 8 grep -q 'attached again' "$LOG"
	lab_wait 5 attached eth0
	is "source" "$(source_now)" $NODE_ADDR
}

qdisc_removed() {
	stop
	masq attach eth0 --hook tc
	start eth0
	attached eth0 tc
	lab_in node tc qdisc del dev eth0 clsact
	soon grep -q 'attached again (tc)' "$LOG"
	attached eth0 tc
	is "source" "$(source_now)" $NODE_ADDR
	stop
	masq attach eth0 --hook "$AUTO"
	start eth0
}

# flows_of ADDR: live flows that use this node address
flows_of() {
	masq flows --json | jq "[.[] | select(.xlat.src == \"$1\")] | length"
}

no_flows_of() {
	[ "$(flows_of "$1")" = 0 ]
}

address_changes() {
	is "source" "$(source_now)" $NODE_ADDR
	[ "$(flows_of $NODE_ADDR)" -gt 0 ] || fail "no flow"
	lab_in node ip addr add 10.142.0.7/20 dev eth0
	lab_in node ip addr del $NODE_ADDR/20 dev eth0
	# the kernel removes secondary addresses with the primary one
	lab_in node ip addr replace 10.142.0.7/20 dev eth0
	lab_in node ip route replace default via $FAR_GATEWAY
	soon no_flows_of $NODE_ADDR
	# eth0 had none for a moment, in which another interface's serves
	soon source_is 10.142.0.7
	lab_in node ip addr add $NODE_ADDR/20 dev eth0
	lab_in node ip addr del 10.142.0.7/20 dev eth0
	lab_in node ip addr replace $NODE_ADDR/20 dev eth0
	lab_in node ip route replace default via $FAR_GATEWAY
	soon no_flows_of 10.142.0.7
	soon source_is $NODE_ADDR
}

uplinks() { # IFACE...: exactly these are attached
	[ "$(masq status --json |
		jq -r '[.interfaces[].name] | sort | join(" ")')" = "$*" ]
}

# auto: the default route's link and the VPN's, no pod's, no bridge of pods
auto() {
	stop
	masq detach --all
	config 10.0.0.0/8 >"$CONFIG"
	lab_link node vpn0 far vpn0
	lab_in node ip addr add 169.254.77.1/30 dev vpn0
	lab_in node ip route add 172.30.0.0/16 dev vpn0
	lab_link node local0 far local0
	lab_in node ip addr add 10.9.0.1/24 dev local0
	lab_in node ip link add cni0 type bridge
	lab_in node ip addr add 192.168.9.1/24 dev cni0
	lab_in node ip link set cni0 up
	start auto
	uplinks eth0 vpn0 || fail "$(masq status)"
	lab_in node ip link del vpn0
	lab_wait 5 uplinks eth0 # each look is a whole status
	# another policy, another way out
	config 192.168.0.0/16 >"$CONFIG"
	lab_wait 5 attached local0
	lab_in node ip link del local0
	lab_in node ip link del cni0
	stop
	masq detach --all
	config 10.0.0.0/8 >"$CONFIG"
	start eth0
}

# --- others ------------------------------------------------------------------

health_says() {
	get /readyz | grep -q "$1"
}

# foreign_nat WHERE: told while it is there, and only then
foreign_nat() {
	lab_wait 10 metric_is foreign_nat_detected 1 || fail "$(cat "$LOG")"
	health_says "foreign NAT: $1" || fail "$(get /readyz)"
	get / | grep -q "<li>foreign NAT: $1" || fail "not on the page"
	ready || fail "somebody else's rule is no reason not to be ready"
}

foreign_nft() {
	{
		config 10.0.0.0/8
		echo 'resyncInterval: 1s'
	} >"$CONFIG"
	lab_wait 5 metric_is foreign_nat_detected 0
	lab_in node nft -f - <<-EOF
		table ip other {
			chain left_over { masquerade; }
			chain KUBE-POSTROUTING { masquerade; }
			chain out {
				type nat hook postrouting priority srcnat
				meta mark 0x4000 jump KUBE-POSTROUTING
			}
		}
	EOF
	sleep 1.5
	is "left over, and kube-proxy's" "$(metric foreign_nat_detected)" 0
	lab_in node nft add rule ip other out oifname eth0 masquerade
	foreign_nat 'nft ip other, chain out'
	says_once 'warning: foreign NAT: nft'
	lab_in node nft delete table ip other
	lab_wait 10 metric_is foreign_nat_detected 0
	says_once 'foreign NAT: none any more'
}

foreign_legacy() {
	lab_in node iptables-legacy -t nat -A POSTROUTING -o eth0 \
		-j MASQUERADE || skip "no legacy iptables"
	foreign_nat 'iptables-legacy nat, chain POSTROUTING'
	lab_in node iptables-legacy -t nat -F
	lab_wait 10 metric_is foreign_nat_detected 0
}

# --- ending and starting again ----------------------------------------------

flows_total() {
	metric 'prefix_flows_total{prefix="0.0.0.0\/0",action="masquerade"}'
}

# restart SIGNAL: ends it under a transfer and starts it anew
restart() {
	local before
	before=$(flows_total)
	stream_start pod1 $FAR_ADDR $PORT
	stream_more 16
	stop "$1"
	stream_more 16
	is "source without an agent" "$(source_now)" $NODE_ADDR
	start eth0
	stream_more 16
	stream_end
	is "source of the transfer" "$(word source "$STREAM_LINE")" $NODE_ADDR
	[ "$(flows_total)" -ge $((before + 2)) ] ||
		fail "flows counted: $before, then $(flows_total)"
	metric_is config_generation "$(masq status --json | jq .generation)"
	is "locks of the guard" "$(grep -c "FLOCK.*:$(stat -c %i \
		"$MASQBPF_PIN_DIR/agent") " /proc/locks)" 1
}

# A kill at whatever moment of starting.
killed_early() {
	local i
	stop
	for i in {1..6}; do
		agent --config "$CONFIG" eth0
		sleep "0.0$((i * 7 % 10))$i"
		stop KILL
		is "source" "$(source_now)" $NODE_ADDR
	done
	start eth0
}

# stopped_idle HELPER: not in the middle of a look, when it has the lock
stopped_idle() {
	kill -STOP "$1"
	flock -n "$MASQBPF_PIN_DIR" true && return
	kill -CONT "$1"
	return 1
}

# The helper of a killed agent may live on for a moment.
helper_lingers() {
	local helper
	helper=$(pgrep -x -P "$(agent_pid)" masqbpf-helper)
	lab_wait 10 stopped_idle "$helper"
	stop KILL
	start eth0
	kill -CONT "$helper"
	lab_wait 5 gone "$helper"
	ready
}

helper_dies() {
	local pid
	pid=$(agent_pid)
	kill -KILL "$(pgrep -x -P "$pid" masqbpf-helper)"
	lab_wait 5 gone "$pid"
	is "said" "$(lines 'its helper is gone')" 1
	is "source" "$(source_now)" $NODE_ADDR
	start eth0
}

pins_removed() { # COMMAND...
	local pid
	pid=$(agent_pid)
	"$@"
	lab_wait 8 gone "$pid"
	is "said" "$(lines 'the pins were removed')" 1
	start eth0
	is "source" "$(source_now)" $NODE_ADDR
}

# Filters of clsact need no pin: a transfer goes on, under the same programs, and
# whoever starts next has them.
filters_stay() { # COMMAND...
	local pid before programs
	stop
	masq attach eth0 --hook tc
	start eth0
	pid=$(agent_pid)
	before=$(flows_total)
	programs=$(lab_programs eth0 | grep masq_)
	stream_start pod1 $FAR_ADDR $PORT
	stream_more 16
	"$@"
	lab_wait 8 gone "$pid"
	is "said" "$(lines 'the pins were removed, but not the filters, and are')" 1
	stream_more 16
	start eth0
	attached eth0 tc
	stream_more 16
	stream_end
	is "source of the transfer" "$(word source "$STREAM_LINE")" $NODE_ADDR
	is "programs" "$(lab_programs eth0 | grep masq_)" "$programs"
	[ "$(flows_total)" -gt "$before" ] || fail "flows counted anew"
	stop
	masq detach -q --all
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "left: $(ls "$MASQBPF_PIN_DIR")"
	is "filters that are left" "$(lab_ours eth0)" 0
	masq attach eth0 --hook "$AUTO"
	start eth0
}

watched() {
	[ "$(grep -c WATCHDOG=1 "$LAB_DIR/notified")" -ge 4 ]
}

notifies() {
	local socket=$LAB_DIR/notify
	stop
	"$PYTHON" - "$socket" >"$LAB_DIR/notified" <<-'PY' &
		import os, socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.bind(sys.argv[1])
		s.settimeout(30 * int(os.environ["TEST_SLOW"]))
		os.chmod(sys.argv[1], 0o777)
		while True:
		    text = s.recv(4096).decode()
		    print(text.replace("\n", " "), flush=True)
		    if "STOPPING=1" in text:
		        break
	PY
	lab_own $!
	lab_wait 5 test -S "$socket"
	spawn env NOTIFY_SOCKET="$socket" WATCHDOG_USEC=400000 \
		"$MASQBPF" agent --config "$CONFIG" eth0
	lab_wait 20 grep -q 'READY=1 STATUS=all is well' "$LAB_DIR/notified" ||
		fail "$(cat "$LAB_DIR/notified")"
	kill -HUP "$(agent_pid)"
	lab_wait 5 grep -q 'RELOADING=1 MONOTONIC_USEC=[0-9]' "$LAB_DIR/notified"
	lab_wait 1 watched || fail "$(cat "$LAB_DIR/notified")"
	stop
	lab_wait 5 grep -q STOPPING=1 "$LAB_DIR/notified"
	start eth0
}

# --- ip-masq-agent's command line -------------------------------------------

upstream_flags() {
	stop
	masq detach --all
	rm -f "$CONFIG"
	start --masq-chain=IP-MASQ --nomasq-all-reserved-ranges \
		--random-fully=false --enable-ipv6=true \
		--to-ports 20000-29999 eth0
	is "prefixes kept" "$(masq cidr list --json |
		jq '[.prefixes[] | select(.origin == "preset reserved")] | length')" 11
	is "room for IPv6" "$(masq status --json | jq '.budgets[-1].max')" 262144
	is "lines about the chain" "$(lines 'masq-chain IP-MASQ: there is no')" 1
	config 10.0.0.0/8 >"$CONFIG"
	lab_wait 5 keeps 10.0.0.0/8
	stop
}

# As manifests have them, two words or one, _ or -; the operand stays one.
klog_flags() {
	local pid status=0
	config 10.0.0.0/8 >"$CONFIG"
	start -v 4 -v=2 -v2 --v=2 --v 3 --logtostderr --alsologtostderr=false \
		--stderrthreshold=INFO --stderrthreshold 2 --vmodule=a=1,b=2 \
		--log_dir=/nowhere --log-dir /nowhere --log_file=x \
		--log_file_max_size 9 --log-flush-frequency=5s \
		--log_backtrace_at=a.go:1 --add_dir_header --skip_headers=true \
		--skip_log_headers --one_output eth0
	is "lines about it" "$(lines 'of klog, ignored')" 1
	grep -q -- '--v, --vmodule, --logtostderr, .* --one-output: of klog' \
		"$LOG" || fail "$(cat "$LOG")"
	uplinks eth0
	pid=$(agent_pid)
	kill "$pid"
	wait "$pid" || status=$?
	is "exit status" $status 0
	stop
	# alone it is ours, and no interface is lost
	start -v eth0
	is "lines about klog" "$(lines 'klog')" 0
	stop
	# nobody else's command takes them
	! "$MASQBPF" check --logtostderr "$CONFIG" 2>"$LAB_DIR/refused" ||
		fail "check takes them"
	grep -q 'no such option' "$LAB_DIR/refused"
	masq detach --all
}

# Without --config, where ip-masq-agent's volume is mounted: in a mount
# namespace of its own, whose /etc/config is nobody else's.
default_config() {
	local etc=$LAB_DIR/etc
	mkdir -p "$etc/config"
	config 10.0.0.0/9 >"$etc/config/ip-masq-agent"
	# shellcheck disable=SC2016 # for the inner shell
	spawn unshare --mount --propagation slave sh -ec \
		'mount --bind "$1" /etc && shift && exec "$@"' sh "$etc" \
		"$MASQBPF" agent eth0
	lab_wait 20 ready || fail "$(cat "$LOG")"
	says_once ': /etc/config/ip-masq-agent: generation 1: '
	keeps 10.0.0.0/9 || fail "$(masq cidr list)"
	config 10.0.0.0/9 192.0.2.0/24 >"$etc/config/ip-masq-agent"
	soon keeps 10.0.0.0/9 192.0.2.0/24
	stop
	masq detach --all
	# one that cannot be looked at is not one that is not there
	# shellcheck disable=SC2016 # for the inner shell
	spawn unshare --mount --propagation slave sh -ec \
		'mount --bind "$1" /etc && shift && exec "$@"' sh "$etc" \
		strace -D -qq -o /dev/null -P /etc/config \
		-e inject=access,faccessat,faccessat2:error=EIO \
		"$MASQBPF" agent eth0
	lab_wait 60 ready || fail "$(cat "$LOG")"
	keeps 10.0.0.0/9 192.0.2.0/24 || fail "$(masq cidr list)"
	stop
	masq detach --all
}

# What is refused for a moment at the start is not missed for good: the config
# (no preset takes its place), the port's socket.
refused_once() {
	local n
	config 10.0.0.0/9 >"$CONFIG"
	spawn strace -D -qq -o "$LAB_DIR/calls" -e trace=openat,socket \
		"$MASQBPF" agent eth0 --config "$CONFIG"
	lab_wait 60 ready || fail "$(cat "$LOG")"
	stop
	masq detach -q --all
	for n in 1 2 3; do
		spawn strace -D -qq -o /dev/null -P "$CONFIG" \
			-e "inject=openat:error=ENOENT:when=$n" \
			"$MASQBPF" agent eth0 --config "$CONFIG"
		lab_wait 60 keeps 10.0.0.0/9 || fail "$(cat "$LOG")"
		! grep 'no config file: preset' "$LOG" || fail "$(cat "$LOG")"
		stop
		masq detach -q --all
	done
	for n in 1 2 3; do # behind the call that listens
		spawn strace -D -qq -o "$LAB_DIR/calls2" -e trace=fcntl,listen \
			"$MASQBPF" agent eth0 --config "$CONFIG"
		lab_wait 60 ready || fail "$(cat "$LOG")"
		stop
		n=$((n + $(sed '/^listen/Q' "$LAB_DIR/calls2" | grep -c '^fcntl')))
		spawn strace -D -qq -o /dev/null \
			-e "inject=fcntl:error=EMFILE:when=$n" \
			"$MASQBPF" agent eth0 --config "$CONFIG"
		lab_wait 60 ready || fail "$(cat "$LOG")"
		stop
	done
	masq detach -q --all
	n=$(grep '^socket' "$LAB_DIR/calls" | grep -n 'AF_INET, SOCK_STREAM' |
		tail -n 1 | cut -d: -f1)
	spawn strace -D -qq -o /dev/null \
		-e "inject=socket:error=EMFILE:when=$n" \
		"$MASQBPF" agent eth0 --config "$CONFIG"
	lab_wait 60 ready || fail "$(cat "$LOG")"
	stop
	masq detach -q --all
}

refused() { # PATTERN ARG...
	local status=0 pattern=$1
	shift
	timeout $((10 * TEST_SLOW)) nsenter --net="$(lab_netns node)" "$MASQBPF" agent "$@" \
		2>"$LAB_DIR/refused" || status=$?
	is "exit status" $status 2
	grep -qE -- "$pattern" "$LAB_DIR/refused" ||
		fail "$(cat "$LAB_DIR/refused")"
}

row "first start without a file: the preset, said aloud" no_file
row "first start with a broken file: no policy, not ready" broken_file
row "first start with a file that sets nothing: the same" empty_at_start
config 10.0.0.0/8 >"$CONFIG"
row "set-up under the manifest's capabilities" declared_caps
row "each of these capabilities is needed" each_cap
row "no privileges while it runs" no_privileges
row_ok || { cat "$LOG"; tap_done; exit; }
row "system calls that are none of its business" system_calls
row "a second agent names the first" second_agent
row "another instance's interface is refused" other_instance
row "file: rewritten" rewrite
row "file: renamed into place" rename_over
row "file: an editor with a backup" editor
row "file: half-written is not taken" half_written
row "file: touched is not news" touched
row "file: broken" alarm ':1:22: ' write 'nonMasqueradeCIDRs: [10.0.0.1/8]'
row "file: emptied" alarm 'is empty' write ''
row "file: gone" alarm 'is gone' rm "$CONFIG"
row "file: is back" comes_back
row "file: sets nothing" sets_nothing
row "file: without the list: the defaults, said at every change" defaults_said
row "file: a change that no event tells: the poll" by_poll
row "file: kubelet swaps ..data" kubelet
row "file: its directory is replaced" directory
row "file: half-written at the start" half_at_start
row "file: half-written on SIGHUP" half_on_sighup
row "runtime changes outlive a restart, not a SIGHUP" runtime_stays
row "changes by hand last until the file changes" by_hand
row "scraped while another size is on its way" scraped_while_it_grows
row "another command line is taken, the file unchanged" other_flags
row "a pinned policy wins over a broken or missing file" pinned_wins
row "a config named in vain beside a pinned policy is said" named_in_vain
row "interface: deleted and made again" link_comes_back
row "interface: renamed away and back" link_moves
row "hook: its pin is removed" pin_removed
row "hook: tc qdisc del clsact by a stranger" qdisc_removed
row "node address: changes" address_changes
row "auto: uplinks by their routes" auto
row "SIGTERM under a transfer" restart TERM
row "SIGKILL under a transfer" restart KILL
row "SIGKILL at any moment of starting" killed_early
row "a killed agent's helper is in nobody's way" helper_lingers
row "the helper dies" helper_dies
row "detach --all under an agent" pins_removed masq detach --all
row "all pins are removed, but not their directory" pins_removed \
	find "$MASQBPF_PIN_DIR" -type f -delete
row "the directory of the pins is removed" pins_removed \
	rm -rf "$MASQBPF_PIN_DIR"
row "tc: all pins are removed, but not their directory" filters_stay \
	find "$MASQBPF_PIN_DIR" -type f -delete
row "tc: masq_meta is removed" filters_stay rm "$MASQBPF_PIN_DIR/masq_meta"
row "tc: the directory of the pins is removed" filters_stay \
	rm -rf "$MASQBPF_PIN_DIR"
row "notifies the service manager" notifies
row "others that translate: nft" foreign_nft
row "others that translate: legacy iptables" foreign_legacy
row "ip-masq-agent's flags" upstream_flags
row "klog's flags" klog_flags
row "refused once at the start" refused_once
row "without --config: /etc/config/ip-masq-agent" default_config
row "refused: --to-ports with two ranges" \
	refused 'one range only' --to-ports 1024-29999,32768-65535 eth0
row "refused: --listen without an address" refused 'ADDRESS:PORT' \
	--listen :9842 eth0
row "refused: --user nosuch" refused 'no such user' --user nosuch eth0
row "refused: --enable-ipv6=maybe" refused 'true or false' \
	--enable-ipv6=maybe eth0
row "refused: a name that is too long for an interface" \
	refused 'no interface can have' "$(printf '%0128d' 0)"
row "refused: an empty name" refused 'no interface can have' ''
row "refused: no interface" refused 'needs IFACE'
tap_done
