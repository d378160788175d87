#!/usr/bin/env bash
# One lab of the soak: traffic that comes and goes from pods that come and go,
# under an agent. scripts/torture.sh runs two at a time and compares them:
#
#	tests/torture/soak.sh twin|faults RESULT.json
#
# Both have the same pods, the same traffic and the same flaps of the uplink.
# The one with faults also has edits of the config, cidr add and del, storms of
# reloads and an agent that is killed and started again; in its second half the
# agent is let alone, so that what it gathers can be seen.
# SOAK_SECONDS (3600), SOAK_RATE (openers a second, 40), SOAK_SEED (1)
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

WHO=$1
RESULT=$(realpath "$2")
SECONDS_ALL=${SOAK_SECONDS:-3600}
RATE=${SOAK_RATE:-40}
SEED=${SOAK_SEED:-1}
HALF=$((SECONDS_ALL / 2))
CHURN=$LAB_ROOT/tests/torture/churn.py
PORT=443
PODS=12
DRAIN=4000
URL=http://127.0.0.1:9842

lab_begin
cp "$MASQBPF" "$LAB_DIR/masqbpf" # a build meanwhile does no harm
MASQBPF=$LAB_DIR/masqbpf
chmod 755 "$LAB_DIR" # the agent is nobody
CONFIG=$LAB_DIR/conf/config.yaml
mkdir "$LAB_DIR/conf"
exec 3>&1
say() {
	printf '%s %s: %s\n' "$(date +%T)" "$WHO" "$*" >&3
}

# --- the lab ----------------------------------------------------------------

lab_node_far
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_reject() { # what never answers
	lab_in far nft add table ip guard
	lab_in far nft add chain ip guard in \
		'{ type filter hook input priority filter; }'
	lab_in far nft add rule ip guard in ip daddr 172.30.99.0/24 drop
}
lab_reject
# While the uplink is down, and for pods that went: silence, no ICMP error
lab_in node ip route add blackhole default metric 9999
lab_in node ip route add blackhole $POD_NET
lab_serve far $PORT

declare -a incarnation
pods_file() {
	local i
	for ((i = 1; i <= PODS; i++)); do
		echo "$LAB_ID-p${i}x${incarnation[i]} 10.44.14.$((i + 20))"
	done >"$LAB_DIR/pods.new"
	mv "$LAB_DIR/pods.new" "$LAB_DIR/pods"
}

pod_begin() { # SLOT
	incarnation[$1]=$((${incarnation[$1]:-0} + 1))
	lab_pod "p$1x${incarnation[$1]}" "10.44.14.$(($1 + 20))"
}

# Its interface goes first: nothing that it had open says goodbye.
pod_end() { # SLOT
	local name=p$1x${incarnation[$1]}
	lab_in node ip link del "$name"
	ip netns del "$LAB_ID-$name"
	sed -i "/^$name\$/d" "$LAB_DIR/namespaces"
	sed -i "/^$name /d;/ $name\$/d" "$LAB_DIR/links"
}

# config N: what is kept changes, and how much there is in it
config() {
	local i
	{
		echo "maxFlows: 65536"
		echo "timeouts: {tcpEstablished: 60s, tcpTransitory: 20s," \
			"udp: 20s, udpUnreplied: 10s, icmp: 10s}"
		echo "nonMasqueradeCIDRs:"
		echo "- 10.0.0.0/8"
		case $(($1 % 4)) in
		1) echo "- 172.30.0.0/16" ;;
		2) echo "- 172.30.12.0/25" ;;
		3) echo "- 172.30.12.64/26" ;;
		esac
		for ((i = 0; i < $1 * 7 % 48; i++)); do
			echo "- 100.$((64 + i)).$(($1 % 256)).0/24"
		done
	} >"$LAB_DIR/conf/new.yaml"
	mv "$LAB_DIR/conf/new.yaml" "$CONFIG"
}

# --- the agent --------------------------------------------------------------

ready() {
	lab_in node curl -sf --max-time 5 $URL/readyz >/dev/null
}

