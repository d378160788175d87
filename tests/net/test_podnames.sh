#!/usr/bin/env bash
# Pods by name, from files as real libcni wrote them: beside every address of a
# pod that commands show, and in the place of one where they take one.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

PORT=443
POD=10.44.14.15
POD6=fd00:44::15

# named COMMAND JQ WANT
named() {
	is "$2" "$(jq -rc "$2" <<<"$1")" "$3"
}

of_flows() {
	named "$(masq flows --json --dest $FAR_ADDR)" \
		'[.[] | [.orig.src, .pod.namespace, .pod.name]] | sort' \
		"[[\"$POD\",\"shop\",\"cart-0\"],[\"10.44.14.16\",null,null]]"
	masq flows >out
	grep -q 'PREFIX *POD$' out
	grep -q "^tcp *$POD:.* shop/cart-0\$" out
	grep -q '^tcp *10.44.14.16:.* -$' out
	named "$(masq flows --json --pod shop/cart-0)" \
		'[.[].orig.src] | unique | sort' "[\"$POD\",\"$POD6\"]"
	named "$(masq flows --json --pod $POD)" '[.[].pod.name] | unique' \
		'["cart-0"]'
}

flows_as_wanted() {
	local n
	n=$(masq flows --json | jq length)
	is "count" "$(masq flows --count)" "$n"
	is "count as JSON" "$(masq flows --count --json | jq .count)" "$n"
	is "count of some" "$(masq flows --count --dest $FAR_ADDR)" 2
	is "limit" "$(masq flows --json --limit 2 | jq length)" 2
	is "limit, as text" "$(masq flows --limit 1 | wc -l)" 2
	is "more than there are" "$(masq flows --json --limit 9999 |
		jq length)" "$n"
	named "$(masq flows --json --sort age)" '. == sort_by(.age_s)' true
	named "$(masq flows --json --sort idle)" '. == sort_by(.idle_s)' true
	named "$(masq flows --json --sort bytes)" \
		'[.[] | -(.egress.bytes + .ingress.bytes)] | . == sort' true
	named "$(masq flows --json --sort pod --dest $FAR_ADDR)" \
		'[.[].orig.src]' "[\"$POD\",\"10.44.14.16\"]"
	named "$(masq flows --json --sort dest --limit 1)" '.[0].orig.dst' \
		"$FAR_ADDR"
	masq flows --dest 192.0.2.1 >out 2>err
	[ ! -s out ] || fail "a header without rows"
	grep -q 'flows: none that match' err
	for n in '--sort size' '--limit 0' '--limit x' '--count --limit 1'; do
		local status=0
		# shellcheck disable=SC2086 # words
		masq flows $n 2>err || status=$?
		is "$n" $status 2
	done
}

of_others() {
	named "$(masq explain $FAR_ADDR --source shop/cart-0 --json)" \
		'[.pod.name, .action]' '["cart-0","masquerade"]'
	named "$(masq explain $FAR_ADDR --json)" .pod null
	named "$(masq top --json --interval 0.1)" \
		"[.pods[] | select(.pod == \"$POD\") | .pod_name.name]" \
		'["cart-0"]'
	masq top --once --interval 0.1 >out
	grep -q "^$POD shop/cart-0" out
	named "$(masq probe -q $FAR_ADDR:$PORT --source shop/cart-0 --json)" \
		'[.as_pod.source, .as_pod.pod.name]' "[\"$POD\",\"cart-0\"]"
	named "$(masq probe -q $FAR_ADDR6 --source shop/cart-0 --json)" \
		.as_pod.source "$POD6"
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]' >wide.yaml
	named "$(masq plan wide.yaml --json)" \
		'.flips[] | select(.range == "172.16.0.0/12") |
		[.pods[0], .pod_names[0].name, .pod_names[1]]' \
		"[\"$POD\",\"cart-0\",null]"
	masq plan wide.yaml >out
	grep -q "$POD shop/cart-0" out
}

# Flows that nobody answers: of two pods, to two ports.
explains_those() {
	local pod port i
	lab_reject 10.142.0.6
	for pod in pod1 pod2; do
		for port in 7001 7002; do
			for i in 1 2 3; do
				lab_in $pod "$PYTHON" - 172.30.9.9 $port <<-EOF
					import socket, sys
					s = socket.socket()
					s.setblocking(False)
					s.connect_ex((sys.argv[1], int(sys.argv[2])))
				EOF
			done
		done
	done
	lab_accept
	named "$(masq explain 172.30.9.9 --json)" .unreplied_flows 12
	named "$(masq explain 172.30.9.9:7001 --json)" .unreplied_flows 6
	named "$(masq explain 172.30.9.9 --source shop/cart-0 --json)" \
		.unreplied_flows 6
	named "$(masq explain 172.30.9.9 --port 7002 --source 10.44.14.16 \
		--json)" .live_flows 3
	named "$(masq explain 172.30.9.9 --proto udp --json)" .live_flows 0
	masq explain 172.30.9.9 >out
	is "lines" "$(grep -c '^  tcp ' out)" 4
	grep -q "^  tcp  *$POD shop/cart-0  *7001 .* 3\$" out
	! grep -q 'and .* more' out || fail "$(cat out)"
}

