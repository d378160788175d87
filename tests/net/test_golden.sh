#!/usr/bin/env bash
# What the commands print, to the letter, on one lab after one sequence of
# events: compared with tests/net/golden/*.txt. What cannot be the same twice
# is a word in capitals there. GOLDEN=write writes the files anew; what is
# different then is for the author's eyes.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

# where lines end depends on how long paths are
unset TMPDIR
GOLDEN_DIR=$LAB_ROOT/tests/net/golden
POD=10.44.14.15

lab_begin
export MASQBPF_CNI_RESULTS=$LAB_DIR/cni
lab_node_far
lab_pod pod $POD
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_serve far 443
lab_serve pod 80
cd "$LAB_DIR"

reserved() {
	echo nonMasqueradeCIDRs:
	printf -- '- %s\n' 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 \
		100.64.0.0/10 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 \
		198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4
}

# exchange NS DEST PORT SPORT [ARG...]: one datagram, and its answer
exchange() {
	echo | traffic "$1" talk "$2" "$3" --sport "$4" --proto udp "${@:5}"
}

# What happens, once, before everything that is looked at. Datagrams, because
# their number and size is the same each time.
events() {
	reserved >reserved.yaml
	sed '/172.16/d; /192.168/d' reserved.yaml >narrower.yaml
	{
		cat reserved.yaml
		echo '- 10.0.0.300/8'
		echo 'masqueradeCIDRs: ["2001:db8::1/48", 192.0.2.0/24]'
		echo 'timeouts: {udp: 5}'
	} >bad.yaml
	# this kind of hook every kernel has
	masq attach eth0 --hook tc --config reserved.yaml
	masq cidr add 172.30.0.0/16 --masquerade
	is "masqueraded" "$(exchange pod $FAR_ADDR 443 40001)" \
		"$NODE_ADDR 40001"
	is "unanswered" "$(exchange pod 192.168.77.1 443 40002 --timeout 0.1)" \
		none
	is "inbound" "$(exchange far $POD 80 40003 --source $FAR_ADDR)" \
		"$FAR_ADDR 40003"
	masq history --json | jq -r 'first(.. | .who? // empty)' >user
	grep -q . user
}

# Ages, paths, numbers of programs, whoever runs this, ARP; what older kernels
# lack.
steady() {
	sed -E "s,$LAB_DIR,/LAB,g
		/^  [A-Za-z]+ +([a-z]+, for )?[0-9hms]+$/! \
			s/ *\b[0-9]+[dhms]([0-9]+[hms])*\b/ AGE/g
		s/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}/YYYY-MM-DD HH:MM:SS/g
		s/\b(masq_[a-z]+)\[[0-9]+\]/\1[ID]/
		s/^(eth0) \([0-9]+\)/\1 (N)/
		s/(masqbpf) [0-9]+\.[0-9.]+\)/\1 VERSION)/
		s/\b$(cat user)(:|  +) *masqbpf/USER\1 masqbpf/
		s/(WHO|USER)  +/\1  /
		s/^not_ip +[0-9]+/not_ip N/
		s/[0-9.]+ ms\b/N ms/
		s/ \(the uplink's: this kernel tells no route's source\)//
		s/^(fast path +off:) .*/\1 .../"
}

# printed NAME COMMAND...: as a user sees it, with the exit status
printed() {
	local status=0
	masq "${@:2}" >out 2>&1 </dev/null || status=$?
	[ $status -eq 0 ] || echo "(exit status $status)" >>out
	{
		echo "\$ masqbpf ${*:2}"
		steady <out
	} >"$1.txt"
	judge "$1"
}

judge() {
	if [ "${GOLDEN-}" = write ]; then
		cp "$1.txt" "$GOLDEN_DIR/$1.txt"
	else
		diff -u --label "golden/$1.txt" --label "is printed now" \
			"$GOLDEN_DIR/$1.txt" "$1.txt"
	fi
}

# printed_table NAME COMMAND...: in the order in which it is printed, without
# what was passed besides (IPv6 has a life of its own)
printed_table() {
	masq "${@:2}" >out
	{
		echo "\$ masqbpf ${*:2}"
		sed '/^PASSED/,$d' out
	} | steady >"$1.txt"
	judge "$1"
}

# Flows come in no order.
printed_flows() {
	masq "${@:2}" >out
	{
		echo "\$ masqbpf ${*:2}"
		head -1 out
		tail -n +2 out | sort
	} | steady >"$1.txt"
	judge "$1"
}

