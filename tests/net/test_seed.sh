#!/usr/bin/env bash
# What was there before attach, as the kernel's conntrack table has it, keeps
# its treatment: connections from outside, flows that nobody translates, flows
# that netfilter translates, whose ports are not given away.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/steady.sh"

POD=10.44.14.15
POD2=10.44.14.16
NODE_PORT=30080

lab_begin
lab_node_far
lab_pod pod1 $POD
lab_pod pod2 $POD2
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_serve far 443
lab_serve pod1 80
lab_in node nft -f - <<-EOF
	table ip services {
		chain in {
			type nat hook prerouting priority dstnat
			ip daddr $NODE_ADDR meta l4proto { tcp, udp } \
				th dport $NODE_PORT dnat to $POD:80
		}
		chain forward {
			type filter hook forward priority filter
			ct state new accept
		}
	}
EOF

# what conntrack forgets before attach looks cannot be taken over
lab_in node sysctl -qw \
	net.netfilter.nf_conntrack_udp_timeout=$((30 * TEST_SLOW)) \
	net.netfilter.nf_conntrack_icmp_timeout=$((30 * TEST_SLOW))

# open_talk NAME NS DEST PORT SPORT PROTO [SOURCE]: a flow that stays open
declare -A TALK
open_talk() {
	local fd
	mkfifo "$LAB_DIR/$1.in"
	exec {fd}<>"$LAB_DIR/$1.in"
	# bash gives a process in the background no stdin of its caller
	# shellcheck disable=SC2016
	lab_spawn "$2" bash -c 'exec "${@:2}" <"$1"' - "$LAB_DIR/$1.in" \
		"$PYTHON" "$LAB_LIB/traffic.py" talk "$3" "$4" \
		--sport "$5" --proto "$6" --source "${7:-}" --timeout 20 \
		>"$LAB_DIR/$1.out" 2>&1
	TALK[$1]=$fd
	exchange "$1" >/dev/null
}

# exchange NAME: one more exchange; prints whom the server saw
exchange() {
	local lines
	lines=$(wc -l <"$LAB_DIR/$1.out")
	echo >&"${TALK[$1]}"
	lab_wait 5 more_lines "$LAB_DIR/$1.out" "$lines"
	tail -1 "$LAB_DIR/$1.out"
}

more_lines() {
	[ "$(wc -l <"$1")" -gt "$2" ]
}

# what far has sent is acknowledged: no packet of before is on its way
acked() {
	[ -z "$(lab_in far ss -Htn state established | awk '$2 > 0')" ]
}

# goes_on NAME ANSWER SEEN: it answers as before; far saw SEEN's packets
goes_on() {
	lab_wait 5 acked
	lab_saw_reset
	is "answer" "$(exchange "$1")" "$2"
	is "answer" "$(exchange "$1")" "$2"
	far_saw "$3"
}

attach() {
	masq -v attach eth0 --preset gke-before-1.14 2>"$LAB_DIR/attach"
}

# A connection that begins now is treated by the policy.
new_is_masqueraded() {
	lab_saw_reset
	is source "$(word source "$(traffic pod1 who $FAR_ADDR 443)")" \
		$NODE_ADDR
	far_saw $NODE_ADDR
}

# A port that netfilter's NAT uses towards the far side goes to nobody else.
port_is_reserved() {
	local line
	line=$(traffic pod2 who $FAR_ADDR 443 --sport 5005)
	is source "$(word source "$line")" $NODE_ADDR
	[ "$(word port "$line")" != 5005 ] ||
		fail "the port of netfilter's flow was given away"
	goes_on nat "$NODE_ADDR 5005" $NODE_ADDR
}

# What a flush ended is no flow of old any more, though conntrack has it.
attach_again_seeds_nothing() {
	masq flush --pod $POD >/dev/null
	attach
	lab_saw_reset
	exchange keep_tcp >/dev/null
	far_saw $NODE_ADDR
}

# far_has ADDR: packets of this source have come
far_has() {
	case " $(lab_saw) " in *" $1 "*) ;; *) return 1 ;; esac
}

# What masqbpf has translated conntrack calls untranslated.
attached_anew() {
	masq detach --all
	attach
	goes_on own_tcp "$NODE_ADDR 5008" $NODE_ADDR
	goes_on own_udp "$NODE_ADDR 5009" $NODE_ADDR
	# what netfilter never translated is kept as before
	goes_on in_tcp "$FAR_ADDR 5001" $POD
}

