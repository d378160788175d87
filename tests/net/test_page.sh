#!/usr/bin/env bash
# The agent's page in a browser: what a person sees on a desk and on a phone.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

POD=10.44.14.15
PORT=443
URL=http://127.0.0.1:9842/
# SHOTS=DIR keeps pictures
SHOTS=${SHOTS:-}

if ! command -v chromium-headless-shell chromium >/dev/null; then
	row_skip "page" "no browser: apt-get install chromium-headless-shell"
	tap_done
	exit
fi

lab_agent $POD
CONFIG=$LAB_DIR/config.yaml

begin() {
	lab_spawn node "$MASQBPF" agent --config "$CONFIG" eth0 2>"$LAB_DIR/log"
	AGENT=$LAB_PID
	lab_wait 20 ready >/dev/null
}

ready() {
	lab_in node curl -sf --max-time 5 ${URL}readyz
}

# look NAME ARG...: a fresh browser; what it found is $LAB_DIR/NAME
look() {
	local name=$1
	shift
	[ -z "$SHOTS" ] || set -- "$@" --png "$SHOTS/$name.png"
	HOME=$LAB_DIR lab_in node timeout 120 "$PYTHON" "$LAB_LIB/browser.py" \
		$URL "$@" >"$LAB_DIR/$name" 2>"$LAB_DIR/$name.err" ||
		fail "$(tail -20 "$LAB_DIR/$name.err")"
}

found() { # NAME FILTER
	jq -r "$2" "$LAB_DIR/$1"
}

shows() { # NAME PATTERN...
	local name=$1 pattern
	shift
	for pattern; do
		found "$name" .text | grep -qE -- "$pattern" ||
			fail "no '$pattern' in: $(found "$name" .text)"
	done
}

# Nothing from elsewhere, nothing that the browser complains about.
alone() {
	# on a slow machine it may have been asked for again by itself
	is "requests" "$(found "$1" '.requests | unique | join(" ")')" "$URL"
	is "messages" "$(found "$1" '.messages | join(" ")')" ""
}

no_sideways() { # NAME WIDTH
	is "width of the window" "$(found "$1" .width)" "$2"
	is "what sticks out" "$(found "$1" '.wide | join("; ")')" ""
	is "width of the page" "$(found "$1" .content)" "$2"
	is "tables that scroll" "$(found "$1" '[.tables[] | select(. > 0)]
		| length')" 0
	is "too small" "$(found "$1" '.small | join("; ")')" ""
}

all_of_it() {
	shows "$1" '^masqbpf ok$' "^$NODE\$" '^generation' \
		'^20[0-9-]* [0-9:]* UTC$' \
		"config.yaml" 'live flows' '[0-9]+ masquerade, [0-9]+ keep, 0 inbound, of 262144 each' 'eth0: (tcx|tc)' \
		'^10\.0\.0\.0/8' '^172\.30\.0\.0/24' 'keep' 'masquerade' \
		'config, line 1' 'Dropped packets' 'metrics'
	# the row of 0.0.0.0/0: three flows, answered, with their packets
	found "$1" .text | grep -A7 '^0\.0\.0\.0/0' | tr -s '\n\t ' ' ' |
		grep -qE 'masquerade built-in 3 0 [0-9]+ B 18 [0-9]+ B 12' ||
		fail "$(found "$1" .text)"
}

desk() {
	look desk 1280 800
	is "title" "$(found desk .title)" "$NODE: ok - masqbpf"
	all_of_it desk
	alone desk
	no_sideways desk 1280
}

phone() {
	look phone 360 740 --mobile
	all_of_it phone
	alone phone
	no_sideways phone 360
}

# Problems are long lines, and IPv6 prefixes are long words.
crowded() {
	{
		echo 'nonMasqueradeCIDRs:'
		printf -- '- fd%02x:1234:5678:9abc:def0:1234:5678:9a%02x/128\n' \
			1 1 2 2 3 3
	} >"$CONFIG"
	# another size: programs are loaded anew for it
	lab_wait 40 page_has "fd01:1234" || fail "$(cat "$LAB_DIR/log")"
	echo 'nonMasqueradeCIDRs: [10.0.0.1/8, 10.0.0.300/8]' >"$CONFIG"
	lab_in node nft -f - <<-NFT
		table ip other {
			chain out {
				type nat hook postrouting priority srcnat
				oifname eth0 masquerade
			}
		}
	NFT
	kill -HUP "$AGENT"
	# found by two looks, either of which may be the first
	lab_wait 10 page_has 'foreign NAT'
	lab_wait 10 page_has 'did you mean'
	look crowded 360 740 --mobile --dark
	shows crowded '^masqbpf degraded$' \
		'did you mean 10\.0\.0\.0/8\?; and 1 more error; the policy' \
		'foreign NAT: nft' 'fd01:1234:5678:9abc:def0:1234:5678:9a01/128'
	# the log has them all
	grep -c 'config.yaml:1:34: .*300 is above 255' "$LAB_DIR/log" >/dev/null
	alone crowded
	no_sideways crowded 360
}

# By itself, without a script: the same page is asked for once more.
refreshes() {
	HOME=$LAB_DIR lab_in node timeout 120 "$PYTHON" \
		"$LAB_LIB/browser.py" $URL 360 740 --mobile --again \
		>"$LAB_DIR/again" 2>"$LAB_DIR/again.err" ||
		fail "$(tail -20 "$LAB_DIR/again.err")"
	is "requests" "$(found again '.requests[:2] | join(" ")')" "$URL $URL"
	is "messages" "$(found again '.messages | join(" ")')" ""
	lab_in node curl -sI --max-time 5 $URL |
		grep -c "Security-Policy: default-src 'none'; style-src" >/dev/null
}

# A name is text, whoever gave it, and the node's own where none was given.
named() {
	page_has 'a&lt;b&gt;&quot;' || fail "$(lab_in node curl -s $URL | head -c 999)"
	kill "$AGENT"
	lab_wait 10 lab_gone "$AGENT"
	NODE_NAME='' begin
	lab_wait 20 page_has "<dt>node<dd>$(uname -n)"
}

page_has() {
	# all of it is read: who hangs up on curl makes it fail
	lab_in node curl -s --max-time 5 $URL | grep -c "$1" >/dev/null
}

printf 'nonMasqueradeCIDRs: [10.0.0.0/8, 172.30.0.0/24]\n' >"$CONFIG"
NODE='worker-7.a<b>"'
NODE_NAME=$NODE begin
lab_in far ip route add $POD_NET via $NODE_ADDR
for _ in 1 2 3; do
	traffic pod1 who $FAR_ADDR $PORT >/dev/null
done
traffic pod1 who 172.30.0.9 $PORT >/dev/null # kept
row "on a desk" desk
row "on a phone, 360 pixels wide" phone
row "on a phone, in the dark, with problems and long prefixes" crowded
row "refreshes itself" refreshes
row "says which node it is" named
tap_done
