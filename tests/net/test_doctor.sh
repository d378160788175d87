#!/usr/bin/env bash
# masqbpf doctor: each thing that it finds, made in a lab and taken away again;
# every bad one and every warning says what to do. And its report.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/operator.sh"

# --- doctor -----------------------------------------------------------------

findings() { # CHECK: the levels of its findings
	masq doctor --json >doctor.json || true
	jq -r ".findings[] | select(.check == \"$1\") | .level" doctor.json |
		sort -u | xargs
}

doctor_is_content() {
	local check
	back
	for check in foreign-nat uplinks overlap unreplied pod-cidrs \
		forwarding mtu ipsec instance; do
		is "$check" "$(findings $check)" ok
	done
}

# finds CHECK LEVEL UNDO COMMAND...: and is as content as before afterwards
finds() {
	local check=$1 level=$2 undo=$3 before after
	shift 3
	before=$(findings "$check")
	"$@"
	after=$(findings "$check")
	jq -r ".findings[] | select(.check == \"$check\") | .what" \
		doctor.json >said
	# a finding without a way out helps nobody
	is "findings with nothing to do" "$(jq -r ".findings[] |
		select(.check == \"$check\" and .todo == null and
			(.level == \"bad\" or .level == \"warning\")) |
		.what" doctor.json)" ""
	$undo
	[ -z "${SAYS-}" ] || grep -q -- "$SAYS" said ||
		fail "$(cat said) instead of $SAYS"
	is "$check" "$after" "$level"
	is "$check afterwards" "$(findings "$check")" "$before"
}

foreign_nft() {
	lab_in node nft "add table ip foreign
		add chain ip foreign out { type nat hook postrouting priority srcnat; }
		add rule ip foreign out $1"
}

no_foreign_nft() {
	lab_in node nft delete table ip foreign
}

doctor_finds_nft() {
	back
	finds foreign-nat bad no_foreign_nft foreign_nft 'oifname eth0 masquerade'
	finds foreign-nat bad no_foreign_nft foreign_nft \
		'ip saddr 10.44.14.0/24 snat to 10.142.0.9'
	finds foreign-nat bad no_foreign_nft foreign_nft \
		'ip saddr 10.44.14.0/24 ip saddr set 10.142.0.9'
	# not pods'
	finds foreign-nat note no_foreign_nft foreign_nft \
		'ip saddr 172.17.0.0/16 masquerade'
	finds foreign-nat ok no_foreign_nft foreign_nft 'oifname eth0 accept'
}

iptables_on() {
	IPTABLES=$1
	lab_in node "$1" -t nat -N IP-MASQ-AGENT
	lab_in node "$1" -t nat -A IP-MASQ-AGENT -j MASQUERADE
	lab_in node "$1" -t nat -A POSTROUTING -j IP-MASQ-AGENT
}

iptables_off() {
	lab_in node "$IPTABLES" -t nat -F
	lab_in node "$IPTABLES" -t nat -X
}

netmap_on() { # IPTABLES CHAIN
	IPTABLES=$1
	lab_in node "$1" -t nat -A "$2" -j NETMAP --to 10.45.0.0/16
}

doctor_finds_iptables() {
	local chain
	back
	finds foreign-nat bad iptables_off iptables_on iptables-nft
	finds foreign-nat bad iptables_off netmap_on iptables-nft POSTROUTING
	finds foreign-nat ok iptables_off netmap_on iptables-nft PREROUTING
	lab_in node iptables-legacy -t nat -S >/dev/null 2>&1 ||
		skip "this kernel has no legacy iptables"
	finds foreign-nat bad iptables_off iptables_on iptables-legacy
	finds foreign-nat bad iptables_off netmap_on iptables-legacy POSTROUTING
	for chain in PREROUTING OUTPUT; do
		finds foreign-nat ok iptables_off netmap_on iptables-legacy \
			$chain
	done
}

# A machine with another /etc and its own processes: what is told to the CNI
# plugins and to kubelet.
findings_elsewhere() { # SETUP CHECK
	lab_in node unshare -m --pid --fork --mount-proc bash -c "
		mount -t tmpfs none /etc && mkdir -p /etc/cni/net.d && $1
		'$MASQBPF' doctor --json" >doctor.json 2>elsewhere || true
	jq -r ".findings[] | select(.check == \"$2\") | .level + \": \" + .what" \
		doctor.json
}

cni() { # JSON NAME: what is said about this config of a plugin
	echo "$1" >"$2"
	findings_elsewhere "cp '$PWD/$2' /etc/cni/net.d/" cni
}

bridge() { # IPMASQ SUBNET
	cat <<-EOF
		{ "cniVersion": "0.3.1", "name": "pods", "plugins": [
			{ "type": "bridge", "ipMasq": $1,
			  "ipam": { "type": "host-local",
				    "ranges": [[{ "subnet": "$2" }]] } },
			{ "type": "portmap" }
		] }
	EOF
}

# Rules of thousands of services, and one that changes all the time: what is
# found is said, or that it is not known; never that there is none.
doctor_in_the_rush() {
	local i rush='add chain ip foreign rush
delete chain ip foreign rush'
	back
	{
		echo 'table ip foreign {'
		for i in $(seq 6000); do
			echo "chain SEP-$i { ip saddr 10.44.0.1 counter accept"
			echo 'counter accept; counter accept; counter accept; }'
		done
		echo 'chain out { type nat hook postrouting priority srcnat;'
		echo 'ip saddr 10.44.0.0/16 counter masquerade; }'
		echo '}'
	} | lab_in node nft -f -
	: >rush
	(while [ -e rush ]; do echo "$rush"; done |
		lab_in node nft -i >/dev/null 2>&1) &
	# shellcheck disable=SC2064 # its value of now
	trap "rm -f rush; wait $!; no_foreign_nft" EXIT
	for i in 1 2 3 4 5; do
		findings foreign-nat >levels
		grep -qE 'bad|unknown' levels ||
			fail "$(cat levels): $(cat doctor.json)"
		! grep -q ok levels || fail "$(cat levels)"
		masq status >said
		grep -q 'foreign NAT: ' said || fail "$(cat said)"
		masq metrics >said
		! grep -q 'foreign_nat_detected 0' said || fail "$(cat said)"
	done
}

# Who may not read them does not say that there are none.
doctor_may_not_read() {
	local out=$LAB_DIR/blind.json
	lab_in node setpriv --bounding-set -all --inh-caps -all "$MASQBPF" \
		--pin-dir "$LAB_DIR/bpf/nobody" doctor --json >"$out" || true
	is nft "$(jq -r '[.findings[] | select(.check == "foreign-nat") |
		.level] | join(" ")' "$out")" unknown
	jq -r '.findings[].what' "$out" | grep -q 'rules could be read'
	lab_in node setpriv --bounding-set -all --inh-caps -all "$MASQBPF" \
		--pin-dir "$LAB_DIR/bpf/nobody" doctor >"$out" || true
	grep -q '2 unknown' "$out"
	grep -q '^unknown  ipsec  *not all policies could be read' "$out"
}

# what a container may have for /proc
doctor_has_no_proc_net() {
	local out=$LAB_DIR/blind.json check
	# shellcheck disable=SC2016
	lab_in node unshare -m sh -c 'mount -t proc -o subset=pid proc /proc &&
		exec "$@"' sh "$MASQBPF" --pin-dir "$LAB_DIR/bpf/nobody" \
		doctor --json >"$out" || true
	for check in forwarding ports foreign-nat; do
		is $check "$(jq -r --arg c $check '[.findings[] |
			select(.check == $c) | .level] | join(" ")' "$out")" \
			unknown
	done
}

