#!/usr/bin/env bash
# Interfaces as people have and name them: lists, patterns, alternative names;
# a bridge with a machine on it as uplink; a card that becomes a port while the
# agent runs; what is no uplink.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PORT=443
URL=http://127.0.0.1:9842
VM=10.142.0.77
ALT=enp3s0np0withalongername

lab_agent 10.44.14.15
# a second card without a way out
lab_link node eth1 far eth1
lab_in node ip link property add dev eth0 altname $ALT
# a machine that is no pod of this node
lab_ns vm
lab_link vm eth0 node tap0
lab_in vm ip addr add $VM/20 dev eth0
lab_in vm ip route add default via $FAR_GATEWAY
LOG=$LAB_DIR/log

attached() {
	masq status --json 2>/dev/null |
		jq -r '[.interfaces[] | select(.attached).name] | join(" ")'
}

attached_are() {
	[ "$(attached)" = "$*" ]
}

# names WANT ARG...: what these arguments attach
names() {
	masq attach "${@:2}" --preset ip-masq-agent 2>"$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/err")"
	is attached "$(attached)" "$1"
	masq detach --all -q
}

# refused PATTERN ARG...: with these words, and nothing is there afterwards
refused() {
	! masq attach "${@:2}" --preset reserved 2>"$LAB_DIR/err" ||
		fail "attached: $(attached)"
	grep -q -- "$1" "$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
	lab_nothing_left eth0 eth1 pod1 lo
}

# warned PATTERN ARG...
warned() {
	masq attach "${@:2}" --preset reserved 2>"$LAB_DIR/err"
	masq detach --all -q
	grep -q -- "warning: $1" "$LAB_DIR/err" || fail "$(cat "$LAB_DIR/err")"
}

row "an alternative name" names eth0 $ALT
row "a list" names "eth0 eth1" eth0,eth1
row "a list with an alternative name, twice the same" names "eth0 eth1" \
	"eth1,$ALT,eth0"
row "a pattern as iptables has it, of those with a way out" names eth0 'eth+'
row "a pattern as shells have it" names eth0 'eth*'
row "a pattern for an alternative name" names eth0 'enp?s0*'
row "all that there is: no pod, no loopback" names eth0 '*'
row "refused: a list with a name that is not there" \
	refused 'nosuch: attach: no such interface' eth0,nosuch
row "refused: a list with nothing in it" \
	refused 'no interface can have this name' eth0,
row "refused: a pattern that nothing matches" \
	refused 'x+: attach: no interface matches' 'x+'
row "refused: a pattern whose interfaces have no way out" \
	refused 'pod+: attach: no route to outside' 'pod+'
row "refused: lo" refused 'lo: attach: the loopback interface' lo
row "refused: lo in a list" refused 'lo: attach: the loopback' eth0,lo
row "warned of: a pod's interface" \
	warned 'pod1: attach: no route to what is masqueraded leads by it' pod1
row "warned of: a card without a route" \
	warned 'eth1: attach: no route to what is masqueraded' eth1

detach_by_name() {
	masq attach eth0 eth1 --preset reserved -q 2>/dev/null
	masq detach 'eth1,nosuch' 2>/dev/null && fail "a name that is not there"
	masq detach "eth1,$ALT"
	lab_nothing_left eth0 eth1
	masq attach eth0 eth1 --preset reserved -q 2>/dev/null
	! masq detach 'x*' 2>"$LAB_DIR/err" || fail "detached: x*"
	grep -q 'nothing that matches is attached' "$LAB_DIR/err"
	masq detach 'eth+'
	lab_nothing_left eth0 eth1
}
row "detach by list, other name and pattern" detach_by_name

# --- a bridge ---------------------------------------------------------------

