# shellcheck shell=bash
# lab.sh - throw-away networks in namespaces, for the demo and the tests.
#
#	pod 10.44.14.15 .. -- 10.44.14.1 node eth0 10.142.0.6 -- 10.142.0.1 far
#							172.30.12.110 (and all
#							of 172.30.0.0/16)
#
# far has no route to pods unless a test adds one. Everything has a name of
# its own (LAB_ID), so labs run side by side; lab_end, called on every exit,
# takes all of it away. The host's own network is never touched.
#
# Pins go to a bpffs of the lab's own: unmounting it ends every program that
# was left attached.

LAB_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_LIB=$LAB_ROOT/tests/lib
MASQBPF=${MASQBPF:-$LAB_ROOT/build/masqbpf}
PYTHON=${PYTHON:-/usr/bin/python3}
# so many times more patience, for machines that are so much slower
export TEST_SLOW=${TEST_SLOW:-1}

NODE_ADDR=10.142.0.6
FAR_ADDR=172.30.12.110
FAR_GATEWAY=10.142.0.1
POD_NET=10.44.0.0/16
NODE_ADDR6=fd00:142::6
FAR_ADDR6=2001:db8:30::110
FAR_GATEWAY6=fd00:142::1

# tables that tests read are as wide as they are
unset COLUMNS

# lab_begin: an empty lab; sets LAB_ID and LAB_DIR.
lab_begin() {
	[ "$(id -u)" -eq 0 ] || {
		echo "${0##*/}: namespaces and BPF need root" >&2
		exit 1
	}
	LAB_DIR=$(mktemp -d "${TMPDIR:-/tmp}/masqbpf-lab.XXXXXX")
	LAB_ID=mq-${LAB_DIR##*.}
	LAB_SHELL=$BASHPID
	trap lab_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	trap 'exit 141' PIPE
	mkdir "$LAB_DIR/bpf" "$LAB_DIR/state"
	mount -t bpf "$LAB_ID" "$LAB_DIR/bpf"
	mount -t tmpfs -o mode=700 "$LAB_ID" "$LAB_DIR/state"
	: >"$LAB_DIR/namespaces"
	: >"$LAB_DIR/links"
	: >"$LAB_DIR/pids"
	export MASQBPF_PIN_DIR=$LAB_DIR/bpf/masqbpf
	export MASQBPF_STATE_DIR=$LAB_DIR/state
}

# lab_end: the trap of every exit.
lab_end() {
	local status=$?
	# Rows run in subshells, which must not tear the lab down.
	[ "$BASHPID" = "$LAB_SHELL" ] || return 0
	trap '' INT TERM HUP PIPE
	trap - EXIT
	lab_clean
	rm -rf "${TAP_DIR:-}"
	exit "$status"
}

# lab_clean: ends processes, namespaces, pins and files of the lab.
lab_clean() {
	local ns process
	set +e
	while read -r ns; do
		# What a process of the lab has started is the lab's, too.
		for process in $(ip netns pids "$LAB_ID-$ns" 2>/dev/null); do
			lab_own "$process"
		done
	done <"$LAB_DIR/namespaces"
	while read -r process; do
		lab_kill KILL "$process"
	done <"$LAB_DIR/pids"
	# A namespace lives on until its last process is gone.
	while read -r process; do
		lab_wait 5 lab_gone "$process"
	done <"$LAB_DIR/pids"
	umount "$LAB_DIR/bpf" "$LAB_DIR/state"
	while read -r ns; do
		ip netns del "$LAB_ID-$ns"
	done <"$LAB_DIR/namespaces"
	rm -rf "$LAB_DIR"
}

# A number goes to another process when its own has ended, and within a run of
# all tests it does. What may have ended before it is killed is named by its
# number and when it was born:
#	lab_process PID		prints PID:BORN; PID: when there is none
#	lab_own PID		the lab ends it, too
#	lab_kill SIGNAL NAME	kills that one and no other
#	lab_gone NAME		has it ended? (NAME may be a PID of our children)
lab_process() {
	local stat='' words
	# shellcheck disable=SC2162 # no backslashes there
	{ read stat <"/proc/$1/stat"; } 2>/dev/null || true
	# its own name, in parentheses, may have blanks
	read -ra words <<<"${stat##*) }"
	echo "$1:${words[19]-}"
}

lab_own() {
	lab_process "$1" >>"$LAB_DIR/pids"
}

lab_kill() {
	lab_gone "$2" || kill "-$1" "${2%:*}" 2>/dev/null || true
}

lab_gone() {
	case $1 in
	*:) ;;
	*:*) [ "$(lab_process "${1%:*}")" != "$1" ] ;;
	*) ! kill -0 "$1" ;;
	esac
}

