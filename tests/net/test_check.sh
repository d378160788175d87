#!/usr/bin/env bash
# `masqbpf check`: the JSON that programs read, what people see, exit codes.
# What is accepted and refused is the matter of tests/unit/test_config.c.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"

root=$(cd "$(dirname "$0")/../.." && pwd)
MASQBPF=${MASQBPF:-$root/build/masqbpf}
dir=$(mktemp -d "${TMPDIR:-/tmp}/masqbpf-check.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# means FILTER WANT: what jq FILTER makes of the JSON of the file on stdin. As a
# value: newer jq prints 0.500 where older ones print 0.5.
means() {
	local filter=$1 want=$2
	cat >file
	"$MASQBPF" check file --json >out 2>err
	is stderr "$(cat err)" ""
	jq -e --argjson want "$want" "($filter) == \$want" out >/dev/null ||
		fail "$filter: got '$(jq -c "$filter" out)', want '$want'"
}

contract='[.nonMasqueradeCIDRs, .masqueradeCIDRs, .masqLinkLocal,
	.masqLinkLocalIPv6, .cidrLimit, .resyncInterval_s, (.warnings | length)]'
three='"10.0.0.0/8","172.16.0.0/12","192.168.0.0/16"'

row "null list: empty" means "$contract" '[[],[],false,false,64,60,1]' \
	<<<'nonMasqueradeCIDRs:'
row "other keys alone: defaults" means "$contract" \
	"[[$three],[],true,false,64,300,1]" <<-END
		masqLinkLocal: true
		resyncInterval: 5m
	END
row "everything, in the order of the file" means "$contract" \
	'[["172.16.0.0/12","10.0.0.0/8","10.0.0.0/8"],["172.30.0.0/16"],true,true,5,5400,1]' <<-END
		nonMasqueradeCIDRs: [172.16.0.0/12, 10.0.0.0/8, 10.0.0.0/8]
		masqueradeCIDRs: [172.30.0.0/16]
		cidrLimit: 5
		masqLinkLocal: yes
		masqLinkLocalIPv6: on
		resyncInterval: 1.5h
	END
row "JSON in, JSON out" means "$contract" \
	'[["10.0.0.0/8","fc00::/7"],[],false,false,64,60,0]' \
	<<<'{"nonMasqueradeCIDRs":["10.0.0.0/8","FC00::/7"]}'
row "part of a second" means .resyncInterval_s 0.5 \
	<<<'resyncInterval: 500ms'
row "our keys" means \
	'[.podCIDRs, .enableIPv6, .snat.portRange, .snat.nodePortRange,
	.snat.strictPorts, .snat.addresses, .timeouts_s.udp, .maxFlows, .maxFlowsPerPod]' \
	'[["10.44.0.0/16"],true,"20000-29999","none",true,[{"destination":"0.0.0.0/0","address":"10.142.0.100","addresses":["10.142.0.100"],"count":1}],2,65536,16384]' <<-END
		podCIDRs: [10.44.0.0/16]
		enableIPv6: true
		snat: {portRange: 20000-29999, strictPorts: true, nodePortRange: none, addresses: [10.142.0.100]}
		timeouts: {udp: 2s}
		maxFlows: 65536
	END
row "several source addresses" means '.snat.addresses' \
	'[{"destination":"172.30.0.0/16","address":null,"addresses":["192.0.2.8","192.0.2.16-192.0.2.27","192.0.2.64/26"],"count":77},{"destination":"::/0","address":null,"addresses":["2001:db8::/127"],"count":2}]' <<-END
		snat:
		  addresses:
		  - destination: 172.30.0.0/16
		    address: [192.0.2.64/26, 192.0.2.8, 192.0.2.16/30, 192.0.2.20-192.0.2.27]
		  - 2001:db8::1
		  - 2001:db8::0
	END
row "a warning names its place" means '.warnings[0]' \
	'"file:2:1: unknown key \"nonMasqueradeCIDR\" is ignored: did you mean nonMasqueradeCIDRs?"' <<-END
		nonMasqueradeCIDRs: [10.0.0.0/8]
		nonMasqueradeCIDR: [172.16.0.0/12]
	END

# says NAME PATTERN: what went to stdout or stderr; '': nothing
says() {
	if [ "$2" ]; then
		grep -Eq -- "$2" "$1" || fail "std$1 does not say '$2'"
	else
		is "std$1" "$(cat "$1")" ""
	fi
}

# exits CODE STDOUT-PATTERN STDERR-PATTERN ARG...
exits() {
	local want=$1 out=$2 err=$3 status=0
	shift 3
	"$MASQBPF" "$@" >out 2>err || status=$?
	cat out err
	is "exit code" $status "$want"
	says out "$out"
	says err "$err"
}

printf 'nonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]\n' >good
printf 'masqueradeCIDRs: [172.30.0.0/16]\n' >>good
printf 'nonMasqueradeCIDRs: [10.0.0.0/8]\nxyzzy: 1\n' >unknown
row "for people: prefix, action, line" exits 0 \
	'^masquerade +172\.30\.0\.0/16 +line 2$' '' check good