of_watch() {
	masq watch --events new --format json >events &
	lab_own $!
	masq watch --events new >lines &
	lab_own $!
	lab_wait 20 seen
	named "$(jq -c "select(.orig.src == \"$POD\")" events | head -1)" \
		.pod.name cart-0
	grep -q "$POD:.*(shop/cart-0)" lines
}

seen() {
	traffic pod1 who $FAR_ADDR $PORT >/dev/null
	grep -q "$POD" events && grep -q "$POD" lines
}

no_such_name() {
	local status
	for command in "flows --pod" "explain $FAR_ADDR --source" \
		"probe $FAR_ADDR --source" "flush --pod"; do
		status=0
		# shellcheck disable=SC2086 # words
		masq $command shop/none 2>err || status=$?
		is "$command" $status 2
		grep -q 'no pod of this name is known' err
		# without its namespace, in another one, with a slip
		meant cart-0 "$command"
		meant shops/cart-0 "$command"
		meant shop/crat-0 "$command"
	done
	status=0
	masq flows --pod 10.44.14.300 2>err || status=$?
	is "an address" "$status $(cut -d: -f4- err)" \
		"2  not an IPv4 address: 300 is above 255"
}

meant() { # NAME COMMAND
	# shellcheck disable=SC2086 # words
	! masq $2 "$1" 2>err || fail "$2 $1 is taken"
	grep -q 'did you mean shop/cart-0?$' err || fail "$(cat err)"
}

# Nothing, half a file, what a crash and a reboot leave.
without() {
	head -c 300 "$MASQBPF_CNI_RESULTS/cart-0" >half
	cat half >"$MASQBPF_CNI_RESULTS/cart-0"
	: >"$MASQBPF_CNI_RESULTS/empty"
	named "$(masq flows --json)" '[.[].pod] | unique' '[null]'
	lab_cni_file bridge cart-0 $POD $POD6 gone
	named "$(masq flows --json)" '[.[].pod] | unique' '[null]'
	named "$(MASQBPF_CNI_RESULTS=/nowhere masq flows --json)" \
		'[.[].pod] | unique' '[null]'
	lab_cni_file bridge cart-0 $POD $POD6 pod1
	named "$(masq flows --json)" '[.[].pod.name] | unique | sort' \
		'[null,"cart-0"]'
	# who gets the address afterwards has it
	lab_cni_file ptp cart-1 $POD $POD6 pod1
	touch -d '+1 minute' "$MASQBPF_CNI_RESULTS/cart-1"
	named "$(masq flows --json --pod $POD)" '[.[].pod.name] | unique' \
		'["cart-1"]'
}

# --- what Tab offers ----------------------------------------------------------

