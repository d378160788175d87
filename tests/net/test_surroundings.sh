#!/usr/bin/env bash
# What others hand over does no harm: names, paths, signals, descriptors,
# missing devices, users, and whoever holds the agent's HTTP.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/agent.sh"
. "$(dirname "$0")/../lib/steady.sh"

PORT=443
POD=10.44.14.15
URL=http://127.0.0.1:9842
TITLE=$'u\x1b]0;pwn\x07'      # a terminal's title
BYTES=$'b\xed\xb0\x80\xf4\x9f\xbf' # half of a pair, beyond the last: no UTF-8
OTHER=$'b\xc2\x9b2J\xe2\x80\xae' # CSI in one code point, right to left

lab_agent $POD
lab_in far ip route add $POD_NET via $NODE_ADDR
cd "$LAB_DIR"
CONFIG=$LAB_DIR/config.yaml
LOG=$LAB_DIR/log

not() {
	! "$@"
}

is_locked() {
	not flock -n "$MASQBPF_PIN_DIR" true
}

agent() { # [WRAPPER... --] ARG...
	local wrapper=()
	: >"$LOG"
	while [ "$1" != -- ]; do
		wrapper+=("$1")
		shift
	done
	shift
	lab_spawn node "${wrapper[@]}" "$MASQBPF" agent "$@" eth0 2>>"$LOG"
	AGENT=$LAB_PID
	lab_wait 20 ready || fail "$(cat "$LOG")"
}

end_agent() {
	kill -TERM "$AGENT"
	lab_wait 20 gone "$AGENT" || fail "it does not end"
}

# tidy_row NAME COMMAND...: with nothing attached before and after
tidy_row() {
	row "$1" tidy "${@:2}"
}

tidy() {
	"$@"
	clean
}

# --- names ------------------------------------------------------------------

# harmless WHAT FILE: UTF-8 without control characters; `$3`: colours are fine
harmless() {
	"$PYTHON" - "$@" <<-'PY'
		import re, sys, unicodedata
		what, name = sys.argv[1:3]
		text = open(name, "rb").read().decode("utf-8")
		assert text, what + ": nothing"
		if len(sys.argv) > 3:
		    text = re.sub("\x1b\\[(0|1|31|32|33)m|\r", "", text)
		bad = [c for c in text if c not in "\n\t" and
		       unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
		assert not bad, f"{what}: {bad!r} in {text!r}"
	PY
}

hostile_names() {
	local dev
	for dev in "$TITLE" "$BYTES" "$OTHER" 'b\xed'; do
		lab_in node ip link add name "$dev" type bridge
		lab_in node ip link set "$dev" up
	done
	lab_in node ip addr add 198.51.100.1/24 dev "$BYTES"
	lab_in node ip route add 203.0.113.0/24 via 198.51.100.2 dev "$BYTES"
	mkdir -p "${FILE%/*}"
	cp "$CONFIG" "$FILE"
	masq attach eth0 "$TITLE" "$BYTES" "$OTHER" 'b\xed' \
		--config "$FILE" 2>out
	harmless attach out
}

COMMANDS=(status 'cidr list' 'explain 203.0.113.9' counters history 'history 1'
	doctor 'top --once' metrics 'import iptables' 'plan - --against running')

names_text() {
	local command words
	hostile_names
	for command in "${COMMANDS[@]}"; do
		read -ra words <<<"$command"
		masq "${words[@]}" <"$CONFIG" >out 2>&1 || true
		harmless "$command" out
		# to a terminal, with colours
		lab_in node script -qec "$(printf '%q ' "$MASQBPF" "${words[@]}")" \
			/dev/null <"$CONFIG" >out 2>&1 || true
		case $command in 'plan -'*) ;; *) harmless "$command, tty" out tty ;; esac
	done
	masq check "$FILE" >out
	harmless check out
	masq plan "$FILE" --against "$FILE" >out
	harmless plan out
	masq status >out
	grep -qF 'u\x1b]0;pwn\x07' out || fail "$(cat out)"
	grep -qF 'd\x1b[2J/c.yaml' out || fail "$(cat out)"
}

names_json() {
	local command words count=0
	for command in status 'cidr list' 'explain 203.0.113.9' counters history \
		'history 1' doctor 'top --once' metrics flows; do
		read -ra words <<<"$command"
		masq "${words[@]}" --json >out || true
		"$PYTHON" strict.py 2>err || fail "$command: $(cat err)"
		count=$((count + 1))
	done
	# a name that is UTF-8 is that name
	masq status --json | jq -e --arg n "$TITLE" \
		'[.interfaces[].name] | index($n)' >/dev/null
	note "$count commands"
}