agent_start() {
	lab_spawn node "$MASQBPF" agent -q --config "$CONFIG" eth0 \
		2>>"$LAB_DIR/agent.log"
	AGENT=$LAB_PID
	lab_wait 60 ready || {
		tail -5 "$LAB_DIR/agent.log"
		exit 1
	}
	agents=$((agents + 1))
}

agent_kill() {
	kill -KILL "$AGENT"
	lab_wait 20 lab_gone "$AGENT"
}

helper_of() {
	pgrep -x -P "$1" masqbpf-helper
}

rss_kb() { # PID
	awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}

fds() { # PID
	find "/proc/$1/fd" -mindepth 1 | wc -l
}

# --- measures ---------------------------------------------------------------

flows() {
	masq flows --json | jq length
}

entries() { # MAP
	bpftool -j map dump pinned "$MASQBPF_PIN_DIR/$1" | jq length
}

pins() {
	find "$MASQBPF_PIN_DIR" -mindepth 1 | wc -l
}

# map_ids: of all pins, the same as long as nothing is made anew
map_ids() {
	local pin
	for pin in "$MASQBPF_PIN_DIR"/masq_*; do
		bpftool -j map show pinned "$pin" 2>/dev/null |
			jq -r '.id? // empty'
	done | sort -n | paste -sd, -
}

hooks() {
	masq status --json | jq '[.interfaces[] | select(.attached)] | length'
}

# measure: as JSON, all that has to come back to where it began
measure() {
	local helper
	helper=$(helper_of "$AGENT")
	jq -n --argjson flows "$(flows)" \
		--argjson flow_entries "$(entries masq_flows4)" \
		--argjson pod_entries "$(entries masq_pods)" \
		--argjson pins "$(pins)" --arg map_ids "$(map_ids)" \
		--argjson hooks "$(hooks)" \
		--argjson agent_rss_kb "$(rss_kb "$AGENT")" \
		--argjson helper_rss_kb "$(rss_kb "$helper")" \
		--argjson agent_fds "$(fds "$AGENT")" \
		--argjson helper_fds "$(fds "$helper")" \
		--argjson namespaces "$(wc -l <"$LAB_DIR/namespaces")" \
		'$ARGS.named'
}

traffic_start() { # NAME
	rm -f "$LAB_DIR/stop"
	"$PYTHON" "$CHURN" $FAR_ADDR $PORT --dead 172.30.99.1 \
		--node $NODE_ADDR --pods "$LAB_DIR/pods" --rate "$RATE" \
		--seed "$SEED" --stop "$LAB_DIR/stop" \
		--result "$LAB_DIR/$1.json" >"$LAB_DIR/$1.log" 2>&1 &
	TRAFFIC=$!
	echo $TRAFFIC >>"$LAB_DIR/pids"
}

traffic_end() {
	touch "$LAB_DIR/stop"
	wait $TRAFFIC
}

no_flows() {
	[ "$(flows)" -eq 0 ]
}

# settle: no traffic, every flow has expired, and what they held is freed by
# as many flows of a pod that does nothing else
settle() {
	lab_wait 150 no_flows
	traffic far flood 172.30.64.0 $PORT --net 172.30.64.0/20 \
		--netns "$LAB_ID-drain" --sports 40000-40009 --flows $DRAIN \
		--rate 1000 >/dev/null
}

# --- events -----------------------------------------------------------------

pods_swap() {
	local slot=$((swaps % PODS + 1))
	swaps=$((swaps + 1))
	pod_end $slot
	pod_begin $slot
	pods_file
}

flap() {
	lab_in node ip link set eth0 down
	sleep 1
	lab_in node ip link set eth0 up
	lab_in node ip route replace default via $FAR_GATEWAY
	flaps=$((flaps + 1))
}

edit() {
	edits=$((edits + 1))
	config $((edits * 5 + edits / 3))
}