# tab_bash WORD...: what bash offers behind these, as readline cuts the line
tab_bash() {
	# shellcheck disable=SC2016 # the inner shell expands it
	lab_in node env PATH="$LAB_DIR/bin:$PATH" bash -c '
		source /dev/stdin <<<"$(masqbpf completion bash)"
		COMP_LINE="masqbpf $*" COMP_POINT=${#COMP_LINE}
		COMP_WORDBREAKS=$'"' \\t\\n:='"'
		COMP_WORDS=(masqbpf ${COMP_LINE#* })
		last=${COMP_WORDS[-1]##*:}
		[[ $COMP_LINE == *" " ]] && COMP_WORDS+=("")
		[[ ${COMP_WORDS[-1]} != *:* ]] ||
			COMP_WORDS[-1]=${COMP_WORDS[-1]%:*} &&
			[[ $COMP_LINE != *:* ]] || COMP_WORDS+=(: "$last")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		_masqbpf
		echo "${COMPREPLY[*]}"' bash "$@"
}

tab_fish() {
	# shellcheck disable=SC2016 # fish expands it
	lab_in node env PATH="$LAB_DIR/bin:$PATH" HOME="$LAB_DIR" \
		fish --no-config -c 'masqbpf completion fish | source
			complete -C $argv[1]' "masqbpf $*" | cut -f1 | xargs
}

# tab_zsh TYPED REST: has to be what a Tab adds
tab_zsh() {
	# shellcheck disable=SC2016 # zsh expands it
	lab_in node env PATH="$LAB_DIR/bin:$PATH" HOME="$LAB_DIR" \
		timeout $((20 * TEST_SLOW)) zsh -f -c '
		zmodload zsh/zpty
		zpty z zsh -f -i
		zpty -w z "autoload -U compinit; compinit -u -D; source <(masqbpf completion zsh); echo re\$((1))ady"
		zpty -r z out "*re1ady*"
		zpty -w -n z "masqbpf $1"$'"'\\t'"'
		zpty -r z out "*$2*"
		zpty -d z' zsh "$1" "$2" >/dev/null ||
		fail "zsh: 'masqbpf $1' is not completed by '$2'"
}

bin() {
	mkdir -p bin
	ln -sf "$MASQBPF" bin/masqbpf
}

tab_begin() {
	command -v "$1" >/dev/null || skip "no $1"
	bin
	rm -f "$MASQBPF_CNI_RESULTS/cart-1"
	masq cidr list --json | jq -e '.prefixes[] |
		select(.prefix == "2001:db8:99::/48")' >/dev/null ||
		masq cidr add -q 2001:db8:99::/48 --masquerade
}

bash_offers() {
	tab_begin bash
	# behind the last colon, where readline begins a word
	is "prefix" "$(tab_bash cidr del 2001:db8:9)" 99::/48
	is "not what is built in" "$(tab_bash cidr del 0)" ""
	is "of a filter" "$(tab_bash flows --prefix 0)" 0.0.0.0/0
	is "generation" "$(tab_bash rollback "$(generation)")" "$(generation)"
	is "of history" "$(tab_bash history "$(generation)")" "$(generation)"
	is "pod" "$(tab_bash flows --pod sh)" shop/cart-0
	is "a pod without name" "$(tab_bash explain 8.8.8.8 --source 10.)" \
		10.44.14.16
	is "an instance" "$(tab_bash --pin-dir /nowhere cidr del 2)" ""
	is "protocol" "$(tab_bash flows --proto s)" sctp
	# what it is about comes before options
	is "interface" "$(tab_bash attach l)" lo
	! tab_bash detach '' | grep -e -- >/dev/null || fail "options come first"
	tab_bash detach -- | grep -c -- --all >/dev/null
}

fish_offers() {
	tab_begin fish
	is "prefix" "$(tab_fish cidr del 2001)" 2001:db8:99::/48
	is "generation" "$(tab_fish rollback "$(generation)")" "$(generation)"
	is "pod" "$(tab_fish flows --pod sh)" shop/cart-0
}

zsh_offers() {
	tab_begin zsh
	tab_zsh "cidr del 2001" :db8:99::/48
	tab_zsh "flows --pod sh" op/cart-0
	tab_zsh "explain 8.8.8.8 --source sh" op/cart-0
}

generation() {
	masq status --json | jq .generation
}

# Whatever a program of that name prints: no word of it is run or offered.
hostile_values() {
	local shell
	rm -rf bin
	mkdir bin
	cat >bin/masqbpf <<-'SH'
		#!/bin/sh
		[ "$2" = values ] || exec "$REAL" "$@"
		printf '%s\n' '$(id>TAB)' '`id>TAB`' 'a b' 'x;id>TAB' '*' '~' "'" \
			'!id' '-e' 'good/pod' "$(printf '\033[31m')" 'q\x' '${PATH}'
	SH
	chmod +x bin/masqbpf
	export REAL=$MASQBPF
	is "bash" "$(tab_bash flows --pod '')" good/pod
	for shell in fish zsh; do
		command -v $shell >/dev/null || continue
		[ $shell = zsh ] || is $shell "$(tab_fish 'flows --pod ')" good/pod
		[ $shell = fish ] || tab_zsh 'flows --pod g' ood/pod
	done
	[ ! -e TAB ] || fail "something was run"
	rm -rf bin
}

lab_begin
cd "$LAB_DIR"
lab_node_far
lab_pods 2
lab_ipv6
lab_serve far $PORT
LAB_IPV6=true lab_nat masqbpf 2>/dev/null
# pods of a bridge and of ptp: one is kept a file of, in its time
export MASQBPF_CNI_RESULTS=$LAB_DIR/results
mkdir results
lab_cni_file bridge cart-0 $POD $POD6 pod1
lab_in far ip route add $POD_NET via $NODE_ADDR
lab_in far ip route add fd00:44::/64 via $NODE_ADDR6
for pod in pod1 pod2; do
	traffic $pod who $FAR_ADDR $PORT >/dev/null
done
lab_in pod1 ping -qc1 -W2 $FAR_ADDR6 >/dev/null
row "flows" of_flows
row "flows: sorted, limited, counted" flows_as_wanted
row "explain, top, probe, plan" of_others
row "explain: flows that are asked for, alike ones in a line" explains_those
row "watch" of_watch
row "a name that nobody has" no_such_name
row "files that are none, or left over" without
row "bash offers what there is" bash_offers
row "fish offers what there is" fish_offers
row "zsh offers what there is" zsh_offers
row "hostile values are neither run nor offered" hostile_values
masq detach -q --all
tap_done