doctor_finds_cni_plugins() {
	local where=/etc/cni/net.d
	back
	is "no config" "$(cni '' readme.txt)" "ok: 0 configs in $where"
	is "one that leaves it to us" "$(cni "$(bridge false 10.44.14.0/24)" \
		10-pods.conflist)" \
		"ok: 1 configs in $where, none has ipMasq: true"
	is "one that does not" "$(cni "$(bridge true 10.44.14.0/24)" \
		10-pods.conflist)" \
		"bad: $where/10-pods.conflist: plugin bridge has ipMasq: true: it translates 10.44.14.0/24 before us"
	is "one for others" "$(cni "$(bridge true 10.88.0.0/16)" \
		10-others.conflist)" \
		"note: $where/10-others.conflist: plugin bridge has ipMasq: true: it translates 10.88.0.0/16 before us"
	is "a single plugin" "$(cni '{ "type": "ptp", "ipMasq": true }' \
		p.conf)" \
		"warning: $where/p.conf: plugin ptp has ipMasq: true: it translates its pods before us"
	is "no JSON" "$(cni 'ipMasq: true' broken.conf)" \
		"warning: $where/broken.conf: cannot be read as JSON: whether its plugin translates is not known"
}

kubelet() { # OPTION...: what is said of one that was started with them
	printf '#!/bin/bash\nread <>%q\n' "$PWD/never" >kubelet
	[ -p never ] || mkfifo never
	chmod +x kubelet
	findings_elsewhere "{ '$PWD/kubelet' $* & } &&
		until grep -qx kubelet /proc/[0-9]*/comm; do :; done" kubelet
}