# No two series with the same labels, though nothing of a name is as it was.
names_metrics() {
	masq metrics >out
	is series "$(grep -c '^masqbpf_attached' out)" 5
	is "different ones" "$(grep '^masqbpf_attached' out | sort -u | wc -l)" 5
	if command -v promtool >/dev/null; then
		promtool check metrics <out
	fi
}

names_http() {
	local dev path
	agent -- --config "$FILE"
	for path in / /readyz /metrics; do
		lab_in node curl -s --max-time 10 $URL$path >out
		harmless $path out
	done
	harmless log "$LOG"
	end_agent
	clean
	for dev in "$TITLE" "$BYTES" "$OTHER" 'b\xed'; do
		lab_in node ip link del "$dev"
	done
}

# --- signals ----------------------------------------------------------------

# starts COMMAND with all that a parent can leave behind
badly() {
	lab_in node "$PYTHON" badly.py "$@"
}

CHAIN() {
	local ipt="lab_in node iptables-nft -w -t nat"
	lab_in node nft flush ruleset
	$ipt -N IP-MASQ-AGENT
	$ipt -A POSTROUTING -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT
	$ipt -A IP-MASQ-AGENT -d 10.0.0.0/8 -j RETURN
	$ipt -A IP-MASQ-AGENT -j MASQUERADE
}

jumps() {
	lab_in node iptables-nft -t nat -S POSTROUTING | grep -c IP-MASQ || true
}

bad_parent() {
	CHAIN
	badly "$MASQBPF" migrate eth0 --no-wait >out 2>&1 || fail "$(cat out)"
	is jumps "$(jumps)" 0
	badly "$MASQBPF" doctor --report report.tar >out 2>&1 || true
	[ "$(tar -tf report.tar | wc -l)" -gt 5 ] || fail "$(cat out)"
	lab_in node nft flush ruleset
}

# An alarm that is ignored or blocked must end a wait for a lock all the same.
bad_parent_lock() {
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	lab_spawn node flock "$MASQBPF_PIN_DIR" sleep 25
	lab_wait 5 is_locked
	not badly timeout -s KILL 60 "$MASQBPF" cidr add 192.0.2.0/24 2>err
	grep -q 'locked by' err || fail "$(cat err)"
	lab_wait 20 not is_locked
}

bad_parent_agent() {
	put_config 10.0.0.0/8
	agent "$PYTHON" badly.py -- --config "$CONFIG"
	end_agent
}

# Files that may not grow: what is saved for a reboot, and a log. That is said,
# and ends nobody.
no_file_grows() {
	put_config 10.0.0.0/8
	(ulimit -f 0 && masq attach -q eth0 --config "$CONFIG") 2>&1 | cat >out
	is attach "${PIPESTATUS[0]}" 0
	(ulimit -f 0 && masq cidr add 192.0.2.0/24) 2>&1 | cat >out
	is "cidr add" "${PIPESTATUS[0]}" 0
	masq status --json | jq -e '.problems | any(test("File too large"))' \
		>/dev/null || fail "$(masq status)"
	masq detach -q --all
	agent prlimit --fsize=0 -- --config "$CONFIG"
	put_config 10.0.0.0/9
	lab_wait 10 in_force 10.0.0.0/9
	end_agent
}

in_force() { # CIDR
	masq cidr list --json |
		jq -e --arg c "$1" '.prefixes | any(.prefix == $c)' >/dev/null
}

# --- an end in the midst of a migration ---------------------------------------

# interrupted STEP SIGNAL: when STEP is begun, to all that run, as by Ctrl-C
interrupted() {
	local group bin=$LAB_DIR/bin$1 tool=nft before
	[ "$1" = 1 ] || tool=iptables-nft
	CHAIN
	mkdir -p "$bin"
	# the step's tool takes its time, so that the signal meets it
	cat >"$bin/$tool" <<-EOF
		#!/bin/sh
		case "\$*" in *-D*|*-f*) touch "$LAB_DIR/met"; sleep 1 ;; esac
		exec $(command -v $tool) "\$@"
	EOF
	chmod +x "$bin/$tool"
	rm -f met
	before=$(lab_in node iptables-nft-save -t nat | grep -v '^#')
	# a group of its own, with the number of its first process
	(PATH=$bin:$PATH exec nsenter --net="$(lab_netns node)" -- \
		setsid "$MASQBPF" migrate eth0 >out 2>&1) &
	group=$!
	lab_wait 20 test -e met
	kill "-$2" -- "-$group"
	not wait $group || fail "$(cat out)"
	is rules "$(lab_in node iptables-nft-save -t nat | grep -v '^#')" "$before"
	not lab_in node nft list table inet masqbpf_migrate 2>/dev/null
	grep -q 'taking back' out || fail "$(cat out)"
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "attached: $(cat out)"
	# the next one is whole
	masq migrate eth0 --no-wait >out 2>&1 || fail "$(cat out)"
	is jumps "$(jumps)" 0
	lab_in node nft flush ruleset
}

