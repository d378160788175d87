#!/usr/bin/env bash
# Bad input: every bad CIDR, key, file, interface, option gets one clear line
# on stderr and the right exit code, and nothing changes.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

lab_begin
lab_node_far
lab_pod pod1 10.44.14.15
mkdir "$LAB_DIR/files"
cd "$LAB_DIR/files"

# The policy and what is attached; "none" without an instance.
state() {
	masq cidr list --json 2>/dev/null || echo none
	masq status --json 2>/dev/null |
		jq -c '[.generation, .config, .interfaces]' || echo none
	ls "$LAB_DIR/bpf"
}

# What every refused command has to leave as it is; after each real change.
remember_state() {
	state >"$LAB_DIR/remembered"
}

# answers CODE PATTERN COMMAND...: one line on stderr that matches, nothing
# on stdout, the exit code, and the state that was remembered
answers() {
	local code=$1 pattern=$2 status=0
	shift 2
	timeout 10 "$@" >"$LAB_DIR/out" 2>"$LAB_DIR/err" </dev/null ||
		status=$?
	cat "$LAB_DIR/err"
	is "exit code" $status "$code"
	is "lines on stderr" "$(wc -l <"$LAB_DIR/err")" 1
	grep -q '^masqbpf: ' "$LAB_DIR/err" || fail "the line has no 'masqbpf: '"
	grep -Eqi -- "$pattern" "$LAB_DIR/err" ||
		fail "the line does not say '$pattern'"
	is stdout "$(cat "$LAB_DIR/out")" ""
	is state "$(state)" "$(cat "$LAB_DIR/remembered")"
}

# refused CODE PATTERN ARG...: a row of masqbpf with these arguments
refused() {
	row "$1: masqbpf ${*:3}" answers "$1" "$2" \
		nsenter --net="$(lab_netns node)" -- "$MASQBPF" "${@:3}"
}

# works COMMAND...: exit 0
works() {
	"$@" >/dev/null
}

# bad_file NAME PATTERN: check, attach, reload and cidr set take it alike
bad_file() {
	refused 2 "$2" check "$1"
	refused 2 "$2" attach eth0 --config "$1"
}

# A CIDR that is refused wherever one is wanted.
bad_cidr() {
	refused 2 "${2:-$1}" cidr add "$1"
	refused 2 "${2:-$1}" cidr del "$1"
	printf '192.0.2.0/24\n%s\n' "$1" >list
	[ -z "$1" ] || refused 2 'list:2' cidr set list
	printf 'nonMasqueradeCIDRs:\n- 192.0.2.0/24\n- "%s"\n' "$1" >cidr.yaml
	refused 2 'cidr.yaml:3:3' check cidr.yaml
}

# --- before there is an instance --------------------------------------------

remember_state
for command in status counters flows "cidr list" "explain 8.8.8.8" \
	"cidr add 192.0.2.0/24" "detach eth0" "detach --all" flush reload; do
	# shellcheck disable=SC2086 # words
	refused 1 'not attached' $command
done
# a message names the next step
refused 1 'masqbpf attach IFACE' status
refused 1 'nosuch0.*ip link' attach nosuch0
refused 2 'example.com: .*getent' explain example.com
refused 2 'IFACE' attach
refused 2 hook attach eth0 --hook xdp
refused 2 preset attach eth0 --preset gke
refused 2 'preset|config' attach eth0 --preset reserved --config x.yaml
refused 2 'missing.yaml' attach eth0 --config missing.yaml
refused 1 'bpffs.* below one' attach eth0 --pin-dir "$LAB_DIR/files/pins"

for caps in -all -net_admin,-sys_admin; do
	row "1: attach with capabilities $caps" answers 1 CAP_NET_ADMIN \
		nsenter --net="$(lab_netns node)" -- \
		setpriv --bounding-set $caps --inh-caps $caps -- \
		"$MASQBPF" attach eth0
done

# ip netns exec gives the command a /sys that ends with it.
row "1: attach where pins would vanish" answers 1 'nsenter --net=' \
	env -u MASQBPF_PIN_DIR \
	ip netns exec "$LAB_ID-node" "$MASQBPF" attach eth0