row "for people: a warning is on stderr" exits 0 '^unknown: valid$' \
	'^masqbpf: warning: unknown:2:1: ' check unknown
# What is not in a list is shown too, as people write it.
settings() {
	"$MASQBPF" check - >out 2>err <<-END
		nonMasqueradeCIDRs: [10.0.0.0/8]
		snat: {rejectTCP: true, nodePortRange: none}
		flowCounters: false
		cidrLimit: 7
		guard: {action: rollback, window: 90s}
		dropForeignSources: true
		resyncInterval: 1ns
		timeouts: {tcpEstablished: 5h, udp: 1500ms}
	END
	says out '^  refused TCP +answered with ICMP$'
	says out '^  ports +10240-65535$'
	says out '^  flow counters +off$'
	says out '^  cidrLimit +1 prefixes to keep, at most 7$'
	says out '^  guard +rollback, for 1m30s$'
	says out '^  resyncInterval +1ns$'
	says out '^  tcpEstablished +5h$'
	says out '^  tcpTransitory +4m$'
	says out '^  udp +1.5s$'
	! grep -q 'foreign sources' out || fail "$(cat out)"
	says err '^masqbpf: warning: stdin:6:21: dropForeignSources has no effect'
}
row "for people: settings" settings
row "--strict" exits 2 '' '^masqbpf: unknown:2:1: unknown key "xyzzy"$' \
	check --strict unknown
row "--json of a bad file: nothing on stdout" exits 2 '' 'unknown key' \
	check --json --strict unknown
printf '# nonMasqueradeCIDRs: [10.0.0.0/8]\n---\n' >comments
row "a file that sets nothing" exits 2 '' \
	'^masqbpf: comments:[0-9:]* is empty: nothing is set' check comments
row "no file content" exits 2 '' '^masqbpf: stdin:1:1: is empty' \
	check --json - </dev/null
# 16 MB that mean nothing, as many ways as there are: refused within the memory
# that a DaemonSet has.
bounded() { # PYTHON-EXPRESSION PATTERN: the file's text
	local status=0
	[ -z "${ASAN_OPTIONS-}" ] || skip "sanitizers take more by themselves"
	/usr/bin/python3 -c "import sys; sys.stdout.write(($1)[:1 << 24])" >bomb
	(ulimit -v 262144 && exec "$MASQBPF" check bomb) >out 2>err || status=$?
	rm -f bomb
	is "exit code" "$status $(tail -c 200 err)" "2 $(tail -c 200 err)"
	says err "$2"
}
# As many as there may be, each of which is compared with all the others: within
# seconds, for the agent that reads them answers nobody meanwhile.
many_choices() { # LINES...: before the choices
	local status=0
	[ -z "${ASAN_OPTIONS-}" ] || skip "sanitizers take longer by themselves"
	{
		printf '%s\n' "$@" snat: '  addresses:'
		for i in {0..239}; do
			printf "  - {destination: 10.$i.%d.0/24, address: 192.0.2.1}\n" {0..255}
		done
	} >many
	(ulimit -t $((5 * ${TEST_SLOW:-1})) && exec "$MASQBPF" check many) >out 2>err ||
		status=$?
	is "exit code" "$status" 0
	rm -f many
}
row "61,440 source addresses and podCIDRs" many_choices \
	'nonMasqueradeCIDRs: []' 'podCIDRs: [10.44.0.0/16, 10.45.0.0/16]'
row "61,440 source addresses for what is kept" many_choices \
	'nonMasqueradeCIDRs: [10.0.0.0/8]' 'masqueradeCIDRs: [172.30.0.0/16]'
list='"nonMasqueradeCIDRs: [10.0.0.0/8]\nx: [" +'
row "16 MB of empty lists" bounded "$list '[],' * 5500000 + ']'" \
	'more than 524288 values'
row "empty lists, then values" \
	bounded "$list '[],' * 524400 + 'a,' * 7400000 + ']'" \
	'more than 524288 values'
row "16 MB of empty mappings" bounded "$list '{},' * 5500000 + ']'" \
	'more than 524288 values'
row "16 MB of list items" bounded "'x:\n' + '- - - []\n' * 2000000" \
	'more than 524288 values'
row "16 MB of JSON mappings" \
	bounded "'{\"x\":[' + '{},' * 5000000 + '0]}'" \
	'more than 524288 values'
row "JSON mappings, no more than there may be" \
	bounded "'{\"x\":[' + '{},' * 524000 + '0], \"masqLinkLocal\": 1}'" \
	'masqLinkLocal: "1" is neither'
row "a missing file" exits 2 '' '^masqbpf: nowhere: cannot be opened: No such' \
	check nowhere
row "the sample" exits 0 'masqbpf.yaml: valid$' '' check --strict "$root/deploy/masqbpf.yaml"
row "standard input" exits 0 '^stdin: valid$' '' check - <good
unprivileged() {
	chmod 755 .
	setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all \
		--inh-caps -all "$MASQBPF" check - <good
}
row "without any privilege" unprivileged
tap_done