doctor_finds_kubelet() {
	back
	is "none runs" "$(findings_elsewhere true kubelet)" ""
	is "by default" "$(kubelet --v=2)" "ok: no --non-masquerade-cidr"
	is "off" "$(kubelet --non-masquerade-cidr=0.0.0.0/0)" \
		"ok: --non-masquerade-cidr=0.0.0.0/0"
	is "on" "$(kubelet --v=2 --non-masquerade-cidr=10.0.0.0/8)" \
		"bad: --non-masquerade-cidr=10.0.0.0/8: kubelet masquerades what is outside, before us"
	is "on, in two words" "$(kubelet --non-masquerade-cidr 10.0.0.0/8 \
		--v=2)" \
		"bad: --non-masquerade-cidr=10.0.0.0/8: kubelet masquerades what is outside, before us"
}

# --- the node ---------------------------------------------------------------

ipsec() { # SOURCE DEST [TEMPLATE]
	lab_in node ip xfrm policy add src "$1" dst "$2" dir out \
		${3:+tmpl src $NODE_ADDR dst $FAR_GATEWAY proto esp mode tunnel}
}

no_ipsec() {
	lab_in node ip xfrm policy flush
}

doctor_finds_ipsec() {
	lab_in node ip xfrm policy >/dev/null 2>&1 ||
		skip "this kernel has no IPsec policies"
	back
	SAYS='policy 10.44.0.0/16 -> 172.30.0.0/16 encrypts before our hook'
	finds ipsec warning no_ipsec ipsec 10.44.0.0/16 172.30.0.0/16 esp
	SAYS='0.0.0.0/0 -> 172.30.0.0/16'
	finds ipsec warning no_ipsec ipsec 0.0.0.0/0 172.30.0.0/16 esp
	SAYS='192.168.7.0/24 -> 172.30.0.0/16 encrypts no pods'
	finds ipsec note no_ipsec ipsec 192.168.7.0/24 172.30.0.0/16 esp
	# lets by, and encrypts nothing
	SAYS='no policy encrypts'
	finds ipsec ok no_ipsec ipsec 10.44.0.0/16 172.30.0.0/16
}

local_ports() {
	lab_in node sysctl -qw net.ipv4.ip_local_port_range="$1"
}

few_ports() {
	cp old.yaml few.yaml
	echo 'snat: {portRange: 20000-20999}' >>few.yaml
	masq reload --config few.yaml --yes
}

reserved_ports() {
	lab_in node sysctl -qw net.ipv4.ip_local_reserved_ports="$1"
	cp old.yaml few.yaml
	echo 'snat: {portRange: 50000-50009}' >>few.yaml
	masq reload --config few.yaml --yes 2>said_too
}

all_ports() {
	lab_in node sysctl -qw net.ipv4.ip_local_reserved_ports=
	back
}

usual_ports() {
	local_ports '33000 39999'
	back
}

doctor_finds_ports() {
	back
	SAYS="own ports 40000-41000 and ours 10240-65535 overlap"
	finds ports ok usual_ports local_ports '40000 41000'
	SAYS="own 1024-9999 and ours 10240-65535 do not overlap"
	finds ports ok usual_ports local_ports '1024 9999'
	SAYS="only 1000 ports (20000-20999)"
	finds ports "ok warning" usual_ports few_ports
	SAYS="only 9 ports (50000-50009)"
	finds ports "ok warning" all_ports reserved_ports 50000
	SAYS="no port of 50000-50009 is left"
	finds ports "bad ok" all_ports reserved_ports 50000-50009
	grep -q 'warning: snat.portRange: 50000-50009: no port is left' said_too ||
		fail "reload: $(cat said_too)"
}