# make_bridge: eth0 becomes a port of br0, beside a machine
make_bridge() {
	lab_in node ip link add br0 type bridge
	lab_in node ip link set br0 up
	lab_in node ip addr flush dev eth0
	lab_in node ip link set eth0 master br0
	lab_in node ip link set tap0 master br0
	lab_in node ip addr add $NODE_ADDR/20 dev br0
	lab_in node ip route replace default via $FAR_GATEWAY
}

end_bridge() {
	lab_in node ip link del br0
	lab_in node ip addr add $NODE_ADDR/20 dev eth0
	lab_in node ip route replace default via $FAR_GATEWAY
}

# saw NS PROTO SPORT: who the server saw
saw() {
	echo | traffic "$1" talk $FAR_ADDR $PORT --proto "$2" --sport "$3" \
		--timeout 3
}

# both_right SPORT: the pod is translated, the machine is not
both_right() {
	is "the pod, UDP" "$(saw pod1 udp "$1")" "$NODE_ADDR $1"
	is "the pod, TCP" "$(saw pod1 tcp "$1")" "$NODE_ADDR $1"
	is "the machine, UDP" "$(saw vm udp "$1")" "$VM $1"
	is "the machine, TCP" "$(saw vm tcp "$1")" "$VM $1"
}

bridge_by() { # SPORT ARG...
	masq attach "${@:2}" --preset gke-before-1.14 -q 2>"$LAB_DIR/err"
	is attached "$(attached)" br0
	both_right "$1"
	masq detach --all -q
}

# What the machine sends by way of this node is routed, and so a pod's, unless
# podCIDRs says whose pods are here.
by_way_of_node() {
	lab_in vm ip route replace default via $NODE_ADDR
	lab_in vm sysctl -qw net.ipv4.conf.eth0.accept_redirects=0 \
		net.ipv4.conf.all.accept_redirects=0
	masq attach br0 --preset gke-before-1.14 -q 2>"$LAB_DIR/err"
	is "the machine, UDP" "$(saw vm udp 46101)" "$NODE_ADDR 46101"
	is "the machine, TCP" "$(saw vm tcp 46102)" "$NODE_ADDR 46102"
	printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8]' \
		'podCIDRs: [10.44.0.0/16]' >"$LAB_DIR/pods.yaml"
	masq reload -q --config "$LAB_DIR/pods.yaml"
	is "the machine, UDP, no pod" "$(saw vm udp 46103)" "$VM 46103"
	is "the machine, TCP, no pod" "$(saw vm tcp 46104)" "$VM 46104"
	is "the pod" "$(saw pod1 udp 46105)" "$NODE_ADDR 46105"
	masq detach --all -q
	lab_in vm ip route replace default via $FAR_GATEWAY
}

# the hooks stay on the card until somebody attaches again
card_becomes_port() {
	end_bridge
	masq attach eth0 --preset gke-before-1.14 -q
	make_bridge
	masq status 2>&1 | grep -q 'eth0: a port of br0' ||
		fail "$(masq status)"
	masq attach eth0 2>"$LAB_DIR/err"
	grep -q "eth0: its hooks are br0's now" "$LAB_DIR/err" ||
		fail "$(cat "$LAB_DIR/err")"
	is attached "$(attached)" br0
	is "hooks of the card" "$(lab_ours eth0)" 0
	both_right 47000
	masq detach eth0 # by the name that it was attached by
	lab_nothing_left eth0 br0
	end_bridge
}

ready() {
	lab_in node curl -sf --max-time $((5 * TEST_SLOW)) $URL/readyz >/dev/null
}

gone() {
	! kill -0 "$1" 2>/dev/null
}

# A row is a subshell: what it has started is told by a file.
echo 0 >"$LAB_DIR/agent"
agent() { # ARG...
	stop # of a row that failed
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$LAB_DIR/agent.yaml"
	lab_spawn node "$MASQBPF" agent --config "$LAB_DIR/agent.yaml" "$@" \
		2>"$LOG"
	echo "$LAB_PID" >"$LAB_DIR/agent"
	lab_wait 20 ready || fail "$(cat "$LOG")"
}