# shellcheck disable=SC2016 # for the inner shell
row "1: attach in a mount namespace with a bpffs of its own" \
	answers 1 'nsenter --net=' \
	nsenter --net="$(lab_netns node)" -- unshare -m bash -c \
	'mount -t bpf none "$1" && exec "$2" attach eth0 --pin-dir "$1/x"' \
	- "$LAB_DIR/files" "$MASQBPF"

# --- beside a running one ---------------------------------------------------

cat >good.yaml <<'EOF'
nonMasqueradeCIDRs:
- 10.0.0.0/8
- 192.168.0.0/16
EOF
row "attach" works masq attach eth0 --config good.yaml
row_ok || { tap_done; exit; }
row "add" works masq cidr add 198.51.100.0/24 --masquerade
remember_state

refused 2 'no command' --
refused 2 'frobnicate' frobnicate
refused 2 'stat' stat
refused 2 'verb' status --verb
refused 2 'json' status --json=yes
refused 2 'bogus' status --bogus
refused 2 'x' status x
refused 2 'pin-dir' status --pin-dir
refused 2 'pin-dir' status --pin-dir ''
refused 2 'cidr' cidr
refused 2 'frob' cidr frob 10.0.0.0/8
refused 2 'CIDR' cidr add
refused 2 'masquerade|keep' cidr add 192.0.2.0/24 --masquerade --keep
refused 2 'DEST|needs' explain

for cidr in abc 10.0.0.0/33 10.0.0.0/-1 10.0.0.0/8x 10.0.0.0/ /8 \
	10.0.0.0//8 10.256.0.0/16 1.2.3/24 1.2.3.4.5/8 010.0.0.0/8 \
	0x0a.0.0.0/8 10.0.0.0/99999999999999999999 \
	2001:db8::/129 2001:db8::g/64 2001:::/16 '-1.0.0.0/8'; do
	# an operand that begins with a dash comes behind --
	case $cidr in
	-*) refused 2 "$cidr" cidr add -- "$cidr" ;;
	*) bad_cidr "$cidr" ;;
	esac
done
bad_cidr '' ''
refused 2 '"? 10.0.0.0/8' cidr add ' 10.0.0.0/8'
bad_cidr 10.1.2.3/8 '10\.0\.0\.0/8' # host bits: it says what was meant
bad_cidr 2001:db8::1/32 '2001:db8::/32'
refused 1 '10\.0\.0\.0/8' cidr add 10.0.0.0/8
refused 1 '192\.0\.2\.0/24' cidr del 192.0.2.0/24
refused 2 'missing' cidr set missing
printf '192.0.2.0/24 frob\n' >list
refused 2 'list:1.*frob' cidr set list
printf '192.0.2.0/24 keep keep\n' >list
refused 2 'list:1' cidr set list
: >list
refused 2 'list: names no prefix: nothing is set' cidr set list
printf '# 10.0.0.0/8\n\n' >list
refused 2 'names no prefix' cidr set list

refused 2 not-an-address explain not-an-address
refused 2 10.0.0.0/8 explain 10.0.0.0/8
refused 2 proto explain 8.8.8.8 --proto frob
refused 2 port explain 8.8.8.8 --port 65536
refused 2 port explain 8.8.8.8 --port 80x
refused 2 source explain 8.8.8.8 --source frob
for command in flows flush; do
	refused 2 proto $command --proto frob
	refused 2 port $command --port 65536
	refused 2 port $command --port -1
	refused 2 port $command --node-port ''
	refused 2 pod $command --pod frob
	refused 2 dest $command --dest 10.0.0.1/8
	refused 2 state $command --state frob
	refused 2 action $command --action frob
	refused 2 prefix $command --prefix frob
done

for command in flows flush watch; do
	refused 2 'ICMP has none' $command --proto icmp --port 4
done
refused 2 'format text: excludes --json' watch --json --format text
refused 2 'vpc-flow-log: excludes --json' watch --format vpc-flow-log --json
# a word behind an option that takes one or none, and is no operand either
for word in ON maybe true 1; do
	refused 2 "--fast-path $word: not auto, on or off" \
		attach eth0 --fast-path $word
done
refused 2 '--color NEVER: not one of' status --color NEVER
refused 2 '--guard=5: a duration needs a unit: did you mean 5s' \
	cidr add 192.0.2.0/24 --guard 5
refused 2 '--guard=5: a duration needs a unit' rollback 1 --guard 5
refused 1 'generation 5: not kept' rollback --guard 5
bad_cidr 192.0.2.1/32,192.0.2.2/32 'contains a comma: one at a time'