# lab_ns NAME...: makes namespaces with nothing in them but lo. IPv6 is off:
# its chatter would only blur what the far side counts. The kernel's own ports
# are kept apart from those that rows choose: 40000 and above.
lab_ns() {
	local ns
	for ns; do
		ip netns add "$LAB_ID-$ns"
		echo "$ns" >>"$LAB_DIR/namespaces"
		lab_in "$ns" sysctl -qw net.ipv4.conf.all.rp_filter=0 \
			net.ipv4.conf.default.rp_filter=0 \
			net.ipv4.ip_local_port_range="33000 39999" \
			net.ipv6.conf.all.disable_ipv6=1 \
			net.ipv6.conf.default.disable_ipv6=1
		lab_in "$ns" ip link set lo up
	done
}

lab_netns() {
	echo "/run/netns/$LAB_ID-$1"
}

# lab_in NS COMMAND...: runs it there. Only the network changes: `ip netns
# exec` would give it another /sys, where pins are lost.
lab_in() {
	nsenter --net="/run/netns/$LAB_ID-$1" -- "${@:2}"
}

# lab_spawn NS COMMAND...: the same in the background; sets LAB_PID.
lab_spawn() {
	(exec nsenter --net="/run/netns/$LAB_ID-$1" -- "${@:2}") &
	LAB_PID=$!
	disown "$LAB_PID" # no "Killed" from bash when the lab ends
	lab_own "$LAB_PID"
}

# lab_link NS DEV NS DEV: a veth pair, both ends up.
lab_link() {
	ip link add "$2" netns "$LAB_ID-$1" type veth \
		peer name "$4" netns "$LAB_ID-$3"
	lab_in "$1" ip link set "$2" up
	lab_in "$3" ip link set "$4" up
	printf '%s %s\n' "$1" "$2" "$3" "$4" >>"$LAB_DIR/links"
}

# lab_node_far: the node, its uplink, and the far network.
lab_node_far() {
	lab_ns node far
	lab_link node eth0 far eth0
	lab_in node sysctl -qw net.ipv4.ip_forward=1
	lab_in node ip addr add $NODE_ADDR/20 dev eth0
	lab_in node ip route add default via $FAR_GATEWAY
	lab_in far ip addr add $FAR_GATEWAY/20 dev eth0
	lab_in far ip addr add $FAR_ADDR/32 dev lo
	lab_in far ip route add local 172.30.0.0/16 dev lo
	lab_saw_install far
}

# lab_pod NAME ADDR: a pod as a CNI makes it, with a host route on the node.
lab_pod() {
	lab_ns "$1"
	lab_link "$1" eth0 node "$1"
	lab_in node ip addr add 10.44.14.1/32 dev "$1"
	lab_in node ip route add "$2/32" dev "$1"
	lab_in "$1" ip addr add "$2/32" dev eth0
	lab_in "$1" ip route add 10.44.14.1 dev eth0
	lab_in "$1" ip route add default via 10.44.14.1
}