stop() {
	local pid
	pid=$(cat "$LAB_DIR/agent")
	[ "$pid" != 0 ] || return 0
	kill "$pid"
	lab_wait 5 gone "$pid"
	echo 0 >"$LAB_DIR/agent"
	masq detach --all -q
}

agent_moves() { # ARG: what the agent is told to attach
	agent "$1"
	is attached "$(attached)" eth0
	make_bridge
	lab_wait 10 attached_are br0 || fail "$(cat "$LOG")"
	is "hooks of the card" "$(lab_ours eth0)" 0
	both_right 48000
	end_bridge
	lab_wait 10 attached_are eth0 || fail "$(cat "$LOG")"
	is "the pod, UDP" "$(saw pod1 udp 48010)" "$NODE_ADDR 48010"
	stop
}

# bundle KIND: bond0 or team0, a whole without cards
bundle() {
	case $1 in
	bond)
		lab_in node ip link add bond0 type bond mode active-backup \
			miimon 50 2>/dev/null || skip "this kernel has no bonds"
		;;
	team)
		lab_in node ip link add team0 type team 2>/dev/null ||
			skip "this kernel has no teams"
		command -v teamnl >/dev/null ||
			fail "no teamnl: scripts/deps.sh kernels installs it"
		# gives its cards its address, which the others leave to teamd
		lab_in node teamnl team0 setoption mode roundrobin
		;;
	esac
}

# A bond is its cards' whole as a bridge is, and so is a team; a card goes down
# to become a port.
agent_bundles() { # KIND
	bundle "$1"
	agent eth0
	is attached "$(attached)" eth0
	lab_in node ip addr flush dev eth0
	lab_in node ip link set eth0 down
	lab_in node ip link set eth0 master "${1}0"
	lab_in node ip link set eth0 up
	lab_in node ip link set "${1}0" up
	lab_in node ip addr add $NODE_ADDR/20 dev "${1}0"
	lab_in node ip route replace default via $FAR_GATEWAY
	lab_wait 10 attached_are "${1}0" || fail "$(cat "$LOG")"
	is "hooks of the card" "$(lab_ours eth0)" 0
	is "the pod, UDP" "$(saw pod1 udp 48020)" "$NODE_ADDR 48020"
	is "the pod, TCP" "$(saw pod1 tcp 48020)" "$NODE_ADDR 48020"
	lab_in node ip link del "${1}0"
	lab_in node ip link set eth0 up
	lab_in node ip addr add $NODE_ADDR/20 dev eth0
	lab_in node ip route replace default via $FAR_GATEWAY
	lab_wait 10 attached_are eth0 || fail "$(cat "$LOG")"
	is "the pod, UDP" "$(saw pod1 udp 48021)" "$NODE_ADDR 48021"
	stop
}

agent_waits() {
	agent eth0,up1
	is attached "$(attached)" eth0
	grep -q 'up1: no such interface; it is attached when it comes' "$LOG"
	lab_in node ip link set eth1 name up1
	lab_wait 10 attached_are eth0 up1 || fail "$(cat "$LOG")"
	stop
	lab_in node ip link set up1 name eth1
}

# Interfaces without Ethernet header have programs of their own, which are
# loaded when the first one comes; no flow notices.
tun() { # NAME
	lab_in node ip tuntap add "$1" mode tun 2>/dev/null ||
		skip "no tun devices here"
}

no_tun() { # NAME...
	local name
	for name; do
		lab_in node ip link del "$name" 2>/dev/null || true
	done
}

program_at() { # DEV PROGRAM
	lab_programs "$1" | grep -qw "$2"
}

flow_begin() {
	coproc FLOW { traffic pod1 talk $FAR_ADDR $PORT --sport 48030; }
	goes_on before
}

