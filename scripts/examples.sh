#!/usr/bin/env bash
# Runs the examples of the documentation and writes down what they print, so
# that they stay true. A block that begins with ```console holds lines
# WHERE$ COMMAND and below each of them its output: WHERE is node, pod or far
# of a lab like that of the demo, or a bare $ for a machine without masqbpf
# running (a pipeline). Needs root.
set -euo pipefail

usage() {
	cat <<-EOF
		usage: ${0##*/} [--check] [FILE...]

		  --check   change nothing; status 1 when a file (default:
		            README.md, docs/incident.md) is not what the commands print.
		            Times, ports and ids may differ
	EOF
}

check=
while [ $# -gt 0 ]; do
	case $1 in
	--check) check=1 ;;
	-h | --help)
		usage
		exit
		;;
	-*)
		usage >&2
		exit 2
		;;
	*) break ;;
	esac
	shift
done
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- README.md docs/incident.md
[ "$(id -u)" -eq 0 ] || {
	echo "${0##*/}: namespaces and BPF need root" >&2
	exit 2
}
unset MASQBPF MASQBPF_PIN_DIR
. tests/lib/lab.sh

# --- the lab of the examples ------------------------------------------------

config() { # CIDR...
	local cidr
	echo nonMasqueradeCIDRs:
	for cidr; do
		echo "- $cidr"
	done
	printf 'podCIDRs:\n- 10.44.0.0/16\n'
}

manifest() { # CONFIG
	cat <<-EOF
		apiVersion: v1
		kind: ConfigMap
		metadata:
		  name: ip-masq-agent
		  namespace: kube-system
		data:
		  config: |
	EOF
	sed 's/^/    /' "$1"
}

# Two pods have had a connection to the peer for a while.
begin() {
	local pod
	lab_begin
	chmod 755 "$LAB_DIR" # for the agent, which reads its file as nobody
	lab_node_far
	lab_pod pod 10.44.14.15
	lab_pod pod2 10.44.14.16
	lab_reject $POD_NET
	lab_serve far 443
	mkdir -p "$LAB_DIR/etc/masqbpf"
	cd "$LAB_DIR/etc/masqbpf"
	config 10.0.0.0/8 >old.yaml
	config 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 \
		100.64.0.0/10 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 \
		198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 \
		>upgraded.yaml
	manifest old.yaml >configmap.yaml
	manifest upgraded.yaml >configmap-upgraded.yaml
	masq attach eth0 --config old.yaml 2>"$LAB_DIR/log"
	for pod in pod pod2; do
		lab_spawn $pod "$PYTHON" "$LAB_LIB/traffic.py" stream \
			$FAR_ADDR 443 --stop "$LAB_DIR/stop" \
			--progress "$LAB_DIR/progress-$pod" >/dev/null 2>&1
		lab_wait 10 test -s "$LAB_DIR/progress-$pod"
	done
}

# run WHERE COMMAND: both outputs, as a terminal would show them
run() {
	local where=$1 command=$2
	set +e
	if [ -z "$where" ]; then
		(exec </dev/null 2>&1 && PATH=$BIN:$PATH bash -c "$command")
	else
		PATH=$BIN:$PATH lab_in "$where" bash -c "$command" 2>&1 \
			</dev/null
	fi | sed "s,$LAB_DIR,,g"
	set -e
}

# filled FILE: the file with the output of now
filled() {
	local line block=
	while IFS= read -r line; do
		if [ "$line" = '```console' ]; then
			block=1
		elif [ "$line" = '```' ]; then
			block=
		elif [ "$block" ]; then
			[[ $line =~ ^([a-z0-9]*)\$\ (.*)$ ]] || continue
			printf '%s\n' "$line"
			run "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
			continue
		fi
		printf '%s\n' "$line"
	done <"$1"
}

# What is not the same each time: times, ports, counts of a live transfer.
steady() {
	sed -E 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}/TIME/g
		s/\b([0-9]+d)?([0-9]+h)?([0-9]+m)?[0-9]+s\b/AGE/g
		s/:(3[2-9]|[4-6][0-9])[0-9]{3}\b/:PORT/g
		s/[0-9.]+ ([KMG]i)?B\b/SIZE/g
		s/[0-9]+ answered flows?/N answered flows/
		s/  +/  /g'
}

BIN=$PWD/build
files=()
for file; do
	files+=("$(realpath "$file")")
done
make -s -j2 all >&2
status=0
for file in "${files[@]}"; do
	# each file begins with a lab of its own
	(
		begin
		filled "$file" >"$LAB_DIR/filled"
		if [ -z "$check" ]; then
			cat "$LAB_DIR/filled" >"$file"
		else
			diff -u --label "$file" --label "what is printed now" \
				<(steady <"$file") <(steady <"$LAB_DIR/filled")
		fi
	) || status=1
done
exit $status