# notes STDERR-PATTERN ARG...: done, with a word more on stderr
notes() {
	local pattern=$1
	shift
	masq "$@" >"$LAB_DIR/out" 2>"$LAB_DIR/err" </dev/null
	cat "$LAB_DIR/err"
	grep -Eq -- "$pattern" "$LAB_DIR/err" || fail "no '$pattern'"
	is state "$(state)" "$(cat "$LAB_DIR/remembered")"
}
row "a port behind an IPv6 address" notes \
	'^masqbpf: explain: 2001:db8::1:443: .*: \[2001:db8::1\]:443$' \
	explain 2001:db8::1:443
silent() { # ARG...: nothing on stderr
	is stderr "$(masq "$@" 2>&1 >/dev/null)" ""
}
for address in 2001:db8::443 2001:db8::1:4 '[2001:db8::1]:443' \
	'[2001:db8::1:443]' 2001:db8:1:2:3:4:5:443; do
	row "no port is meant: $address" silent explain "$address"
done
row "a source that no pod has" notes \
	'^masqbpf: explain: --source 10.99.0.1: no route leads to such a pod' \
	explain 8.8.8.8 --source 10.99.0.1
row "a source that a pod has" silent explain 8.8.8.8 --source 10.44.14.15
for range in 224.0.0.0/4 127.0.0.0/8; do
	row "cidr add $range" notes "cidr: $range has no effect: " \
		cidr add $range --dry-run
	row "$range is treated as before" test -z \
		"$(masq cidr add $range --dry-run 2>&1 | grep becomes)"
done
for what in "help flows" "completion bash"; do
	# shellcheck disable=SC2086 # words
	refused 2 'json: .*text alone' $what --json
done
# A dry run says as JSON what plan does.
dry_json() { # FLIPS ARG...
	local flips=$1
	shift
	masq "$@" --dry-run --json >"$LAB_DIR/out" 2>/dev/null
	is keys "$(jq -c 'keys_unsorted' "$LAB_DIR/out")" \
		'["changes","flips","source_flips","settings","warnings"]'
	is flips "$(jq -c '[.flips[] | [.range, .from, .to]]' "$LAB_DIR/out")" \
		"$flips"
	is state "$(state)" "$(cat "$LAB_DIR/remembered")"
}
row "cidr add --dry-run --json" dry_json \
	'[["203.0.113.0/24","masquerade","keep"]]' cidr add 203.0.113.0/24
row "rollback --dry-run --json" dry_json '[]' rollback 1
row "reload --dry-run --json" dry_json '[]' reload
shown_states() {
	local state
	for state in unreplied answered new established closing closed; do
		masq flows --state $state >/dev/null 2>&1
	done
}
row "every state that is shown" shown_states

refused 1 nosuch0 attach nosuch0
refused 1 nosuch0 attach eth0 nosuch0
refused 1 nosuch0 detach nosuch0
refused 2 'IFACE|needs' detach
refused 2 'all' detach eth0 --all

# --- files ------------------------------------------------------------------

refused 2 missing.yaml check missing.yaml
refused 2 missing.yaml reload --config missing.yaml
mkdir dir
mkfifo fifo
bad_file dir 'dir'
bad_file fifo 'fifo'
bad_file /dev/zero '/dev/zero'
printf 'nonMasqueradeCIDRs: [10.0.0.0/8\n' >bracket.yaml
bad_file bracket.yaml 'bracket.yaml:[0-9]+:[0-9]+: '
printf 'nonMasqueradeCIDRs:\n\t- 10.0.0.0/8\n' >tab.yaml
bad_file tab.yaml 'tab.yaml:2:1: '
printf '{"nonMasqueradeCIDRs": ["10.0.0.0/8",]}' >comma.json
bad_file comma.json 'comma.json:1:[0-9]+: '
printf 'nonMasqueradeCIDRs: 10.0.0.0/8\n' >scalar.yaml
bad_file scalar.yaml 'scalar.yaml:1:21: '
printf 'masqLinkLocal: maybe\n' >bool.yaml
bad_file bool.yaml 'bool.yaml:1:16: .*maybe'
printf 'resyncInterval: 60\n' >interval.yaml
bad_file interval.yaml 'interval.yaml:1:17: '
printf 'resyncInterval: 0s\n' >interval.yaml
bad_file interval.yaml 'interval.yaml:1:17: '
printf 'nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [10.0.0.0/8]\n' \
	>both.yaml