strict_rp_filter() {
	lab_in node sysctl -qw net.ipv4.conf.eth0.rp_filter=1
}

loose_rp_filter() {
	lab_in node sysctl -qw net.ipv4.conf.eth0.rp_filter=0
}

pods_behind_a_gateway() {
	lab_in node ip route add 10.32.0.0/11 via $FAR_GATEWAY
}

no_pods_behind_a_gateway() {
	lab_in node ip route del 10.32.0.0/11
}

masqueraded_pods() {
	config 192.168.0.0/16 >narrow.yaml
	masq reload --config narrow.yaml
}

node_among_pods() {
	printf 'podCIDRs: [10.44.0.0/16, 10.142.0.0/20]\n' >among.yaml
	masq reload --config among.yaml --yes
}

pods_left_out() {
	printf 'podCIDRs: [10.55.0.0/16]\n' >left_out.yaml
	masq reload --config left_out.yaml --yes
}

doctor_finds_overlaps() {
	back
	SAYS='10.44.0.0/16 lies in 10.32.0.0/11, which this node reaches through a gateway'
	finds pod-cidrs "ok warning" no_pods_behind_a_gateway \
		pods_behind_a_gateway
	SAYS='10.44.0.0/16 is masqueraded as a destination (by 0.0.0.0/0)'
	finds pod-cidrs warning back masqueraded_pods
	SAYS="10.142.0.0/20 holds the node's own $NODE_ADDR/20"
	finds pod-cidrs "bad ok" back node_among_pods
	SAYS='2 addresses (10.44.14.15, ...), behind interfaces as pods have'
	finds pod-cidrs "ok warning" back pods_left_out
	pods_left_out
	is "what is said of any pod" "$(masq explain $FAR_ADDR --json |
		jq -c '[.action, .reason, .source_seen]')" \
		'["pass","not_pod","10.44.14.15"]'
	back
	SAYS='eth0: reverse path filter is strict'
	finds rp_filter note loose_rp_filter strict_rp_filter
}

# --- others at the hook -----------------------------------------------------

FOREIGN=$LAB_LIB/foreign.py

foreign_tcx() { # DIRECTION
	lab_in node "$PYTHON" "$FOREIGN" tcx bpf/foreign eth0 "$1" bpf/foreign-link
}

no_foreign_tcx() {
	rm bpf/foreign-link
}

doctor_finds_tcx() {
	[ "$(lab_hook)" = tcx ] || skip "this kernel has no TCX"
	back
	"$PYTHON" "$FOREIGN" load bpf/foreign bpf/foreign-map
	# first of its chain: right on egress, in our way on ingress
	SAYS='eth0 egress: .* comes before us'
	finds chain note no_foreign_tcx foreign_tcx egress
	SAYS='eth0 ingress: .* comes before us: it sees replies before they are for pods'
	finds chain warning no_foreign_tcx foreign_tcx ingress
}