# --- descriptors ----------------------------------------------------------------

inherited() {
	local pid fds
	put_config 10.0.0.0/8
	echo secret >secret
	chmod 600 secret
	exec 9<secret 77<secret
	agent -- --config "$CONFIG"
	exec 9<&- 77<&-
	for pid in "$AGENT" $(pgrep -P "$AGENT"); do
		fds=$(ls -l "/proc/$pid/fd")
		case $fds in *secret*) fail "$fds" ;; esac
		is "directory of $(cat "/proc/$pid/comm")" \
			"$(readlink "/proc/$pid/cwd")" /
	done
	end_agent
}

# What runs for us, of others, gets none either.
inherited_by_tools() {
	CHAIN
	mkdir -p bin
	cat >bin/nft <<-EOF
		#!/bin/sh
		ls -l /proc/\$\$/fd >>"$LAB_DIR/fds"
		exec $(command -v nft) "\$@"
	EOF
	chmod +x bin/nft
	echo secret >secret
	rm -f fds
	(
		exec 9<secret
		PATH=$LAB_DIR/bin:$PATH masq migrate eth0 --no-wait
	) >out 2>&1 || fail "$(cat out)"
	[ -s fds ] || fail "no tool was run"
	not grep secret fds
	lab_in node nft flush ruleset
}

# in_bare_dev COMMAND...: where there is no /dev/null, nor anything else
in_bare_dev() {
	unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@"' sh \
		nsenter --net="$(lab_netns node)" -- "$@"
}

no_dev_null() {
	CHAIN
	in_bare_dev "$MASQBPF" migrate eth0 --no-wait >out 2>&1 ||
		fail "$(cat out)"
	is jumps "$(jumps)" 0
	in_bare_dev "$MASQBPF" status >out <&-
	grep -q '^health' out
	not in_bare_dev "$MASQBPF" status >&- 2>err
	grep -q 'stdout: write failed' err || fail "$(cat err)"
	in_bare_dev "$MASQBPF" doctor --report dev.tar <&- >out 2>&1 || true
	[ "$(tar -tf dev.tar | wc -l)" -gt 5 ] || fail "$(cat out)"
	lab_in node nft flush ruleset
}

# --- long paths -----------------------------------------------------------------

