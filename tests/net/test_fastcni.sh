#!/usr/bin/env bash
# The fast path on a node as Kubernetes makes one: pods by real CNI plugins, the
# others of Debian's chained behind (portmap, firewall, tuning, bandwidth), and a
# NetworkPolicy as kube-router and as Calico write it into iptables. Traffic
# that a policy allows takes the fast path; what a policy comes to forbid stops
# within a moment.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/stack.sh"

CNI_BIN=${CNI_BIN:-/usr/lib/cni}
FAR=172.30.12.110
PORT=443

if ! [ -x "$CNI_BIN/bridge" ]; then
	row_skip "CNI" "no plugins in $CNI_BIN: containernetworking-plugins"
	tap_done
	exit
fi
if [ "$(lab_hook)" != tcx ]; then
	row_skip "the fast path" "this kernel has no TCX"
	tap_done
	exit
fi

# chained [PLUGIN]: those that come behind the first, a line each
chained() {
	local name
	for name in portmap firewall tuning ${1:-}; do
		case $name in
		portmap) echo '{ "type": "portmap", "snat": true }' ;;
		firewall) echo '{ "type": "firewall", "backend": "iptables" }' ;;
		tuning) echo '{ "type": "tuning", "sysctl":
			{ "net.ipv4.conf.IFNAME.arp_notify": "1" } }' ;;
		bandwidth) echo '{ "type": "bandwidth",
			"ingressRate": 8000000, "ingressBurst": 160000,
			"egressRate": 8000000, "egressBurst": 160000 }' ;;
		esac
	done | jq -c .
}

# one WORDS PREVIOUS POD: one plugin, as a runtime calls it
one() {
	jq -c --argjson prev "$2" --arg name "$LAB_ID" \
		'. + { cniVersion: "0.4.0", name: $name, prevResult: $prev,
		runtimeConfig: { portMappings:
			[{ hostPort: 8081, containerPort: 80, protocol: "tcp" }] } }
		| if .prevResult == {} then del(.prevResult) else . end' <<<"$1" |
		lab_in node env CNI_COMMAND=ADD CNI_CONTAINERID="$LAB_ID-$3" \
			CNI_IFNAME=eth0 CNI_NETNS="/run/netns/$LAB_ID-$3" \
			CNI_PATH="$CNI_BIN" "$CNI_BIN/$(jq -r .type <<<"$1")"
}

# cni_pod bridge|ptp SUBNET POD [PLUGIN]: its address; FAULT in it: what failed
cni_pod() {
	local words result
	result=$(one "{ \"type\": \"$1\", \"bridge\": \"cni0\",
		\"isGateway\": true, \"hairpinMode\": true, \"ipMasq\": false,
		\"ipam\": { \"type\": \"host-local\", \"dataDir\": \"$LAB_DIR/cni\",
		\"ranges\": [[{ \"subnet\": \"$2\" }]],
		\"routes\": [{ \"dst\": \"0.0.0.0/0\" }] } }" '{}' "$3") || {
		echo "FAULT $1: $result"
		return
	}
	while read -r words; do
		result=$(one "$words" "$result" "$3") || {
			echo "FAULT $words: $result"
			return
		}
	done < <(chained "${4:-}")
	jq -r '.ips[0].address | sub("/.*"; "")' <<<"$result"
}

veth_of() { # POD: the node's end
	local index
	index=$(lab_in "$1" ip -j link show eth0 | jq -r '.[0].link_index')
	lab_in node ip -j link | jq -r ".[] | select(.ifindex == $index).ifname"
}

undo() {
	[ -z "${TALK:-}" ] || kill "$TALK" 2>/dev/null || true
	lab_in node "${IPTABLES:-iptables-nft}" -F POLICY 2>/dev/null || true
}

talk() { # POD SPORT
	stack_talk "$1" $FAR $PORT "$2" 90
}

goes() { # POD SPORT is_fast|is_slow
	talk "$1" "$2"
	lab_wait 15 "$3" || fail "$SEEN of 2 * $SENT took the stack:" \
		"$(masq status | grep -A9 '^fast')"
	hush
	note "$(cat "$LAB_DIR/talk")"
	[ "$(word answered "$(cat "$LAB_DIR/talk")")" -ge \
		$(($(word of "$(cat "$LAB_DIR/talk")") - 2)) ] ||
		fail "$(cat "$LAB_DIR/talk")"
}

says() { # INTERFACE PATTERN
	masq status --json | jq -r --arg i "$1" '.fast_path[] |
		select(.interface == $i) | "\(.on) \(.why)"' | grep -cE "$2" \
		>/dev/null
}

limited() {
	lab_wait 10 says "$(veth_of pod2)" '^false (a queue: tbf|a tc filter)' ||
		fail "$(masq status --json | jq -c .fast_path)"
	says "$(veth_of pod1)" '^true' ||
		fail "$(masq status --json | jq -c .fast_path)"
	goes pod2 6102 is_slow
}