goes_on() { # WHEN
	local answer
	echo >&"${FLOW[1]}"
	read -r -t 10 answer <&"${FLOW[0]}" || answer=nothing
	is "$1" "$answer" "$NODE_ADDR 48030"
}

flow_end() {
	eval "exec ${FLOW[1]}>&-"
	wait "$FLOW_PID" || true
}

tun_attached() {
	trap 'masq detach -q --all 2>/dev/null || true; no_tun tun0' EXIT
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$LAB_DIR/tun.yaml"
	masq attach -q eth0 --config "$LAB_DIR/tun.yaml"
	[ ! -e "$MASQBPF_PIN_DIR/masq_egress_l3" ] ||
		fail "programs that nothing needs"
	flow_begin
	tun tun0
	masq attach -q tun0
	is attached "$(attached)" "eth0 tun0"
	program_at tun0 masq_egress_l3 || fail "$(lab_programs tun0)"
	program_at eth0 masq_egress || fail "$(lab_programs eth0)"
	goes_on "loaded"
	# another size, with and without it
	echo 'maxFlows: 4096' >>"$LAB_DIR/tun.yaml"
	masq reload -q --config "$LAB_DIR/tun.yaml"
	program_at tun0 masq_egress_l3 || fail "$(lab_programs tun0)"
	goes_on "another size"
	masq detach -q tun0
	no_tun tun0
	echo 'maxFlows: 8192' >>"$LAB_DIR/tun.yaml"
	sed -i '/4096/d' "$LAB_DIR/tun.yaml"
	masq reload -q --config "$LAB_DIR/tun.yaml"
	goes_on "gone"
	is health "$(masq status --json | jq -r .health)" ok
	tun tun0
	masq attach -q tun0
	program_at tun0 masq_ingress_l3 || fail "$(lab_programs tun0)"
	goes_on "there again"
	flow_end
	masq detach -q --all
	lab_nothing_left eth0 tun0
}

tun_comes() {
	trap 'no_tun tun0 tun1' EXIT
	agent eth0,tun0
	[ ! -e "$MASQBPF_PIN_DIR/masq_egress_l3" ] ||
		fail "programs that nothing needs"
	flow_begin
	# one that is only watched
	tun tun1
	lab_wait 10 program_at tun1 masq_beside_l3 || fail "$(cat "$LOG")"
	goes_on "watched"
	tun tun0
	lab_wait 10 attached_are eth0 tun0 || fail "$(cat "$LOG")"
	program_at tun0 masq_egress_l3 || fail "$(lab_programs tun0)"
	goes_on "attached"
	flow_end
	stop
}

agent_auto() {
	agent up1,auto
	is attached "$(attached)" eth0
	! grep -q 'auto: no such interface' "$LOG" || fail "$(cat "$LOG")"
	stop
}

agent_refuses() {
	! lab_in node timeout 10 "$MASQBPF" agent eth0,lo 2>"$LOG" ||
		fail "it runs"
	grep -q 'lo: agent: the loopback interface' "$LOG" ||
		fail "$(cat "$LOG")"
	lab_nothing_left eth0
}

row "agent: a list, a part of which comes later" agent_waits
row "an interface without Ethernet header" tun_attached
row "agent: the same, which comes later" tun_comes
row "agent: auto in a list" agent_auto
row "agent: a card becomes a bridge's port and a card again" agent_moves eth0
row "agent: the same, by an alternative name" agent_moves $ALT
row "agent: the same, by a pattern" agent_moves 'eth+'
row "agent: a card becomes a bond's port and a card again" agent_bundles bond
row "agent: a card becomes a team's port and a card again" agent_bundles team
row "agent: lo is refused" agent_refuses
make_bridge
row "a bridge as uplink" bridge_by 46000 br0
row "its port: the bridge is meant" bridge_by 46001 eth0
row "a machine by way of this node" by_way_of_node
row "both" bridge_by 46002 br0 eth0
row "a card that becomes a port, without an agent" card_becomes_port
tap_done