# lab_pods COUNT: pod1, pod2 ... from 10.44.14.15 on; their namespaces, with
# commas between, are in LAB_PODS.
lab_pods() {
	local i
	LAB_PODS=
	for ((i = 1; i <= $1; i++)); do
		lab_pod "pod$i" "10.44.14.$((14 + i))"
		LAB_PODS+=${LAB_PODS:+,}$LAB_ID-pod$i
	done
}

# lab_cni_file FILE NAME ADDR ADDR6 POD: what a runtime keeps of that pod, as
# shop/NAME or kube-system/NAME, in $MASQBPF_CNI_RESULTS
lab_cni_file() {
	sed -e "s,/var/run/netns/cni-pod[12],$(lab_netns "$5"),g" \
		-e "s,10\.44\.14\.2/,$3/,; s,fd00:44::2/,$4/," \
		-e "s,\"cart-0\"\|\"dns-5d78c9869d-x2x7q\",\"$2\"," \
		"$LAB_LIB/cni/$1" >"$MASQBPF_CNI_RESULTS/$2"
}

# lab_agent POD: what tests of the agent begin with: one pod, a far server on
# $PORT, and a directory that the agent may read as nobody.
lab_agent() {
	lab_begin
	chmod 755 "$LAB_DIR"
	lab_node_far
	lab_pod pod1 "$1"
	lab_serve far "$PORT"
}

# lab_ours DEV...: how many of our programs hang there, by any hook; watches of
# interfaces that are not attached are not counted
lab_ours() {
	lab_programs "$@" | grep -cE 'masq_(in|e)gress' || true
}

# lab_programs DEV...: all programs there, ours and others
lab_programs() {
	local dev dir
	for dev; do
		for dir in ingress egress; do
			lab_in node "$PYTHON" "$LAB_LIB/foreign.py" tcx-list \
				"$dev" $dir
			lab_in node tc filter show dev "$dev" $dir 2>/dev/null
		done
	done
}

# lab_nothing_left DEV...: no program of ours, and no pins
lab_nothing_left() {
	is "our programs" "$(lab_programs "$@" | grep -c masq_ || true)" 0
	[ ! -e "$MASQBPF_PIN_DIR" ] ||
		fail "pins are left: $(ls "$MASQBPF_PIN_DIR")"
}

# lab_ipv6: IPv6 beside IPv4 for the node, far and the pods that are there:
# fd00:142::/64 on the uplink, fd00:44::N for a pod whose address ends in .N;
# far has 2001:db8:30::110 and everything around it.
lab_ipv6() {
	local ns dev pod
	while read -r ns dev; do
		lab_in "$ns" sysctl -qw net.ipv6.conf.all.disable_ipv6=0 \
			net.ipv6.conf.default.disable_ipv6=0 \
			net.ipv6.conf.lo.disable_ipv6=0 \
			"net.ipv6.conf.$dev.disable_ipv6=0" \
			"net.ipv6.conf.$dev.accept_dad=0" \
			"net.ipv6.conf.$dev.accept_ra=0"
	done <"$LAB_DIR/links"
	lab_in node sysctl -qw net.ipv6.conf.all.forwarding=1
	lab_in node ip addr add $NODE_ADDR6/64 dev eth0 nodad
	lab_in node ip route add default via $FAR_GATEWAY6
	lab_in far ip addr add $FAR_GATEWAY6/64 dev eth0 nodad
	lab_in far ip addr add $FAR_ADDR6/128 dev lo
	lab_in far ip route add local 2001:db8:30::/48 dev lo
	while read -r ns dev; do
		if [ "$ns" != node ] || [ "$dev" = eth0 ]; then
			continue
		fi
		pod=$(lab_in "$dev" ip -4 -j addr show dev eth0 |
			jq -r '.[0].addr_info[0].local')
		lab_in node ip addr add fd00:44::1/128 dev "$dev" nodad
		lab_in node ip route add "fd00:44::${pod##*.}/128" dev "$dev"
		lab_in "$dev" ip addr add "fd00:44::${pod##*.}/128" \
			dev eth0 nodad
		lab_in "$dev" ip route add fd00:44::1 dev eth0
		lab_in "$dev" ip route add default via fd00:44::1
	done <"$LAB_DIR/links"
}