# IPv6 and names in words as long as they get, at two widths.
six() {
	lab_ipv6
	lab_serve far 8443 $FAR_ADDR6
	mkdir cni
	lab_cni_file ptp checkout-worker-6f7d9c8b54-x2x7q $POD fd00:44::15 pod
	{
		reserved
		echo '- 2001:db8:1234:5678:9abc:def0::/96'
	} >six.yaml
	printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8, 2001:db8:30::/48]' \
		'masqueradeCIDRs: [2001:db8:30:0:8000::/66]' \
		'timeouts: {udp: 45s}' >other.yaml
	masq attach eth0 --hook tc --config six.yaml
	is "IPv6" "$(exchange pod $FAR_ADDR6 8443 40011)" "$NODE_ADDR6 40011"
	is "unanswered" "$(exchange pod \
		2001:db8:1234:5678:9abc:def0:1234:5678 65432 40012 \
		--timeout 0.1)" none
	is "IPv4" "$(exchange pod $FAR_ADDR 443 40013)" "$POD 40013"
	# what runs and is not in the file, in use
	masq cidr add 2001:db8:30::/48 --keep
}

# at COLUMNS NAME COMMAND...: and no line is longer, and no word is torn
at() {
	COLUMNS=$1 "$2" "${@:3}"
	is "longer lines" "$(awk -v most="$1" 'length > most' out)" ""
	tr -s ' ' '\n' <out | sort >words
	# a terminal as wide as anybody likes
	if [ "$2" = printed ]; then
		masq "${@:4}" 2>&1 </dev/null | tr -s ' ' '\n' | sort >all
		diff <(steady_words <all) <(steady_words <words)
	fi
}

# Numbers that time changes.
steady_words() {
	sed -E 's/[0-9.]+/N/g' | sort -u
}

# What a machine says of itself has as many columns.
fits() { # COLUMNS COMMAND...
	COLUMNS=$1 masq "${@:2}" >out || true
	is "longer lines" "$(awk -v most="$1" 'length > most' out)" ""
}

# Of what this machine is only that it was looked at; the lab's in full. What is
# worse comes later, so by name here.
printed_doctor() {
	local full='ports|uplinks|mtu|overlap|unreplied|flows|drops'
	masq doctor >out || true
	{
		echo "\$ masqbpf doctor"
		sed -E "/^[a-z]+ +($full) /!s/^[a-z]+ +([a-z-]+) .*/LEVEL \1 .../
			/^[0-9]+ ok/s/[0-9]+/N/g
			/^[0-9]+ ok/s/(note|warning),/\1s,/g
			/^ +>/d" out | LC_ALL=C sort -u
	} | steady >"$1.txt"
	judge "$1"
}

mkdir -p "$GOLDEN_DIR"
row "a policy, an exception, three flows" events
if row_ok; then
	row "reload of a bad file" printed reload_bad reload --config bad.yaml
	row "status" printed status status
	row "cidr list" printed cidr_list cidr list
	row "explain: masqueraded" printed explain_masqueraded explain $FAR_ADDR
	row "explain: unanswered" printed explain_unanswered \
		explain 192.168.77.1
	row "flows" printed_flows flows flows
	row "flows --unreplied" printed_flows flows_unreplied flows --unreplied
	row "counters" printed counters counters
	row "plan" printed plan plan narrower.yaml
	row "history" printed history history
	row "check" printed check check reserved.yaml
	row "check of a bad file" printed check_bad check bad.yaml
	row "doctor" printed_doctor doctor
	row "detach" printed detach detach --all
	row "status afterwards" printed status_none status
	row "explain afterwards" printed explain_none explain $FAR_ADDR
fi
row "IPv6" six
if row_ok; then
	row "flows -o wide, 80 columns" at 80 printed_table flows_80_wide \
		flows -o wide --sort dest
	for columns in 80 200; do
		row "flows, $columns columns" at $columns \
			printed_table flows_$columns flows --sort dest
		row "counters, $columns columns" at $columns \
			printed_table counters_$columns counters
		row "cidr list, $columns columns" at $columns \
			printed cidr_list_$columns cidr list
		row "status, $columns columns" at $columns \
			printed status_$columns status
		row "explain, $columns columns" at $columns \
			printed explain_$columns explain \
			2001:db8:1234:5678:9abc:def0:1234:5678
		row "plan, $columns columns" at $columns \
			printed plan_$columns plan other.yaml
		row "history of a change, $columns columns" at $columns \
			printed history_$columns history 2
		row "probe, $columns columns" at $columns \
			printed probe_$columns probe -q "[$FAR_ADDR6]:8443"
		row "top, $columns columns" at $columns \
			printed top_$columns top --once --interval 0.1
		row "check, $columns columns" at $columns \
			printed check_$columns check six.yaml
		row "help, $columns columns" at $columns \
			printed help_$columns help agent
		row "doctor, $columns columns" fits $columns doctor
		row "history, $columns columns" fits $columns history
	done
	row "explain: what stays here" printed explain_stays explain fd00:44::15
fi
tap_done