long_paths() {
	local length dir path status before command
	put_config 10.0.0.0/8
	masq attach -q eth0 --config "$CONFIG"
	before=$(masq status)
	for length in 255 256 400; do
		dir=$LAB_DIR/l/$(printf 'd%.0s' {1..120})
		path=$dir/$(printf 'e%.0s' $(seq $((length - ${#dir} - 3))))/c
		# no name has more than 255 bytes
		[ $length -lt 400 ] ||
			path=$dir/$(printf 'e%.0s' {1..100})/$(printf 'f%.0s' $(seq $((length - ${#dir} - 104))))/c
		is length ${#path} $length
		mkdir -p "${path%/*}"
		cp "$CONFIG" "$path"
		for command in check plan 'reload --config' 'attach eth0 --config'; do
			status=0
			# shellcheck disable=SC2086 # words
			masq $command "$path" >/dev/null 2>err || status=$?
			if [ $length = 255 ]; then
				is "$command" $status 0
				continue
			fi
			is "$command: $(cat err)" $status 2
			is lines "$(wc -l <err)" 1
			grep -q 'longer than 255 bytes' err || fail "$(cat err)"
		done
		[ $length != 255 ] || before=$(masq status)
	done
	is after "$(masq status)" "$before"
	# and what is short where one stands
	cd "${path%/*}"
	not masq check c 2>"$LAB_DIR/err"
	grep -q 'longer than 255 bytes' "$LAB_DIR/err"
}

# --- what stays wrong -------------------------------------------------------------

# More local routes than masq_nets holds: one warning, however often it looks.
full_once() {
	local i
	for ((i = 0; i < 1100; i++)); do
		echo "route add local 198.18.$((i / 250)).$((i % 250))/32 dev lo"
	done >batch.txt
	lab_in node ip -batch batch.txt
	put_config 10.0.0.0/8
	agent -- --config "$CONFIG"
	lab_wait 5 grep -q 'masq_nets: .*more than it holds' "$LOG"
	for i in 1 2 3; do # each is a reason to look
		lab_in node ip addr add 10.142.0.4$i/20 dev eth0
		lab_wait 20 known 10.142.0.4$i
	done
	is warnings "$(grep -c 'more than it holds' "$LOG")" 1
	end_agent
	sed -i 's/route add/route del/' batch.txt
	lab_in node ip -batch batch.txt
	for i in 1 2 3; do
		lab_in node ip addr del 10.142.0.4$i/20 dev eth0
	done
}

key_of() { # ADDRESS: as bpftool tells its bytes
	local bytes
	IFS=. read -ra bytes <<<"$1"
	printf '0x%02x ' "${bytes[@]}"
}

known() { # ADDRESS: the agent has looked since it came
	bpftool -j map dump pinned "$MASQBPF_PIN_DIR/masq_local" |
		jq -e --arg a "$(key_of "$1")" \
			'any(.[].key[:4]; (join(" ") + " ") == $a)' >/dev/null
}

# --- users --------------------------------------------------------------------------

# nobody does COMMAND: as node-exporter and many others run
nobody() {
	lab_in node setpriv --reuid 65534 --regid 65534 --clear-groups \
		--inh-caps=-all --bounding-set=-all "$@"
}

own_user() {
	local pid user
	put_config 10.0.0.0/8
	agent -- --config "$CONFIG"
	user=$(awk '/^Uid/ { print $2 }' "/proc/$AGENT/status")
	is user "$user" "$(id -u masqbpf 2>/dev/null || echo 60842)"
	for pid in "$AGENT" $(pgrep -P "$AGENT"); do
		not nobody kill -0 "$pid" 2>/dev/null || fail "kill"
		not nobody prlimit --pid "$pid" --nofile=3:3 2>/dev/null ||
			fail "prlimit"
		not nobody ls "/proc/$pid/fd" >/dev/null 2>&1 || fail "fd"
		not nobody head -c1 "/proc/$pid/mem" >/dev/null 2>&1 ||
			fail "mem"
	done
	ready
	end_agent
}

# --- HTTP ---------------------------------------------------------------------------

# asks HOST: the status of its answer
asks() {
	lab_in node curl -s -o /dev/null -w '%{http_code}' --max-time 5 \
		-H "Host: $1" $URL/healthz || true
}

hosts() {
	local host own
	own=$(hostname)
	put_config 10.0.0.0/8
	agent -- --config "$CONFIG"
	for host in 127.0.0.1:9842 127.0.0.1 '[::1]:9842' '[fe80::1%25eth0]' \
		10.142.0.6:9842 localhost localhost:9842 LOCALHOST. \
		"$own" "${own^^}:9842" "${own%%.*}:9842" ''; do
		is "Host: $host" "$(asks "$host")" 200
	done
	for host in evil.example evil.example:9842 127.0.0.1.evil.example \
		localhost.evil.example "$own.evil.example" 2130706433 \
		'[::1' '[evil]' 'a@127.0.0.1' "$(printf 'x%.0s' {1..300})"; do
		is "Host: $host" "$(asks "$host")" 421
	done
	# none at all, as of HTTP/1.0
	is "no Host" "$(lab_in node curl -0 -s -o /dev/null -w '%{http_code}' \
		-H 'Host:' $URL/healthz)" 200
	end_agent
}

FLOOD='
import socket, sys, threading, time
end = time.time() + float(sys.argv[1])
def ask(i):
    while time.time() < end:
        try:
            s = socket.socket()
            s.bind((f"127.0.0.{2 + i % 2}", 0))
            s.connect(("127.0.0.1", 9842))
            s.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 200)
            s.settimeout(15)
            while s.recv(1 << 20):
                pass
        except OSError:
            pass
for i in range(16):
    threading.Thread(target=ask, args=(i,), daemon=True).start()
time.sleep(float(sys.argv[1]))
'

# The page of a large policy, as often as sixteen can ask.
flooded() {
	local i before after
	{
		printf 'cidrLimit: 60000\nnonMasqueradeCIDRs:\n'
		for ((i = 0; i < 50000; i++)); do
			echo "- 11.$((i / 65536)).$((i / 256 % 256)).$((i % 256))/32"
		done
	} >"$CONFIG"
	agent -- --config "$CONFIG"
	nobody "$PYTHON" -c "$FLOOD" 20 &
	lab_wait 10 crowded_a_little
	before=$(awk '{ print $14 + $15 }' "/proc/$AGENT/stat")
	for i in {1..5}; do
		lab_in node curl -sf --max-time $((10 * TEST_SLOW)) \
			$URL/healthz >/dev/null || fail "probe $i"
	done
	# and what else it has to do is done
	lab_in node ip addr add 10.142.0.49/20 dev eth0
	lab_wait 20 known 10.142.0.49
	after=$(awk '{ print $14 + $15 }' "/proc/$AGENT/stat")
	note "$((after - before)) ticks"
	lab_in node ip addr del 10.142.0.49/20 dev eth0
	wait
	end_agent
}

HOLD='
import os, select, socket, sys, time
end = time.time() + float(sys.argv[1])
kind = sys.argv[2]
whole = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
words = {"is silent": b"", "dribbles": b"G", "reads nothing": whole,
         "asks again": whole * 3}[kind]
poll = select.epoll()
held = {}
def one(i):
    s = socket.socket()
    s.setblocking(False)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
    try:
        s.bind((f"127.0.0.{2 + i % 4}", 0))
        s.connect_ex(("127.0.0.1", 9842))
        poll.register(s, select.EPOLLOUT | select.EPOLLONESHOT)
    except OSError:
        pass
    held[s.fileno()] = (s, i)
for i in range(900):
    one(i)
while time.time() < end:
    for fd, what in poll.poll(0.02):
        s, i = held.pop(fd)
        again = what & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP)
        try:
            if what & select.EPOLLOUT and words:
                s.send(words)
        except OSError:
            again = True
        if again:
            s.close() # and at once another
            one(i)
        else:
            held[fd] = (s, i)
            poll.modify(fd, select.EPOLLRDHUP | select.EPOLLONESHOT)
'

# More connections than are held at once, renewed as soon as they end.
held() {
	local kind i holder
	put_config 10.0.0.0/8
	agent -- --config "$CONFIG"
	for kind in "is silent" dribbles "reads nothing" "asks again"; do
		nobody "$PYTHON" -c "$HOLD" $((20 * TEST_SLOW)) "$kind" &
		holder=$!
		lab_wait 10 crowded
		for i in {1..10}; do
			lab_in node curl -sf --max-time $((5 * TEST_SLOW)) \
				$URL/healthz >/dev/null || fail "$kind, probe $i"
		done
		lab_in node curl -sf --max-time $((5 * TEST_SLOW)) \
			$URL/metrics | grep -c '^masqbpf_flows' >/dev/null ||
			fail "$kind, metrics"
		kill -0 $holder || fail "$kind: it did not last"
		kill $holder
		wait $holder || true
	done
	end_agent
}

crowded() {
	[ "$(lab_in node ss -Htn state established 'dport = :9842' | wc -l)" -ge 300 ]
}

crowded_a_little() {
	[ "$(lab_in node ss -Htn state established 'sport = :9842' | wc -l)" -ge 4 ]
}

cat >strict.py <<'PY'
import json
def no(word):
    raise ValueError(word)
text = open("out", "rb").read().decode("utf-8")
assert not set(text) & set("\x1b\x07\x9b")
json.loads(text, parse_constant=no)
PY
cat >badly.py <<'PY'
import os, signal, sys
for s in signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM, signal.SIGPIPE:
    signal.signal(s, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
os.execvp(sys.argv[1], sys.argv[1:])
PY
FILE=$LAB_DIR/$'d\x1b[2J'/c.yaml
put_config 10.0.0.0/8
row "hostile names, in text" names_text
row "hostile names, in JSON" names_json
row "hostile names, in metrics" names_metrics
tidy_row "hostile names, over HTTP and in the log" names_http
if command -v iptables-nft >/dev/null; then
	tidy_row "a parent that ignores and blocks signals" bad_parent
	tidy_row "migrate: Ctrl-C while its table is made" interrupted 1 INT
	tidy_row "migrate: SIGTERM while the jump is removed" interrupted 3 TERM
	tidy_row "its tools inherit no descriptor" inherited_by_tools
	tidy_row "no /dev/null" no_dev_null
else
	row_skip "migrate" "no iptables-nft: apt-get install iptables"
fi
tidy_row "a parent that blocks alarms: a lock's wait ends" bad_parent_lock
tidy_row "a parent that blocks SIGTERM: the agent ends" bad_parent_agent
tidy_row "a parent that lets no file grow" no_file_grows
tidy_row "the agent inherits no descriptor and no directory" inherited
tidy_row "a path too long to record" long_paths
tidy_row "more local routes than fit: said once" full_once
tidy_row "the agent's user is nobody else's" own_user
tidy_row "HTTP under another's name" hosts
tidy_row "HTTP asked for a large page without end" flooded
tidy_row "HTTP held by a neighbour" held
tap_done