# lab_offload on|off: segmentation, GRO and checksum offload of every link.
lab_offload() {
	local ns dev
	while read -r ns dev; do
		lab_in "$ns" ethtool -K "$dev" tx "$1" rx "$1" tso "$1" \
			gso "$1" gro "$1" >/dev/null
	done <"$LAB_DIR/links"
}

# lab_wait SECONDS COMMAND...: until it succeeds; says so when it never does.
lab_wait() {
	local seconds=$(($1 * TEST_SLOW)) end
	end=$((${EPOCHREALTIME/[.,]/} + seconds * 1000000))
	shift
	until "$@" 2>/dev/null; do
		if [ "${EPOCHREALTIME/[.,]/}" -gt "$end" ]; then
			echo "waited $seconds s in vain for: $*"
			return 1
		fi
		sleep 0.02
	done
}

# lab_tracks NS: from now on its netfilter tracks connections
lab_tracks() {
	lab_in "$1" nft -f - <<-EOF
		table ip tracked {
			chain forward {
				type filter hook forward priority filter
				ct state new accept
			}
		}
	EOF
}

# --- what the far side saw ------------------------------------------------

# lab_saw_install NS: counts every IPv4 packet that comes in over its eth0 by
# source, before anything else there can drop it.
lab_saw_install() {
	lab_in "$1" nft -f - <<-EOF
		table ip saw {
			set sources {
				type ipv4_addr
				size 65535
				flags dynamic
				counter
			}
			chain in {
				type filter hook prerouting priority raw - 10
				iifname eth0 update @sources { ip saddr }
			}
		}
	EOF
}

# lab_saw_reset [NS]: starts anew
lab_saw_reset() {
	lab_in "${1:-far}" nft flush set ip saw sources
}

# lab_saw [NS]: the sources of all packets since lab_saw_reset, on one line
lab_saw() {
	lab_in "${1:-far}" nft -j list set ip saw sources |
		jq -r '[.nftables[].set.elem[]?.elem.val] | sort | join(" ")'
}

# far_saw ADDR...: fails unless these and no others sent to far.
far_saw() {
	is "sources that far saw" "$(lab_saw)" "$*"
}

# lab_reject CIDR..., lab_accept: far's firewall drops what comes from there
# (silently, as firewalls in clouds do), or nothing.
lab_reject() {
	local cidr
	lab_in far nft add table ip guard
	lab_in far nft flush table ip guard
	lab_in far nft add chain ip guard in \
		'{ type filter hook input priority filter; }'
	for cidr; do
		lab_in far nft add rule ip guard in iifname eth0 \
			ip saddr "$cidr" drop
	done
}

lab_accept() {
	lab_in far nft delete table ip guard
}

# --- traffic --------------------------------------------------------------

# traffic NS ARGS...: tests/lib/traffic.py in that namespace.
traffic() {
	lab_in "$1" "$PYTHON" "$LAB_LIB/traffic.py" "${@:2}"
}

# word KEY LINE: the value behind KEY= in what traffic.py printed
word() {
	sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" <<<"$2"
}

# lab_serve NS PORT [ARG...]: the TCP and UDP server of traffic.py; returns
# when it answers. Its log is LAB_DIR/serve-NS-PORT.
lab_serve() {
	local log=$LAB_DIR/serve-$1-$2
	lab_spawn "$1" "$PYTHON" "$LAB_LIB/traffic.py" serve "${@:2}" \
		>"$log" 2>&1
	lab_wait 10 grep -q ready "$log"
}