# as_told COMMAND: what doctor says is to be done is a command that does it
as_told() {
	masq doctor --json >doctor.json || true
	jq -r '.findings[] | select(.check == "chain" and .level == "warning") |
		.todo' doctor.json >told
	is told "$(cat told)" "$1"
	# shellcheck disable=SC2086 # words
	masq ${1#masqbpf } || fail "$1"
	is "warnings afterwards" "$(findings chain | grep -c warning || true)" 0
}

place_as_doctor_says() {
	[ "$(lab_hook)" = tcx ] || skip "this kernel has no TCX"
	back
	"$PYTHON" "$FOREIGN" load bpf/last bpf/last-map
	lab_in node "$PYTHON" "$FOREIGN" tcx bpf/last eth0 egress bpf/last-link last
	as_told "masqbpf attach eth0"
	rm bpf/last-link
	lab_in node tc qdisc add dev eth0 clsact
	lab_in node tc filter add dev eth0 egress prio 7 bpf da pinned bpf/last
	as_told "masqbpf attach --hook tc eth0"
	lab_in node tc filter del dev eth0 egress prio 7
	lab_in node "$PYTHON" "$FOREIGN" tcx bpf/last eth0 ingress bpf/last-link
	as_told "masqbpf attach --hook tcx eth0"
	rm bpf/last-link
	lab_in node tc filter add dev eth0 egress prio 60000 bpf da \
		pinned bpf/last
	SAYS=
	masq doctor --json >doctor.json || true
	is told "$(jq -r '.findings[] |
		select(.check == "chain" and .level == "warning") | .todo' \
		doctor.json)" "give that filter a priority below 51168, and: masqbpf attach --hook tc eth0"
	lab_in node tc filter del dev eth0 egress prio 60000
	lab_in node tc qdisc del dev eth0 clsact
}

unforward() {
	lab_in node sysctl -qw net.ipv4.ip_forward=0
}

forward() {
	lab_in node sysctl -qw net.ipv4.ip_forward=1
}

kept_peer() {
	lab_in node ip route add 172.30.0.0/16 via $FAR_GATEWAY
	masq reload --config new.yaml --yes
}

no_kept_peer() {
	lab_in node ip route del 172.30.0.0/16
	back
}

second_uplink() {
	lab_ns other
	lab_link node eth1 other eth0
	lab_in node ip addr add 10.143.0.6/24 dev eth1
	lab_in node ip route add 198.18.0.0/15 via 10.143.0.1
}

no_second_uplink() {
	lab_in node ip link del eth1
}

unanswered() {
	local i
	lab_reject $POD_NET
	masq reload --config new.yaml --yes
	for i in 1 2 3; do
		connect pod1 172.30.1.$i
	done
}

answered() {
	lab_accept
	back
}

small_mtu() {
	lab_in node ip link set eth0 mtu 1400
}

usual_mtu() {
	lab_in node ip link set eth0 mtu 1500
}

doctor_finds_the_node() {
	back
	finds forwarding bad forward unforward
	# what cannot be read is not said to be well
	lab_in node strace -qq -o /dev/null -P /proc/sys/net/ipv4/ip_forward \
		-e inject=openat:error=EMFILE "$MASQBPF" doctor >said || true
	grep -q '^unknown  forwarding ' said || fail "$(cat said)"
	SAYS='172.30.0.0/16 by eth0 is kept (172.16.0.0/12, config .*/new.yaml:1)'
	finds overlap warning no_kept_peer kept_peer
	SAYS=
	finds uplinks "bad ok" no_second_uplink second_uplink
	finds mtu warning usual_mtu small_mtu
}

# --- ways out -------------------------------------------------------------------

no_rule() {
	lab_in node ip rule del priority 90
}

attached_without_a_way() {
	[ -e "$(lab_netns aside)" ] || lab_ns aside
	lab_link node eth2 aside eth0
	lab_in node ip addr add 10.144.0.6/24 dev eth2
	masq attach eth2 "$@"
}

attached_in_a_vrf() {
	lab_in node ip link add blue type vrf table 77
	lab_in node ip link set blue up
	attached_without_a_way
	lab_in node ip link set eth2 master blue
	lab_in node ip route add 198.18.0.0/15 via 10.144.0.1 dev eth2 table 77
}

not_attached() {
	masq detach eth2
	lab_in node ip link del eth2
	lab_in node ip link del blue 2>/dev/null || true
}

sources() { # ADDRESSES
	cp old.yaml sources.yaml
	echo "snat: {addresses: [$1]}" >>sources.yaml
	masq reload --config sources.yaml
}

sources_of_pods() {
	connect pod1 $FAR_ADDR
	sources 10.44.14.8/29
}

strict_ports() {
	connect pod1 $FAR_ADDR
	strict_but_fitting
}

strict_but_fitting() {
	cp old.yaml strict.yaml
	echo 'snat: {strictPorts: true, portRange: 50000-60000}' >>strict.yaml
	masq reload --config strict.yaml
}

doctor_finds_ways() {
	back
	is routing "$(findings routing)" ok
	SAYS='followed as the kernel does'
	finds routing ok no_rule lab_in node \
		ip rule add ipproto tcp dport 443 lookup main priority 90
	finds routing ok no_rule lab_in node \
		ip rule add tos 0x10 lookup main priority 90
	if lab_kernel_before 6.10; then
		SAYS='ip rule 90 goes by a mark'
		finds routing warning no_rule lab_in node \
			ip rule add fwmark 9 lookup main priority 90
	else
		SAYS='followed as the kernel does'
		finds routing ok no_rule lab_in node \
			ip rule add fwmark 9 lookup main priority 90
	fi
	SAYS='eth2: attached, and no route to a masqueraded destination'
	finds uplinks "ok warning" not_attached attached_without_a_way
}

doctor_finds_a_vrf() {
	lab_in node ip link add blue type vrf table 77 2>/dev/null ||
		skip "this kernel has no VRF"
	lab_in node ip link del blue
	back
	SAYS='eth2: in VRF blue: pods outside it'
	finds uplinks "note ok" not_attached attached_in_a_vrf
}

doctor_finds_sources() {
	back
	SAYS="10.142.0.99 (snat.addresses) lies in the network of eth0 and no"
	finds snat-addresses warning back sources "$NODE_ADDR, 10.142.0.99"
	SAYS="203.0.113.0/28 (snat.addresses): no interface has all of it"
	finds snat-addresses note back sources 203.0.113.0/28
	SAYS="10.44.14.8/29 (snat.addresses): pod 10.44.14.15 has an address of it"
	finds snat-addresses warning back sources_of_pods
	SAYS="is this node's"
	finds snat-addresses ok back sources $NODE_ADDR
	SAYS='no live flow has a port outside 50000-60000'
	finds ports ok back strict_but_fitting
	SAYS='snat.strictPorts: [0-9]* live flows have ports outside 50000-60000'
	finds ports "ok warning" back strict_ports
}

doctor_finds_the_incident() {
	back
	finds unreplied bad answered unanswered
}

doctor_worst_last() {
	back
	lab_in node sysctl -qw net.ipv4.ip_forward=0
	masq doctor >said || true
	is "the last finding" "$(grep -E '^(ok|note|unknown|warning|bad) ' said |
		tail -n 1 | grep -oE '^bad +forwarding')" "bad      forwarding"
	grep $'\033' said && fail "colours in a file"
	# what is typed is louder than NO_COLOR
	NO_COLOR=1 masq doctor --color always >said || true
	grep $'\033\[31mbad' said >/dev/null || fail "$(cat said)"
	is "no such colour" "$(status_of masq doctor --color=red)" 2
	lab_in node sysctl -qw net.ipv4.ip_forward=1
}

