#!/usr/bin/env bash
# Where conntrack's functions for programs are a module's: it comes after the
# attach, and who loads programs may not use it.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PORT=443
lab_begin
chmod 755 "$LAB_DIR"
lab_node_far
lab_pod pod1 10.44.14.15
lab_serve far $PORT
lab_nat masqbpf

asked() {
	masq doctor --json >"$LAB_DIR/doctor" || true
	jq -r '.findings[] | select(.check == "conntrack") |
		"\(.level): \(.what)"' "$LAB_DIR/doctor"
}

unprivileged() {
	lab_in node setpriv --bounding-set -sys_admin --inh-caps -sys_admin \
		"$MASQBPF" "$@"
}

# A connection over whatever COMMAND does: a pod's, or that of TALKS.
TALKS=(pod1 talk "$FAR_ADDR" "$PORT" --sport 41000)
over() {
	local before after
	coproc FLOW { traffic "${TALKS[@]}" --timeout 10; }
	echo >&"${FLOW[1]}"
	read -r before <&"${FLOW[0]}"
	"$@"
	echo >&"${FLOW[1]}"
	read -r after <&"${FLOW[0]}"
	is "the connection" "$after" "$before"
	eval "exec ${FLOW[1]}>&-"
	wait "$FLOW_PID" || true
}

it_comes_later() {
	lab_kernel_before 5.18 && skip "no functions for programs"
	[[ $(asked) = "ok: not there"* ]] ||
		skip "nf_conntrack is in this kernel: $(asked)"
	modprobe nf_conntrack
	[[ $(asked) = "note: nf_conntrack is there"* ]] || fail "$(asked)"
	over masq attach eth0
	is now "$(asked)" "ok: asked at a flow's first packet"
	# and once is enough
	masq attach eth0 2>&1 | grep -q 'programs of version' &&
		fail "again"
	true
}

without_the_right() {
	local config=$LAB_DIR/more.yaml
	cp "$LAB_DIR/config.yaml" "$config"
	echo 'maxFlows: 100000' >>"$config"
	over unprivileged reload --config "$config"
	is maxFlows "$(masq status --json | jq .flows_max)" 100000
	over unprivileged attach eth0
	over masq attach eth0
	lab_kernel_before 5.18 ||
		is now "$(asked)" "ok: asked at a flow's first packet"
}

first_without_the_right() {
	masq detach --all
	unprivileged attach eth0 --config "$LAB_DIR/config.yaml"
	echo | traffic pod1 talk $FAR_ADDR $PORT --timeout 3 |
		grep -q "^$NODE_ADDR "
	over masq attach eth0
	lab_kernel_before 5.18 ||
		is now "$(asked)" "ok: asked at a flow's first packet"
}

# What cannot be looked at is not gone: no program is put in for that.
nothing_is_gone() {
	local before path
	masq attach -q eth0
	before=$(programs)
	for path in /sys/kernel/btf/vmlinux /sys/kernel/btf/nf_conntrack; do
		[ -e $path ] || continue
		lab_in node strace -f -qq -o "$LAB_DIR/calls" -P $path \
			-e inject=openat,newfstatat,access,faccessat,faccessat2:error=ENOENT \
			"$MASQBPF" attach -q eth0
		grep -c INJECTED "$LAB_DIR/calls" >/dev/null ||
			fail "$path is not looked at"
		is "programs without $path" "$(programs)" "$before"
	done
	# nor what takes rights to find out
	lab_in node setpriv --bounding-set -all,+net_admin \
		--inh-caps -all,+net_admin "$MASQBPF" attach -q eth0
	is "programs without rights" "$(programs)" "$before"
}

# another one when they are put in anew
programs() {
	stat -c %i "$MASQBPF_PIN_DIR/masq_egress"
}

hooked() {
	lab_in node "$PYTHON" "$LAB_LIB/foreign.py" tcx-list eth0 egress
}

is_asked() {
	[[ $(asked) = "ok: asked at a flow's first packet" ]]
}

has_size() {
	[ "$(masq status --json | jq .flows_max)" = "$1" ]
}

is_ready() {
	lab_in node curl -sf --max-time 5 http://127.0.0.1:9842/readyz \
		>/dev/null
}

until_asked() {
	lab_wait 30 is_asked
}

module_comes() {
	modprobe nf_conntrack
	until_asked
}

other_size() {
	echo 'maxFlows: 100000' >>"$LAB_DIR/agent.yaml"
	lab_wait 30 has_size 100000
	until_asked
}

hook_is_back() {
	[ "$(hooked)" = "$1" ]
}

# The helper hooks what has been put in, not what it began with.
hook_removed() {
	local was
	[ "$(lab_hook)" = tcx ] || return 0
	was=$(hooked)
	rm "$MASQBPF_PIN_DIR"/tcx_egress_*
	lab_wait 30 hook_is_back "$was"
}

