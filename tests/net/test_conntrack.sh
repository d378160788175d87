#!/usr/bin/env bash
# Where conntrack's functions for programs are a module's: it comes after the
# attach, and who loads programs may not use it.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PORT=443
lab_begin
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

# A connection over whatever COMMAND does.
over() {
	local before after
	coproc FLOW { traffic pod1 talk $FAR_ADDR $PORT --sport 41000 \
		--timeout 10; }
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

row "nf_conntrack comes after the attach" it_comes_later
row "another size without CAP_SYS_ADMIN" without_the_right
row "a first attach without CAP_SYS_ADMIN" first_without_the_right
tap_done
