#!/usr/bin/env bash
# The main job on a throw-away lab: builds masqbpf, replays the incident that
# it was made for with real TCP, and leaves nothing behind. Needs root.
# Every claim that it prints was checked just then; the first one that does
# not hold ends it with status 1.
#
# With the path of a masqbpf it uses that one, and builds and installs nothing.
set -euo pipefail

[ $# -eq 0 ] || { [ $# -eq 1 ] && [ -f "$1" ] && [ -x "$1" ]; } || {
	echo "usage: ${0##*/} [MASQBPF]    (needs root; see README.md)"
	[ "$1" = -h ] || [ "$1" = --help ]
	exit
}
[ "$(id -u)" -eq 0 ] || {
	echo "${0##*/}: namespaces and BPF need root" >&2
	exit 1
}
unset MASQBPF MASQBPF_PIN_DIR
[ $# -eq 0 ] || MASQBPF=$(realpath "$1")
cd "$(dirname "$0")/.."
. tests/lib/lab.sh

POD=10.44.14.15
PORT=443

# --- what it prints ---------------------------------------------------------

bold='' dim='' red='' green='' off=''
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' off=$'\e[0m'
fi

heading() {
	printf '\n%s%s%s\n' "$bold" "$1" "$off"
}

say() {
	printf '  %s\n' "$@"
}

indent() {
	sed 's/^/    /'
}

colour_actions() {
	sed -E "s/REJECT/$red&$off/; s/ACCEPT/$green&$off/"
}

broken() {
	printf '  %sFAILED%s %s\n' "$red" "$off" "$*" >&2
	exit 1
}

# ok CLAIM COMMAND...: prints the claim when the command agrees
ok() {
	local claim=$1
	shift
	"$@" || broken "$claim"
	printf '  %sok%s %s\n' "$green" "$off" "$claim"
}

# run ARG...: masqbpf on the node, shown as a user would type it
run() {
	printf '\n  %snode$%s masqbpf %s\n' "$dim" "$off" "$*"
	masq "$@" 2>&1 | indent || broken "masqbpf $*"
	echo
}

# --- the far side -----------------------------------------------------------

# The far firewall accepts 10.128.0.0/9 and keeps the flow log of it: SRC DST
# SPORT DPORT PROTOCOL PACKETS BYTES ACTION STATUS, as clouds write it. The
# rule that decides counts as well, so the log is what really happened.
firewall() {
	local tuple='{ ip saddr . ip daddr . tcp sport . tcp dport }'
	lab_in far nft -f - <<-EOF
		table ip firewall {
			set accepted {
				type ipv4_addr . ipv4_addr . inet_service . inet_service
				size 65535
				flags dynamic
				counter
			}
			set rejected {
				type ipv4_addr . ipv4_addr . inet_service . inet_service
				size 65535
				flags dynamic
				counter
			}
			chain in {
				type filter hook input priority filter
				iifname != eth0 accept
				ip protocol != tcp accept
				ip saddr 10.128.0.0/9 update @accepted $tuple accept
				update @rejected $tuple drop
			}
		}
	EOF
}

# flow_log [SPORT]: all of it, or of one source port
flow_log() {
	local action
	for action in accept reject; do
		lab_in far nft -j list set ip firewall ${action}ed |
			jq -r --arg action ${action^^} --arg port "${1-}" '
			.nftables[].set.elem[]?.elem |
			select($port == "" or (.val.concat[2] | tostring) == $port) |
			"\(.val.concat | map(tostring) | join(" ")) 6 \(.counter.packets) \(.counter.bytes) \($action) OK"'
	done
}

logged() { # SRC ACTION SPORT
	flow_log "$3" | grep "^$1 $FAR_ADDR $3 $PORT .* $2 OK" >/dev/null
}

show_log() { # SPORT...
	local port
	say "The far side's flow log:"
	for port; do
		flow_log "$port" | colour_actions | indent
	done
}

# --- the pod ----------------------------------------------------------------

# A connection that was there before everything and is used all along.
open_old_connection() {
	coproc OLD {
		exec nsenter --net="$(lab_netns pod)" -- "$PYTHON" \
			"$LAB_LIB/traffic.py" talk $FAR_ADDR $PORT \
			--sport 40001 --timeout 5
	}
	disown "$OLD_PID" # no "Killed" from bash when the lab ends
	old_connection_works
}

old_connection_works() {
	local answer
	echo >&"${OLD[1]}" && read -r answer <&"${OLD[0]}" &&
		[ "$answer" = "$NODE_ADDR 40001" ]
}

connects() { # NS SPORT SOURCE
	[ "$(word source "$(traffic "$1" who $FAR_ADDR $PORT --sport "$2")")" = "$3" ]
}

# The pod's next connection, in the background: it is going to hang.
start_connection() { # SPORT
	traffic pod who $FAR_ADDR $PORT --sport "$1" --timeout 30 \
		>"$LAB_DIR/hanging" 2>&1 &
	hanging=$!
}

hangs() {
	kill -0 "$hanging" && [ ! -s "$LAB_DIR/hanging" ]
}

finishes() {
	wait "$hanging" &&
		[ "$(word source "$(cat "$LAB_DIR/hanging")")" = $NODE_ADDR ]
}

json_says() { # COMMAND... FILTER
	masq "${@:1:$#-1}" --json | jq -e "${*: -1}" >/dev/null
}

# --- set-up -----------------------------------------------------------------

quietly() { # WHAT COMMAND...
	local what=$1
	shift
	printf '%s ... ' "$what"
	"$@" >"$LAB_DIR/log" 2>&1 || {
		echo failed
		cat "$LAB_DIR/log"
		exit 1
	}
	echo "done"
}

lab_begin
[ $# -gt 0 ] || {
	scripts/deps.sh demo # says how much, when there is something
	quietly "build" make -j2
}
start=$SECONDS

lab_node_far
lab_pod pod $POD
firewall
lab_serve far $PORT
cd "$LAB_DIR" # so that file names are short

cat >old.yaml <<'EOF'
nonMasqueradeCIDRs:
- 10.0.0.0/8
EOF
cat >upgraded.yaml <<'EOF'
nonMasqueradeCIDRs:
- 10.0.0.0/8
- 172.16.0.0/12
- 192.168.0.0/16
- 100.64.0.0/10
- 192.0.0.0/24
- 192.0.2.0/24
- 192.88.99.0/24
- 198.18.0.0/15
- 198.51.100.0/24
- 203.0.113.0/24
- 240.0.0.0/4
EOF
cp upgraded.yaml repaired.yaml
cat >>repaired.yaml <<'EOF'
masqueradeCIDRs:
- 172.30.0.0/16
EOF

# --- the incident -----------------------------------------------------------

heading "The lab: three network namespaces"
cat <<EOF

   pod               node                   peer network, behind a VPN
   $POD  ---  10.44.14.1
                     $NODE_ADDR eth0 ---  firewall  ---  $FAR_ADDR

EOF
say "The firewall accepts 10.128.0.0/9 and nothing else, and the peer network" \
	"has no route to pods: what comes from there must carry the node's address."

heading "1. Before the upgrade: everything but 10.0.0.0/8 is masqueraded"
run attach eth0 --config old.yaml
ok "no process is left; the kernel does the work" \
	[ -z "$(ip netns pids "$LAB_ID-node")" ]
ok "the pod connects to $FAR_ADDR" connects pod 40000 $NODE_ADDR
ok "the far side logs the node's address" logged $NODE_ADDR ACCEPT 40000
ok "a second connection stays open, to be used all along" open_old_connection
show_log 40000 40001

heading "2. The upgrade: the list becomes the eleven reserved ranges"
say "172.16.0.0/12 is among them, and covers the peer network."
run reload --config upgraded.yaml --yes
ok "from the node itself, all is well" connects node 40002 $NODE_ADDR
ok "the connection from before works on: live flows keep their treatment" \
	old_connection_works
start_connection 40003
ok "the pod's next connection leaves with the pod's own address ..." \
	lab_wait 5 logged $POD REJECT 40003
ok "... and hangs" hangs
show_log 40002 40003

heading "3. One command instead of fifteen hours"
run explain $FAR_ADDR
ok "it names the prefix and the line of the file" json_says explain $FAR_ADDR \
	'.action == "keep" and .prefix == "172.16.0.0/12" and
		(.origin | endswith("upgraded.yaml:3"))'
ok "it has seen the flow that nobody answers" json_says explain $FAR_ADDR \
	'.unreplied_flows == 1'
run flows --unreplied

say "And it could have been seen before it was applied:"
run plan upgraded.yaml --against old.yaml
ok "it names the range that flips" json_says \
	plan upgraded.yaml --against old.yaml \
	'.flips[] | select(.range == "172.16.0.0/12") |
		.from == "masquerade" and .to == "keep"'

heading "4. The repair, at runtime: masqueradeCIDRs: [172.30.0.0/16]"
say "A longer prefix wins, so the exception needs no other change."
ok "the connection from step 2 still hangs" hangs
run reload --config repaired.yaml
repaired=${EPOCHREALTIME/[.,]/}
ok "it heals by itself: the pod's next try gets the new treatment" finishes
say "   $(((${EPOCHREALTIME/[.,]/} - repaired) / 1000)) ms after the repair"
ok "the far side accepts it" logged $NODE_ADDR ACCEPT 40003
ok "the connection from before works on" old_connection_works
show_log 40003

heading "5. What the counters say"
run counters
ok "172.16.0.0/12, kept: packets went out, none came back" json_says counters \
	'.prefixes[] | select(.prefix == "172.16.0.0/12" and .action == "keep") |
		.egress.packets > 0 and .ingress.packets == 0'
ok "172.30.0.0/16, masqueraded: packets both ways" json_says counters \
	'.prefixes[] | select(.prefix == "172.30.0.0/16" and
		.action == "masquerade") | .egress.packets > 0 and
		.ingress.packets > 0 and .flows_total == 1'

heading "6. Away with it"
run detach --all
ok "no pin is left" [ ! -e "$MASQBPF_PIN_DIR" ]
cd /
lab_clean
set -e
ok "no namespace is left" [ -z "$(ip netns list | grep "$LAB_ID" || true)" ]
ok "no mount and no file is left" [ ! -e "$LAB_DIR" ]
trap - EXIT
printf '\n%sDone%s in %d seconds. Every line with ok was checked.\n' \
	"$bold" "$off" $((SECONDS - start))