bad_file both.yaml 'both.yaml:2:[0-9]+: .*10\.0\.0\.0/8'
printf 'nonMasqueradeCIDRs: [~]\n' >null.yaml
bad_file null.yaml 'null.yaml:1:22: '
printf 'nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 10.0.0.1/8\n' >host.yaml
bad_file host.yaml 'host.yaml:3:3: .*10\.0\.0\.0/8'
printf 'cidrLimit: 2\n' >limit.yaml
bad_file limit.yaml 'limit.yaml:1:[0-9]+: '
printf 'snat: {portRange: 70000-80000}\n' >ports.yaml
bad_file ports.yaml 'ports.yaml:1:19: '
printf 'snat: {portRange: 2000-1000}\n' >ports.yaml
bad_file ports.yaml 'ports.yaml:1:19: '
printf 'maxFlows: 0\n' >flows.yaml
bad_file flows.yaml 'flows.yaml:1:11: '
printf 'timeouts: {udp: 1x}\n' >timeout.yaml
bad_file timeout.yaml 'timeout.yaml:1:17: '
printf '\0\0\0\0' >nul.yaml
bad_file nul.yaml 'nul.yaml'
{ printf 'nonMasqueradeCIDRs: '; printf '[%.0s' {1..5000}; } >deep.yaml
bad_file deep.yaml 'deep.yaml:1:'
refused 2 'scalar.yaml:1:21: ' reload --config scalar.yaml
printf 'nonMasqueradeCIDR: []\n' >typo.yaml
refused 2 'typo.yaml:1:1: .*nonMasqueradeCIDRs' check --strict typo.yaml

# --- pins that are not to be trusted ----------------------------------------

cp "$LAB_DIR/remembered" "$LAB_DIR/state.before"
other_version() {
	local abi
	abi=$("$PYTHON" "$LAB_LIB/foreign.py" peek "$MASQBPF_PIN_DIR/masq_meta" 4 4)
	"$PYTHON" "$LAB_LIB/foreign.py" poke "$MASQBPF_PIN_DIR/masq_meta" 4 4 9999
	trap '"$PYTHON" "$LAB_LIB/foreign.py" poke \
		"$MASQBPF_PIN_DIR/masq_meta" 4 4 '"$abi" EXIT
	remember_state
	answers 1 'version|layout|abi' \
		nsenter --net="$(lab_netns node)" -- "$MASQBPF" "$@"
}
row "1: status of pins of another version" other_version status
row "1: attach to pins of another version" other_version attach eth0
row "1: cidr add to pins of another version" \
	other_version cidr add 192.0.2.0/24

not_ours() {
	chown "$1" "$MASQBPF_PIN_DIR"
	chmod "$2" "$MASQBPF_PIN_DIR"
	trap 'chown 0 "$MASQBPF_PIN_DIR"; chmod 700 "$MASQBPF_PIN_DIR"' EXIT
	remember_state
	answers 1 'not trusted' \
		nsenter --net="$(lab_netns node)" -- "$MASQBPF" status
}
row "1: pins in somebody else's directory" not_ours 65534 700
row "1: pins in a directory that others may write" not_ours 0 777

row "all of it is still there" diff <(state) "$LAB_DIR/state.before"

# --- output that cannot be written ------------------------------------------

full_disk() {
	local status=0
	masq "$@" >/dev/full 2>"$LAB_DIR/err" || status=$?
	is "exit code" $status 1
	is "lines on stderr" "$(wc -l <"$LAB_DIR/err")" 1
}
row "1: status onto a full disk" full_disk status
row "1: counters onto a full disk" full_disk counters --json

row "0: masqbpf --version" works masq --version
row "0: masqbpf --help" works masq --help
detached() {
	masq detach eth0 --json >"$LAB_DIR/out"
	is detached "$(jq -c . "$LAB_DIR/out")" \
		'{"detached":["eth0"],"instance_removed":true}'
	masq attach -q eth0 --config good.yaml
	masq detach --all --json >"$LAB_DIR/out"
	is detached "$(jq -c . "$LAB_DIR/out")" \
		'{"detached":["eth0"],"instance_removed":true}'
}
row "detach" detached
row "nothing is left" test ! -e "$MASQBPF_PIN_DIR"
tap_done