mount_named() {
	back
	masq doctor --json >out || true
	is bpffs "$(jq -r '.findings[] | select(.check == "bpffs").what' out)" \
		"mounted at $LAB_DIR/bpf"
}

doctor_reports() {
	back
	is status "$(status_of masq doctor --report report.tar)" 0
	tar xf report.tar
	jq -e .generation masqbpf-report/status.json >/dev/null
	jq -e .prefixes masqbpf-report/counters.json >/dev/null
	grep -q '^ok .*foreign-nat' masqbpf-report/doctor.txt
	jq -e '.[0].generation' masqbpf-report/history.json >/dev/null
	jq -e 'type == "array"' masqbpf-report/flows.json >/dev/null
	cmp masqbpf-report/config old.yaml
	grep -q 'net.ipv4.ip_forward = 1' masqbpf-report/sysctl-net.txt
	# a secret of the node's, which sysctl would print
	is "keys" "$(grep -rlE 'fastopen_key|stable_secret' masqbpf-report ||
		true)" ""
	is "who may read it" "$(stat -c %a report.tar)" 600
	is "written over" "$(status_of masq doctor --report report.tar)" 1
	# as everywhere, - is no file
	masq doctor --report - >stdout.tar
	tar xOf stdout.tar masqbpf-report/doctor.txt | grep -q '^ok .*foreign-nat'
	[ ! -e ./- ]
	is "two data" "$(status_of masq doctor --report - --json)" 2
}

# A config that is no file any more keeps nobody waiting, nor is one that is
# gone left out without a word.
doctor_reports_no_file() {
	back
	mv old.yaml moved.yaml
	trap 'mv -f moved.yaml old.yaml' EXIT
	mkfifo old.yaml
	timeout $((60 * TEST_SLOW)) nsenter --net="$(lab_netns node)" \
		"$MASQBPF" doctor --report pipe.tar >said 2>&1 || true
	tar xOf pipe.tar masqbpf-report/config >config
	grep -q 'old.yaml is a pipe' config || fail "$(cat said config)"
	rm old.yaml
	masq doctor --report gone.tar >said 2>&1 || true
	tar xOf gone.tar masqbpf-report/config >config
	grep -q 'old.yaml .*No such file' config || fail "$(cat said config)"
}