# Packets went out with the pod's address, and nobody answered.
sent_between() {
	local lines
	lab_in far ip route del $POD_NET
	masq detach --all
	lab_saw_reset
	lines=$(wc -l <"$LAB_DIR/own_tcp.out")
	echo >&"${TALK[own_tcp]}"
	lab_wait 5 far_has $POD
	attach
	lab_in far ip route add $POD_NET via $NODE_ADDR
	lab_wait 20 more_lines "$LAB_DIR/own_tcp.out" "$lines"
	is "answer" "$(tail -1 "$LAB_DIR/own_tcp.out")" "$NODE_ADDR 5008"
	goes_on own_tcp "$NODE_ADDR 5008" $NODE_ADDR
}

# Its rule is there, as the old agent's on the way back.
netfilter_takes_over() {
	lab_in node nft add rule ip twin out oifname eth0 ip saddr $POD_NET \
		masquerade
	masq detach --all
	goes_on own_tcp "$NODE_ADDR 5008" $NODE_ADDR
	goes_on own_udp "$NODE_ADDR 5009" $NODE_ADDR
	goes_on nat "$NODE_ADDR 5005" $NODE_ADDR
	goes_on in_tcp "$FAR_ADDR 5001" $POD
}

# Under traffic, and with a detach that takes long: a connection is lost only
# if a packet of it was under way in the one moment when the hooks go. Each is
# asked after the other, so these are a few of the hundred.
takes_over_under_traffic() {
	local line lost
	lab_in node nft flush chain ip twin out
	attach
	steady busy pod2
	lab_wait 20 reached busy 1000
	lab_in node nft add rule ip twin out oifname eth0 ip saddr $POD_NET \
		masquerade
	lab_in node strace -f -o /dev/null -e trace=recvmsg,recvfrom \
		-e inject=recvmsg,recvfrom:delay_enter=50000 \
		"$MASQBPF" detach -q --all
	lab_wait 20 reached busy $(($(progress busy) + 500))
	touch "$LAB_DIR/busy.stop"
	lab_wait 20 lab_gone "$(cat "$LAB_DIR/busy.pid")"
	line=$(tail -1 "$LAB_DIR/busy.result")
	lost=$(grep -o "laddr=([^)]*)" "$LAB_DIR/busy.result" | sort -u | wc -l)
	[ "$lost" -le 10 ] || fail "$lost connections: $line"
	is sources "$(word sources "$line")" $NODE_ADDR
	note "$lost of 100 lost"
}

open_talk in_tcp far $POD 80 5001 tcp $FAR_ADDR
open_talk in_udp far $POD 80 5002 udp $FAR_ADDR
open_talk in_icmp far $POD 0 503 icmp $FAR_ADDR
open_talk in_port far $NODE_ADDR $NODE_PORT 5004 tcp $FAR_ADDR
open_talk keep_tcp pod1 $FAR_ADDR 443 5006 tcp
open_talk keep_udp pod1 $FAR_ADDR 443 5007 udp
# netfilter translates one more flow, and then no new one
lab_in node nft -f - <<-EOF
	table ip twin {
		chain out {
			type nat hook postrouting priority srcnat
			oifname eth0 ip saddr $POD_NET masquerade
		}
	}
EOF
open_talk nat pod1 $FAR_ADDR 443 5005 tcp
lab_in node nft flush chain ip twin out

row "attach" attach
row_ok && row "says what was taken over" \
	grep -q 'taken over: 2 kept, 3 inbound, 2 translated' "$LAB_DIR/attach"
row "tcp from outside" goes_on in_tcp "$FAR_ADDR 5001" $POD
row "udp from outside" goes_on in_udp "$FAR_ADDR 5002" $POD
row "icmp from outside" goes_on in_icmp answer $POD
row "tcp through a NodePort" goes_on in_port "$FAR_ADDR 5004" $NODE_ADDR
row "tcp that nobody translates" goes_on keep_tcp "$POD 5006" $POD
row "udp that nobody translates" goes_on keep_udp "$POD 5007" $POD
row "tcp that netfilter translates" goes_on nat "$NODE_ADDR 5005" $NODE_ADDR
row "its port is reserved" port_is_reserved
row "a new connection" new_is_masqueraded
row "attach again takes nothing over" attach_again_seeds_nothing
open_talk own_tcp pod1 $FAR_ADDR 443 5008 tcp
open_talk own_udp pod1 $FAR_ADDR 443 5009 udp
row "detach and attach: what was translated is so again" attached_anew
row "also when it sent in between" sent_between
row "netfilter's rule takes over at detach" netfilter_takes_over
row "the same under traffic" takes_over_under_traffic
tap_done