# A policy of the shape of kube-router's: a chain for a pod, sets of addresses,
# marks, established first.
kube_router() {
	lab_in node "$IPTABLES-restore" --noflush <<-X
		*filter
		:KUBE-POD-FW-X - [0:0]
		:KUBE-NWPLCY-Y - [0:0]
		-A KUBE-POD-FW-X -m comment --comment "rule for stateful firewall for pod" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		-A KUBE-POD-FW-X -m conntrack --ctstate INVALID -j DROP
		-A KUBE-POD-FW-X -d $POD1 -m addrtype --src-type LOCAL -j ACCEPT
		-A KUBE-POD-FW-X -j KUBE-NWPLCY-Y
		-A KUBE-POD-FW-X -m mark ! --mark 0x10000/0x10000 -m limit --limit 10/min --limit-burst 10 -j NFLOG --nflog-group 100
		-A KUBE-POD-FW-X -m mark ! --mark 0x10000/0x10000 -j REJECT --reject-with icmp-port-unreachable
		-A KUBE-POD-FW-X -j MARK --set-xmark 0x0/0x10000
		-A KUBE-POD-FW-X -j MARK --set-xmark 0x20000/0x20000
		-A KUBE-NWPLCY-Y -p udp -m udp --dport $PORT -j MARK --set-xmark 0x10000/0x10000
		-A KUBE-NWPLCY-Y -p udp -m udp --dport $PORT -m mark --mark 0x10000/0x10000 -j RETURN
		COMMIT
	X
	lab_in node "$IPTABLES" -A POLICY -m comment --comment "pod fw" \
		-s "$POD1" -j KUBE-POD-FW-X
	lab_in node "$IPTABLES" -A POLICY -d "$POD1" -j KUBE-POD-FW-X
}

# And of Calico's: by interface, with marks that say that a policy has been
# passed, multiport, and a last drop.
calico() {
	local veth
	veth=$(veth_of pod1)
	lab_in node "$IPTABLES-restore" --noflush <<-X
		*filter
		:cali-FORWARD - [0:0]
		:cali-fw-x - [0:0]
		:cali-tw-x - [0:0]
		:cali-po-y - [0:0]
		-A POLICY -m comment --comment "cali:vjrMJCRpqwy5oRoX" -j cali-FORWARD
		-A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000
		-A cali-FORWARD -i $veth -g cali-fw-x
		-A cali-FORWARD -o $veth -g cali-tw-x
		-A cali-fw-x -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		-A cali-fw-x -m conntrack --ctstate INVALID -j DROP
		-A cali-fw-x -j MARK --set-xmark 0x0/0x10000
		-A cali-fw-x -p ipencap -j DROP
		-A cali-fw-x -m mark --mark 0x0/0x20000 -j cali-po-y
		-A cali-fw-x -m mark --mark 0x10000/0x10000 -j RETURN
		-A cali-fw-x -m comment --comment "Drop if no profiles matched" -j DROP
		-A cali-tw-x -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		-A cali-tw-x -j DROP
		-A cali-po-y -p udp -m multiport --dports $PORT,8443 -j MARK --set-xmark 0x10000/0x10000
		-A cali-po-y -m mark --mark 0x10000/0x10000 -j RETURN
		COMMIT
	X
}

# policy SPORT KIND: allowed traffic is on the fast path; what the policy then
# forbids, established or not, stops within a moment; and is there again.
policy() {
	if ! lab_in node "$IPTABLES" -n -L POLICY >/dev/null 2>&1; then
		lab_in node "$IPTABLES" -N POLICY
		lab_in node "$IPTABLES" -I FORWARD -j POLICY
	fi
	"$2"
	talk pod1 "$1"
	lab_wait 15 is_fast || fail "$SEEN of 2 * $SENT took the stack:" \
		"$(masq status | grep -A9 '^fast')"
	lab_in node "$IPTABLES" -I POLICY -s "$POD1" -p udp --dport $PORT -j DROP
	lab_wait 10 stands_still || fail "goes on: $(cat "$LAB_DIR/progress")"
	lab_in node "$IPTABLES" -D POLICY -s "$POD1" -p udp --dport $PORT -j DROP
	lab_wait 15 is_fast || fail "not on again"
	hush
}

stands_still() {
	local sent answered sent_before answered_before
	read -r sent_before answered_before <"$LAB_DIR/progress"
	sleep 1.2
	read -r sent answered <"$LAB_DIR/progress"
	[ $((sent - sent_before)) -ge 3 ] && [ "$answered" = "$answered_before" ]
}

set_up() {
	lab_begin
	chmod 755 "$LAB_DIR"
	lab_node_far
	lab_ns pod1 pod2
	POD1=$(cni_pod "$1" 10.44.14.0/24 pod1)
	POD2=$(cni_pod "$1" 10.44.14.0/24 pod2 bandwidth)
	lab_in node nft -f - <<-EOF
		table ip stack {
			counter seen { }
			chain forward {
				type filter hook forward priority -10
				udp dport $PORT counter name seen
				udp sport $PORT counter name seen
			}
		}
	EOF
	lab_spawn far "$PYTHON" "$LAB_LIB/fast.py" echo $FAR $PORT \
		>"$LAB_DIR/echo"
	lab_wait 5 grep -q ready "$LAB_DIR/echo"
	printf 'nonMasqueradeCIDRs: [10.0.0.0/8]\n' >"$LAB_DIR/config.yaml"
	lab_spawn node "$MASQBPF" agent --config "$LAB_DIR/config.yaml" eth0 \
		2>"$LAB_DIR/log"
	lab_wait 30 says eth0 '^true' || cat "$LAB_DIR/log"
}

pods() {
	[[ $POD1 == 10.* && $POD2 == 10.* ]] || fail "$POD1; $POD2"
	lab_in node iptables-save 2>/dev/null | grep -q CNI-FORWARD ||
		fail "the firewall plugin has done nothing"
}

for plugin in bridge ptp; do
	[ -z "${LAB_DIR:-}" ] || lab_clean
	set_up $plugin
	row "$plugin, portmap, firewall, tuning, bandwidth" pods
	row_ok || continue
	row "$plugin: takes the fast path" goes pod1 6101 is_fast
	row "$plugin: a pod with a bandwidth limit does not" limited
	IPTABLES=iptables-nft
	row "$plugin: a NetworkPolicy as kube-router's" policy 6103 kube_router
	[ $plugin = bridge ] || IPTABLES=iptables-legacy
	row "$plugin: a NetworkPolicy as Calico's, $IPTABLES" policy 6104 calico
done
tap_done