# A report is there, and says which of its tools did not do their work, however
# they fail to.
doctor_reports_failures() {
	local bin=$LAB_DIR/bad
	back
	mkdir -p "$bin"
	echo 'no program' >"$bin/uname"
	printf '#!/bin/sh\necho half of it\nkill -SEGV $$\n' >"$bin/ip"
	printf '#!/bin/sh\nexec cat /dev/zero\n' >"$bin/nft"
	# gone, but its child has the output still
	printf '#!/bin/sh\nsleep 100 &\necho $! >%s/child\nexit 4\n' "$bin" \
		>"$bin/sysctl"
	chmod +x "$bin"/*
	PATH=$bin:$PATH masq doctor --report bad.tar >out 2>err || true
	lab_own "$(cat "$bin/child")"
	rm -rf masqbpf-report
	tar xf bad.tar
	grep -q 'uname: Exec format error' masqbpf-report/uname.txt
	grep -q 'half of it' masqbpf-report/ip-rule.txt
	grep -q 'ip: a signal has ended it' masqbpf-report/ip-rule.txt
	grep -aq 'nft: it printed more than 128 MiB' masqbpf-report/nft.txt
	grep -q 'status 4' masqbpf-report/sysctl-net.txt
	jq -e .generation masqbpf-report/status.json >/dev/null
}

# ways_out WANT IP-COMMAND...: the uplinks of a node with such a default route
ways_out() {
	local want=$1 got command=
	shift
	for command; do
		# shellcheck disable=SC2086
		lab_in ways ip $command
	done
	lab_in ways "$MASQBPF" --pin-dir "$LAB_DIR/bpf/ways" doctor --json \
		>ways.json || true # something is bad about this node
	got=$(jq -r '[.findings[] | select(.check == "uplinks") | .what |
		select(endswith("would have to be attached")) |
		split(":")[0]] | sort | join(" ")' ways.json)
	is "uplinks with $(lab_in ways ip -4 route show default | xargs)" \
		"$got" "$want"
	[ -z "$command" ] || lab_in ways ip -4 route del default
	for command in 9 3 2 1; do
		lab_in ways ip nexthop del id $command 2>/dev/null || true
	done
}

doctor_sees_every_way_out() {
	local compat rule
	lab_ns ways waysfar
	lab_link ways eth0 waysfar eth0
	lab_link ways eth1 waysfar eth1
	lab_in ways sysctl -qw net.ipv6.conf.all.disable_ipv6=0 \
		net.ipv6.conf.default.disable_ipv6=0 \
		net.ipv6.conf.eth0.disable_ipv6=0 \
		net.ipv6.conf.eth1.disable_ipv6=0
	lab_in ways ip link add br0 type bridge
	lab_in ways ip link set br0 up
	lab_in ways ip addr add 10.142.0.6/20 dev eth0
	lab_in ways ip addr add 10.143.0.6/20 dev eth1
	ways_out "" # nothing
	ways_out eth0 'route add default via 10.142.0.1'
	ways_out "eth0 eth1" 'route add default nexthop via 10.142.0.1
		nexthop via 10.143.0.1'
	# by tables that only the node's own packets are led to, or pods' as well
	lab_in ways ip route add default via 10.143.0.1 table 200
	for rule in "eth0 uidrange 1000-1000" "eth0 iif lo" "eth0 oif eth1" \
		"eth0,eth1 from 10.44.0.0/16" "eth0,eth1 not iif lo" \
		"eth0,eth1 fwmark 7"; do
		# shellcheck disable=SC2086 # words
		lab_in ways ip rule add ${rule#* } lookup 200
		ways_out "$(tr , ' ' <<<"${rule%% *}")" \
			'route add default via 10.142.0.1'
		lab_in ways ip rule del lookup 200
	done
	lab_in ways ip route flush table 200
	ways_out eth1 'route add default dev eth1'
	ways_out br0 'route add default dev br0'
	ways_out br0 '-4 route add default via inet6 fe80::1 dev br0 onlink'
	ways_out "br0 eth0" '-4 route add default
		nexthop via inet6 fe80::1 dev br0 onlink
		nexthop via 10.142.0.1'
	lab_in ways ip nexthop add id 1 via 10.142.0.1 dev eth0 ||
		skip "no next hop objects"
	lab_in ways ip nexthop del id 1
	for compat in 1 0; do
		lab_in ways sysctl -qw net.ipv4.nexthop_compat_mode=$compat
		ways_out eth0 'nexthop add id 1 via 10.142.0.1 dev eth0' \
			'route add default nhid 1'
		ways_out br0 'nexthop add id 1 via fe80::1 dev br0' \
			'route add default nhid 1'
		ways_out "eth0 eth1" 'nexthop add id 1 via 10.142.0.1 dev eth0' \
			'nexthop add id 2 via 10.143.0.1 dev eth1' \
			'nexthop add id 9 group 1/2' 'route add default nhid 9'
		ways_out "" 'nexthop add id 3 blackhole' \
			'route add default nhid 3'
	done
}

# six ARG...: on a node without an address of IPv4
six() {
	lab_in six "$MASQBPF" --pin-dir "$LAB_DIR/bpf/six" "$@"
}

doctor_on_ipv6_alone() {
	trap 'six detach --all -q' EXIT
	lab_ns six sixfar
	lab_link six eth0 sixfar eth0
	lab_in six sysctl -qw net.ipv6.conf.all.disable_ipv6=0 \
		net.ipv6.conf.eth0.disable_ipv6=0 \
		net.ipv6.conf.eth0.accept_dad=0 net.ipv4.ip_forward=0 \
		net.ipv6.conf.all.forwarding=1
	lab_in six ip addr add $NODE_ADDR6/64 dev eth0 nodad
	lab_in six ip -6 route add default via $FAR_GATEWAY6
	echo 'enableIPv6: true' >six.yaml
	six attach -q eth0 --config six.yaml
	is status "$(six status --json | jq -c '[.health, .problems]')" \
		'["ok",[]]'
	six doctor --json >six.json || true
	is findings "$(jq -c '[.findings[] | select(.check == "uplinks" or
		.check == "forwarding") | .level] | unique' six.json)" '["ok"]'
	# and a way out of the other family makes its lack one
	lab_in six ip route add default dev eth0
	is "status, IPv4" "$(six status --json | jq -c '[.health, .problems]')" \
		'["degraded",["eth0: no IPv4 address to translate to"]]'
	lab_in six ip addr add $NODE_ADDR/20 dev eth0
	lab_in six ip -6 addr flush dev eth0 scope global
	six doctor --json >six.json || true
	is "doctor, no address of IPv6" "$(jq -r '.findings[] | select(
		.check == "uplinks") | .what' six.json)" \
		"eth0: no IPv6 address to translate to: what should be is dropped"
}

row "every form of a way out" doctor_sees_every_way_out
row "a node with IPv6 alone" doctor_on_ipv6_alone
row "a healthy node" doctor_is_content
row "foreign nft rules" doctor_finds_nft
row "iptables, legacy too" doctor_finds_iptables
row "rules that change all the time" doctor_in_the_rush
row "rules that may not be read" doctor_may_not_read
row "a /proc of processes alone" doctor_has_no_proc_net
row "CNI plugins that masquerade" doctor_finds_cni_plugins
row "kubelet that masquerades" doctor_finds_kubelet
row "IPsec policies" doctor_finds_ipsec
row "port ranges" doctor_finds_ports
row "pods, nodes and routes that overlap" doctor_finds_overlaps
row "TCX programs on the wrong side" doctor_finds_tcx
row "what doctor says puts ours next to the wire" place_as_doctor_says
row "forwarding, overlap, uplinks, MTU" doctor_finds_the_node
row "ways out that are not seen, or not there" doctor_finds_ways
row "an uplink in a VRF" doctor_finds_a_vrf
row "source addresses and strict ports" doctor_finds_sources
row "kept and never answered" doctor_finds_the_incident
row "what is worse is said later, and coloured when asked for" \
	doctor_worst_last
row "where the bpffs is mounted" mount_named
row "the report" doctor_reports
row "the report of a config that is no file" doctor_reports_no_file
row "the report says which tools failed" doctor_reports_failures
tap_done