unload() {
	modprobe -q -r nf_conntrack_netlink || true
	modprobe -r nf_conntrack
}

module_goes() {
	masq detach -q --all
	# programs that are gone let go of it a moment later
	lab_wait 20 unload
}

by_itself() {
	local agent
	lab_kernel_before 5.18 && skip "no functions for programs"
	[[ $(asked) = "ok: not there"* ]] ||
		skip "nf_conntrack is in this kernel: $(asked)"
	cp "$LAB_DIR/config.yaml" "$LAB_DIR/agent.yaml"
	lab_spawn node "$MASQBPF" agent --config "$LAB_DIR/agent.yaml" eth0
	agent=$LAB_PID
	lab_wait 20 is_ready
	over module_comes
	over hook_removed
	over other_size
	kill "$agent"
	wait "$agent" || true
}

port_got() { # SPORT: which one a datagram from there leaves by
	masq flush -q >/dev/null
	lab_in pod1 "$PYTHON" -c '
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", int(sys.argv[1])))
sock.sendto(b"x", ("172.30.0.1", 1024))' "$1"
	lab_wait 5 has_flow "$1"
	masq flows --json | jq ".[] | select(.orig.sport == $1) | .xlat.sport"
}

has_flow() {
	masq flows --json | jq -e "any(.[]; .orig.sport == $1)" >/dev/null
}

# An entry counts from when on this network's packets are looked up.
used_later() {
	is_asked || skip "conntrack is not asked: $(asked)"
	lab_in node "$PYTHON" "$LAB_LIB/conntrack.py" 2 $NODE_ADDR 40009 \
		>/dev/null
	is "the port, nothing is tracked" "$(port_got 40009)" 40009
	lab_tracks node
	[ "$(port_got 40009)" != 40009 ] || fail "has netfilter's port"
}

# What the node's own socket sends to a service, as kube-proxy sends it on:
# 10.96.0.1 is far, and its port 42078 becomes 42079.
services() {
	lab_in node nft -f - <<-EOF
		table ip services {
			chain out {
				type nat hook output priority -100
				ip daddr 10.96.0.1 dnat to $FAR_ADDR
			}
			chain post {
				type nat hook postrouting priority srcnat
				ip protocol tcp tcp sport 42078 \
					masquerade to :42079
				ip protocol udp udp sport 42078 \
					masquerade to :42079
			}
		}
	EOF
	[ ! -e /sys/kernel/btf/vmlinux ] ||
		lab_in node strace -f -qq -o "$LAB_DIR/calls" \
			-P /sys/kernel/btf/vmlinux \
			-e inject=openat,newfstatat,access,faccessat,faccessat2:error=ENOENT \
			"$MASQBPF" attach -q eth0 --config "$LAB_DIR/config.yaml"
	[ -e /sys/kernel/btf/vmlinux ] || lab_nat masqbpf
	! is_asked || fail "conntrack is asked"
}

# A pod has the port that the node's flow has by now.
pod_sends() { # PROTO PORT
	local seen
	seen=$(echo | traffic pod1 talk $FAR_ADDR $PORT --proto "$1" \
		--sport "$2" --timeout 5)
	[[ $seen = "$NODE_ADDR "* && $seen != "$NODE_ADDR $2" ]] ||
		fail "the pod is seen as: $seen"
}

changed_by_netfilter() {
	local proto
	masq detach -q --all
	services
	for proto in udp tcp; do
		TALKS=(node talk 10.96.0.1 "$PORT" --proto "$proto" --sport 42078)
		over pod_sends $proto 42079
		TALKS=(node talk 10.96.0.1 "$PORT" --proto "$proto" --sport 42080)
		over pod_sends $proto 42080
	done
	# its socket says all of it
	masq flush -q >/dev/null
	for proto in udp tcp; do
		echo | traffic node talk $FAR_ADDR $PORT --proto $proto \
			--sport 42081 --timeout 5 >/dev/null
	done
	is "records of what is not changed" \
		"$(masq flows | grep -c 42081 || true)" 0
}

row "a look that fails" nothing_is_gone
row "nf_conntrack comes while the agent runs" by_itself
if [ -e /sys/kernel/btf/nf_conntrack ]; then
	module_goes
	lab_nat masqbpf
fi
row "nf_conntrack comes after the attach" it_comes_later
row "another size without CAP_SYS_ADMIN" without_the_right
row "a first attach without CAP_SYS_ADMIN" first_without_the_right
row "conntrack is used later" used_later
row "what netfilter makes of the node's own, where conntrack is not asked" \
	changed_by_netfilter
tap_done