# A transfer that goes on, both ways at once, while a row changes something:
#	stream_start NS DEST PORT [ARG...]	waits until it is well under way
#	stream_more MIB			waits until so much more has come back
#	stream_end			ends it; STREAM_LINE says who was seen
# It fails when a byte is lost, wrong, or does not come for 20 seconds.
stream_start() {
	STREAM=$(mktemp -d "$LAB_DIR/stream.XXXXXX")
	# A row that fails ends it, too; outside of rows lab_end does.
	[ "$BASHPID" = "$LAB_SHELL" ] || trap 'touch "$STREAM/stop"' EXIT
	traffic "$1" stream "$2" "$3" --stop "$STREAM/stop" \
		--progress "$STREAM/progress" "${@:4}" \
		>"$STREAM/result" 2>&1 &
	STREAM_PID=$!
	lab_wait 20 stream_reached "${STREAM_FIRST:-$((8 << 20))}" ||
		fail "$(cat "$STREAM/result")"
}

stream_reached() {
	[ "$(cat "$STREAM/progress")" -ge "$1" ]
}

stream_more() {
	lab_wait 20 stream_reached \
		$(($(cat "$STREAM/progress") + ($1 << 20))) ||
		fail "the transfer stands still: $(cat "$STREAM/result")"
}

stream_end() {
	touch "$STREAM/stop"
	wait "$STREAM_PID" || fail "transfer: $(cat "$STREAM/result")"
	# shellcheck disable=SC2034 # for the row
	STREAM_LINE=$(cat "$STREAM/result")
}

# lab_hook: what `--hook auto` takes on this kernel
lab_hook() {
	if "$PYTHON" "$LAB_LIB/foreign.py" tcx-supported; then
		echo tcx
	else
		echo tc
	fi
}

# lab_kernel_before MAJOR.MINOR: is this kernel older?
lab_kernel_before() {
	local major minor
	IFS=.- read -r major minor _ < <(uname -r)
	[ $((major * 1000 + minor)) -lt $((${1%.*} * 1000 + ${1#*.})) ]
}

# lab_fib_source: do routes tell a program their source here? Asked, for 6.1 has
# had it from some release on. Something is attached.
lab_fib_source() {
	local said
	said=$(masq doctor --json || true)
	! jq -e 'any(.findings[]; .what |
		startswith("before 6.7 routes cannot tell"))' <<<"$said" >/dev/null
}

# --- who translates -------------------------------------------------------

# masq ARGS...: masqbpf on the node, with the lab's pins.
masq() {
	lab_in node "$MASQBPF" "$@"
}

# lab_nat masqbpf|nft: masquerades what leaves eth0 from pods, except to
# 10.0.0.0/8. nft is the twin: what it does right, masqbpf has to do.
lab_nat() {
	case $1 in
	masqbpf)
		printf '%s\n' 'nonMasqueradeCIDRs: [10.0.0.0/8]' \
			"enableIPv6: ${LAB_IPV6:-false}" >"$LAB_DIR/config.yaml"
		masq attach eth0 --config "$LAB_DIR/config.yaml"
		;;
	nft)
		lab_in node nft -f - <<-EOF
			table ip twin {
				set keep {
					type ipv4_addr
					flags interval
					elements = { 10.0.0.0/8 }
				}
				chain out {
					type nat hook postrouting priority srcnat
					oifname eth0 ip saddr $POD_NET \
						ip daddr != @keep masquerade
				}
			}
		EOF
		;;
	esac
}

# lab_keep, lab_unkeep WHO CIDR: changes the running policy.
lab_keep() {
	case $1 in
	masqbpf) masq cidr add "$2" ;;
	nft) lab_in node nft add element ip twin keep "{ $2 }" ;;
	esac
}

lab_unkeep() {
	case $1 in
	masqbpf) masq cidr del "$2" ;;
	nft) lab_in node nft delete element ip twin keep "{ $2 }" ;;
	esac
}

lab_nat_off() {
	case $1 in
	masqbpf) masq detach --all ;;
	nft) lab_in node nft delete table ip twin ;;
	esac
}