# A change that meets the agent's is refused with "locked" or "changed", or
# finds the work done: what counts is that traffic does not mind.
runtime() {
	local cidr=172.30.12.$((runtimes % 4 * 64))/26
	runtimes=$((runtimes + 1))
	if [ $((runtimes % 2)) = 0 ]; then
		masq -q cidr add $cidr || refused=$((refused + 1))
	else
		masq -q cidr add $cidr --masquerade || refused=$((refused + 1))
	fi 2>>"$LAB_DIR/runtime.log"
	masq -q cidr del $cidr 2>>"$LAB_DIR/runtime.log" ||
		refused=$((refused + 1))
}

storm() {
	local i
	for ((i = 0; i < 40; i++)); do
		config $((edits + i))
		masq -q reload --config "$CONFIG" 2>>"$LAB_DIR/runtime.log" ||
			refused=$((refused + 1))
	done
	reloads=$((reloads + 40))
}

restart() {
	agent_kill
	sleep $((agents % 3))
	agent_start
}

sample() {
	printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$(rss_kb "$AGENT")" \
		"$(fds "$AGENT")" "$(flows)" "$(entries masq_flows4)" \
		"$(pins)" >>"$RESULT.tsv"
	lab_in node curl -sf --max-time 10 $URL/metrics >/dev/null
}

# every SECONDS PHASE FUNCTION: it is due in the second $now
every() {
	[ $((now % $1)) -ne "$2" ] || "$3"
}

events() {
	every 10 3 pods_swap
	every 90 45 flap
	[ $((now % 30)) -ne 20 ] || sample $now
	[ "$WHO" = faults ] || return 0
	every 4 1 edit
	every 6 2 runtime
	every 120 70 storm
	# the agent has the second half for itself
	[ $now -ge $HALF ] || every 75 60 restart
	[ $now -ne $((HALF + HALF / 5)) ] || young=$(rss_kb "$AGENT")
}

# --- the run ----------------------------------------------------------------

swaps=0 flaps=0 edits=0 runtimes=0 refused=0 reloads=0 agents=0 young=0
for ((i = 1; i <= PODS; i++)); do
	pod_begin $i
done
lab_pod drain 10.44.99.1
pods_file
config 0
agent_start
: >"$RESULT.tsv"

say "warming up"
traffic_start warm
sleep 30
traffic_end
settle
before=$(measure)
say "begins: $(jq -c . <<<"$before")"

traffic_start soak
begun=$EPOCHSECONDS
for ((now = 0; now < SECONDS_ALL; now++)); do
	events
	# what took longer than its second is not made up for
	late=$((EPOCHSECONDS - begun - now))
	if [ $late -gt 0 ]; then
		now=$((now + late - 1))
	else
		sleep 1
	fi
	[ $((now % 600)) -ne 599 ] || say "$((now + 1)) s:" \
		"$(jq -c .total "$LAB_DIR/soak.json")"
done
traffic_end
config 0
[ "$WHO" = twin ] || masq -q reload --config "$CONFIG"
settle
after=$(measure)
say "ended: $(jq -c . <<<"$after")"
jq -n --arg who "$WHO" --argjson seconds $((EPOCHSECONDS - begun)) \
	--argjson before "$before" --argjson after "$after" \
	--argjson young_rss_kb "$young" \
	--slurpfile traffic "$LAB_DIR/soak.json" \
	--argjson pods $swaps --argjson flaps $flaps --argjson edits $edits \
	--argjson runtime $((runtimes * 2)) --argjson refused $refused \
	--argjson reloads $reloads --argjson agents $agents \
	--argjson drops "$(masq counters --json | jq .drops)" \
	--arg status "$(masq status --json | jq -r .health)" \
	'$ARGS.named' >"$RESULT"
cp "$LAB_DIR/soak.log" "$RESULT.failures"
kill "$AGENT"
lab_wait 20 lab_gone "$AGENT"
masq detach -q --all
[ ! -e "$MASQBPF_PIN_DIR" ] || {
	echo "pins are left after detach: $(ls "$MASQBPF_PIN_DIR")"
	exit 1
}
for id in $(jq -r .map_ids <<<"$after" | tr , ' '); do
	lab_wait 20 eval "! bpftool map show id $id >/dev/null 2>&1" || {
		echo "map $id outlives detach"
		exit 1
	}
done
say "nothing is left"
