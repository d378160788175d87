# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
# operator.sh - what the tests of what an operator looks at have in common: two
# pods, a node attached with old.yaml, a far side that answers. Sourced after
# tap.sh and lab.sh; goes to $LAB_DIR.

PORT=443
POD=10.44.14.15

lab_begin
lab_node_far
lab_pod pod1 $POD
lab_pod pod2 10.44.14.16
lab_serve far $PORT
cd "$LAB_DIR" || exit

config() { # CIDRS
	printf 'nonMasqueradeCIDRs: [%s]\npodCIDRs: [10.44.0.0/16]\n' "$1"
}

config 10.0.0.0/8 >old.yaml
config '10.0.0.0/8, 172.16.0.0/12' >new.yaml
masq attach eth0 --config old.yaml

# back: every row begins with old.yaml in force and no flow
back() {
	masq reload --yes --config old.yaml
	masq flush
}

json_is() { # NAME JSON FILTER WANT
	is "$1" "$(jq -c "$3" <<<"$2")" "$4"
}

# status_of COMMAND...: its exit status, its output to $LAB_DIR/out
status_of() {
	local status=0
	"$@" >"$LAB_DIR/out" 2>&1 || status=$?
	echo $status
}

# connect NS DEST [PORT]: does not wait for an answer that does not come
connect() {
	lab_in "$1" timeout "$((3 * TEST_SLOW))e-1" bash -c ": </dev/tcp/$2/${3:-$PORT}" 2>/dev/null ||
		true
}
