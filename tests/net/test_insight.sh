#!/usr/bin/env bash
# What an operator looks at: plan, top, history and rollback on a lab with
# traffic; the examples of the documentation. Watch and doctor have their own.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/operator.sh"

# --- plan -------------------------------------------------------------------

plan_counts_flows_and_pods() {
	local plan
	back
	connect pod1 $FAR_ADDR
	connect pod1 172.30.1.1
	connect pod2 $FAR_ADDR
	connect pod2 198.51.100.1 # not in the range that flips
	plan=$(masq plan new.yaml --json)
	json_is changes "$plan" '[.changes[] | [.prefix, .from, .to]]' \
		'[["172.16.0.0/12",null,"keep"]]'
	json_is flips "$plan" '[.flips[] | [.range, .from, .to, .live_flows]]' \
		'[["172.16.0.0/12","masquerade","keep",3]]'
	json_is pods "$plan" '.flips[0].pods' '["10.44.14.15","10.44.14.16"]'
	json_is warnings "$plan" '[.warnings[] |
		select(test("3 live flows of 2 pods"))] | length' 1
}

plan_says_whether_something_changes() {
	back
	is "the same file" "$(status_of masq plan old.yaml --exit-code)" 0
	grep -q 'nothing changes' out
	is "another one" "$(status_of masq plan new.yaml --exit-code)" 3
	is "without --exit-code" "$(status_of masq plan new.yaml)" 0
	is "files" "$(status_of masq plan new.yaml --against old.yaml \
		--exit-code)" 3
	is "no such file" "$(status_of masq plan nowhere.yaml)" 2
	is "no such other file" "$(status_of masq plan new.yaml \
		--against nowhere.yaml)" 2
}

plan_tells_settings_as_the_file_does() {
	local plan
	back
	sed '$a timeouts: {udp: 5s, udpUnreplied: 500ms, icmp: 61s}' \
		old.yaml >settings.yaml
	plan=$(masq plan settings.yaml --json)
	json_is settings "$plan" '[.settings[] | [.name, .from, .to]]' \
		'[["timeouts.udp","300s","5s"],["timeouts.udpUnreplied","120s","0.5s"],["timeouts.icmp","60s","61s"]]'
	# what reload changes in the dataplane itself, too
	sed '$a flowCounters: false\nmaxFlows: 4096\nguard: {action: off}' \
		old.yaml >settings.yaml
	plan=$(masq plan settings.yaml --json)
	json_is "settings of the dataplane" "$plan" \
		'[.settings[] | [.name, .from, .to]]' \
		'[["maxFlowsPerPod","65536","1024"],["maxFlows","262144","4096"],["flowCounters","true","false"]]'
	json_is "what is not watched" "$plan" \
		'[.warnings[] | select(test("guard.action is off"))] | length' 1
	plan=$("$MASQBPF" plan settings.yaml --against old.yaml --json)
	json_is "of two files" "$plan" '[.settings[].name]' \
		'["maxFlowsPerPod","maxFlows","flowCounters"]'
}

# What undoes itself says so, and how it stays: in a file that is accepted.
cidr_says_how_it_stays() {
	back
	masq cidr add 10.0.0.0/8 --masquerade 2>said
	grep -q 'take it out of nonMasqueradeCIDRs (line [0-9]*), and' said ||
		fail "$(cat said)"
	masq cidr del 10.0.0.0/8 2>said
	! grep -q 'until reload' said || fail "$(cat said)"
	back
	masq cidr del 10.0.0.0/8 2>said
	grep -q 'take it out of nonMasqueradeCIDRs (.*:[0-9]*)' said ||
		fail "$(cat said)"
	masq cidr del 169.254.0.0/16 2>said
	grep -q 'masqLinkLocal: true in ' said || fail "$(cat said)"
	is "drift" "$(masq status --json | jq -c '.drift.missing')" \
		'["10.0.0.0/8","169.254.0.0/16"]'
}

plan_is_true() {
	local range
	back
	range=$(masq plan new.yaml --json | jq -r '.flips[0].range')
	masq reload --config new.yaml --yes
	is "action of the range that flipped" \
		"$(masq explain "${range%/*}" --json | jq -r .action)" keep
	is "and of what lies behind it" \
		"$(masq explain 172.32.0.0 --json | jq -r .action)" masquerade
	is "plan afterwards" "$(status_of masq plan new.yaml --exit-code)" 0
}

plan_without_a_node() {
	chmod 755 "$LAB_DIR"
	is "two files, as nobody" "$(status_of setpriv --reuid 65534 \
		--clear-groups --bounding-set -all "$MASQBPF" plan new.yaml \
		--against old.yaml --exit-code)" 3
	is "against nothing that runs" "$(status_of "$MASQBPF" \
		--pin-dir "$LAB_DIR/bpf/nothing" plan new.yaml)" 1
	grep -q 'not attached; --against FILE' out
}

plan_reads_a_manifest() {
	{
		printf 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n'
		printf '  name: ip-masq-agent\ndata:\n  config: |\n'
		sed 's/^/    /' new.yaml
	} >manifest.yaml
	is "the same inside" "$(status_of masq plan manifest.yaml \
		--against new.yaml --exit-code)" 0
	is "another one" "$(status_of masq plan manifest.yaml \
		--against old.yaml --exit-code)" 3
	grep -q 'manifest.yaml:7' out # the line of the manifest
}

# --- top --------------------------------------------------------------------

top_shows_rates() {
	local top
	back
	stream_start pod1 $FAR_ADDR $PORT
	connect pod2 198.51.100.1
	top=$(masq top --json --interval 0.5)
	stream_end
	json_is "rate of the prefix" "$top" \
		'.prefixes[0] | [.prefix, .out_bytes_per_s > 100000]' \
		'["0.0.0.0/0",true]'
	json_is "the pod" "$top" '.pods[0] | [.pod, .live]' "[\"$POD\",1]"
	json_is "the flow" "$top" '.flows[0].flow | split(" ")[3]' \
		"\"$FAR_ADDR:$PORT\""
	is "as text" "$(masq top --once --interval 0.1 | grep -c '^PREFIXES')" 1
	is "no terminal" "$(status_of masq top </dev/null)" 2
}

# What top shows in a terminal of that size, driven by keys. A server of tmux
# of our own: nobody else's sessions are touched.
tmux_lab() {
	tmux -L "$LAB_ID" -f /dev/null "$@"
}

screen_start() { # COLUMNS LINES [VARIABLE=VALUE...]
	tmux_lab new-session -d -s top -x "$1" -y "$2" \
		"${@:3}" nsenter --net="$(lab_netns node)" env TERM="$SCREEN_TERM" \
		MASQBPF_PIN_DIR="$MASQBPF_PIN_DIR" "$MASQBPF" top --interval 0.2
	trap 'tmux_lab kill-server 2>/dev/null || true' EXIT
}

screen() {
	tmux_lab capture-pane -p -t top "$@"
}

screen_has() { # EXTENDED-REGEX...: all of them
	local regex
	for regex; do
		screen | grep -Eq -- "$regex" || return 1
	done
}

screen_lacks() {
	! screen_has "$1"
}

# shows REGEX...: soon; says what there was instead
shows() {
	lab_wait 5 screen_has "$@" || fail "$(screen)"
}

key() {
	tmux_lab send-keys -t top "$@"
}

top_is_a_screen() {
	local i
	back
	stream_start pod1 $FAR_ADDR $PORT
	for i in 1 2 3; do
		connect pod2 198.51.100.$i
	done
	SCREEN_TERM=screen
	screen_start 80 24 env
	shows '^masqbpf generation [0-9]+ +flows 4 +table 0 % +unreplied 3 +[0-9:]{8}$' \
		'^PREFIXES \([0-9]+\) +ACTION +OUT/s +IN/s +PKT/s +LIVE UNREPLIED$' \
		'^0.0.0.0/0 +masquerade .* 4 +3$' '^PODS \(2\)' \
		'^10.44.14.16 .* 3 +3$' "^tcp $POD:[0-9]+ > $FAR_ADDR:$PORT +masq" \
		'^DROPS' '^q quit  \? help  / filter .* space pause$'
	is "the longest line" "$(screen | awk '{ if (length > n) n = length }
		END { print n <= 80 }')" 1
	key 2
	shows '^PODS \(2\)'
	lab_wait 5 screen_lacks '^PREFIXES'
	key 3
	shows '^FLOWS \(4\)'
	key s
	shows 'sort:packets'
	key r
	shows 'sort:-packets'
	key r
	shows 'sort:packets'
	key Down Up PPage NPage
	key Space
	shows '^PAUSED'
	key Space
	lab_wait 5 screen_lacks '^PAUSED'
	key 4
	shows '^DROPS'
	key Tab
	shows '^PREFIXES' '^DROPS'
	tmux_lab resize-window -t top -x 120 -y 40
	shows '^PREFIXES .{90,}UNREPLIED$'
	tmux_lab resize-window -t top -x 40 -y 10
	shows '^flows 4  unreplied 3  drops' '^PREFIXES \([0-9]+\) +OUT/s$' \
		'^0.0.0.0/0 +[0-9.]+ [KMG]iB$'
	tmux_lab resize-window -t top -x 10 -y 3
	key NPage Down
	tmux_lab resize-window -t top -x 80 -y 24
	shows '^PREFIXES'
	key q
	lab_wait 5 no_screen
	stream_end
}

# A filter as it is typed, and the keys, in any size.
top_filters() {
	back
	connect pod1 $FAR_ADDR
	connect pod2 198.51.100.1
	connect pod2 198.51.100.2
	SCREEN_TERM=screen
	screen_start 80 24 env
	shows '^FLOWS \(3\)' '^PODS \(2\)'
	key /
	shows '^filter: _ .*Enter, Esc\)$'
	# what is a key elsewhere is a letter here
	key q 1 9 8 BSpace BSpace BSpace BSpace 198.51.100.0/30 Enter
	shows '^FLOWS \(2\)' '^PODS \(0\)' '^filter: 198.51.100.0/30 \(Esc: none\)  q quit' \
		'^0.0.0.0/0 ' '^DROPS'
	key Space
	shows '^PAUSED, space goes on  filter:'
	key / C-u 10.44.14.16 Enter
	shows '^FLOWS \(2\)' '^PODS \(1\)' '^10.44.14.16 '
	screen_lacks '^tcp 10.44.14.15' || fail "$(screen)"
	key /
	shows '^filter: 10.44.14.16_'
	key C-u nothing/has-it Enter
	shows '^FLOWS \(0\)' '^PODS \(0\)' '^PREFIXES \(0\)'
	key Space Escape
	shows '^FLOWS \(3\)' '^PODS \(2\)' '^q quit'
	key '?'
	shows '^KEYS' '^/ +filter' '^any key goes back'
	tmux_lab resize-window -t top -x 40 -y 10
	shows '^KEYS' '^q +quit'
	tmux_lab resize-window -t top -x 12 -y 3
	tmux_lab resize-window -t top -x 80 -y 24
	shows '^any key goes back'
	key h
	shows '^PREFIXES'
	key q
	lab_wait 5 no_screen
	json_is "--filter" "$(masq top --json --interval 0.1 \
		--filter 198.51.100.2)" '[(.flows | length), (.pods | length),
		.live_flows, .prefixes[0].prefix]' '[1,0,3,"0.0.0.0/0"]'
	json_is "a part" "$(masq top --json --interval 0.1 --filter 14.16)" \
		'[(.flows | length), (.pods | length)]' '[2,1]'
}

# An address, a port, the length of a prefix: whole, or a sign that it is not.
top_cuts_nothing() {
	back
	masq cidr add -q 2001:db8:1234:5678:9abc::/80 --masquerade
	connect pod2 198.51.100.123 65432
	SCREEN_TERM=screen
	screen_start 80 24 env
	shows '^tcp 10.44.14.16:[0-9]{5} > 198.51.100.123:65432 ' \
		'^2001:db8:1234:5678:9abc::/80 '
	tmux_lab resize-window -t top -x 40 -y 24
	shows '^tcp ... > 198.51.100.123:65432 ' \
		'^2001:db8:1234:5678:9abc::/80 '
	tmux_lab resize-window -t top -x 34 -y 24
	shows '^> 198.51.100.123:65432 '
	tmux_lab resize-window -t top -x 30 -y 24
	shows '^> 198.51.100.123:65~ ' '^2001:db8:1234:5678:~ '
	key q
	lab_wait 5 no_screen
	masq cidr del -q 2001:db8:1234:5678:9abc::/80
}

top_goes_on_in_another_size() {
	back
	connect pod1 $FAR_ADDR
	SCREEN_TERM=screen
	screen_start 80 24 env
	shows ' flows 1 '
	{
		seq 1500 | awk '{ printf "%s10.%d.%d.0/24",
			(NR > 1 ? ", " : "nonMasqueradeCIDRs: ["),
			$1 / 256, $1 % 256 } END { print "]" }'
		printf 'cidrLimit: 2000\nmaxFlows: 40000\n'
	} >larger.yaml
	masq reload --config larger.yaml --yes
	connect pod2 198.51.100.1
	shows ' flows 2 ' '^PREFIXES \(150[0-9]\)'
	key q
	lab_wait 5 no_screen
}

no_screen() {
	! tmux_lab has-session -t top
}

top_has_no_colour_when_told() {
	back
	connect pod2 198.51.100.1
	SCREEN_TERM=screen-256color
	screen_start 80 24 env
	shows 'unreplied 1'
	screen -e | grep -q $'\e\\[[0-9;]*31m' || fail "no red: $(screen -e)"
	key q
	lab_wait 5 no_screen
	screen_start 80 24 env NO_COLOR=1
	shows 'unreplied 1'
	! screen -e | grep -q $'\e\\[[0-9;]*3[1-7]m' || fail "$(screen -e)"
	key q
	lab_wait 5 no_screen
}

top_says_what_it_cannot_do() {
	is "a dumb terminal" "$(status_of timeout 10 script -qec "nsenter \
		--net=$(lab_netns node) env TERM=dumb '$MASQBPF' top" \
		/dev/null)" 1
	grep -q 'top: terminal dumb: .*--once needs none' out
	is "no terminal" "$(status_of masq top </dev/null)" 2
	grep -q -e '--once' out
}

# --- history ----------------------------------------------------------------

generation() {
	masq status --json | jq .generation
}

history_and_back() {
	local before
	back
	before=$(generation)
	masq reload --config new.yaml --yes
	is "the newest" "$(masq history --json | jq -c '.[0] |
		[.generation, .running, .who, .added]')" \
		"[$((before + 1)),true,\"$(id -un)\",1]"
	is command "$(masq history --json | jq -r '.[0].command')" \
		"masqbpf reload --config new.yaml --yes"
	is "kept prefixes of the older one" "$(masq history "$before" --json |
		jq -r '[.prefixes[] | select(.action == "keep") | .prefix] |
			join(" ")')" "10.0.0.0/8 169.254.0.0/16 fe80::/10"
	masq rollback "$before"
	is "generation afterwards" "$(generation)" $((before + 2))
	is "action afterwards" \
		"$(masq explain $FAR_ADDR --json | jq -r .action)" masquerade
	is "not kept" "$(status_of masq rollback 99999)" 1
	is "no number" "$(status_of masq rollback yesterday)" 2
}

explain_knows_before() {
	local before explained
	back
	before=$(generation)
	masq reload --config new.yaml --yes
	masq cidr add 192.0.2.0/24 # a generation that changes nothing there
	explained=$(masq explain $FAR_ADDR --json)
	masq cidr del 192.0.2.0/24
	json_is before "$explained" '.before' \
		"{\"generation\":$before,\"action\":\"masquerade\",\"prefix\":\"0.0.0.0/0\"}"
	json_is changed "$explained" '[.changed.generation, .changed.command]' \
		"[$((before + 1)),\"masqbpf reload --config new.yaml --yes\"]"
	# what no policy decides was not otherwise before
	json_is "before, of the node itself" \
		"$(masq explain $NODE_ADDR --json)" '[.reason, .before, .changed]' \
		'["host",null,null]'
}

examples_are_true() {
	"$LAB_ROOT/scripts/examples.sh" --check
}

row "plan: flows and pods that go there" plan_counts_flows_and_pods
row "plan: exit codes" plan_says_whether_something_changes
row "plan: settings" plan_tells_settings_as_the_file_does
row "cidr: how a change stays" cidr_says_how_it_stays
row "plan: what it says is what happens" plan_is_true
row "plan: without a node, without privileges" plan_without_a_node
row "plan: a Kubernetes manifest" plan_reads_a_manifest
row "top: rates" top_shows_rates
row "top: a screen of 80 x 24, 120 x 40, 40 x 10, and its keys" top_is_a_screen
row "top: a filter, and its keys" top_filters
row "top cuts no address, port or prefix" top_cuts_nothing
row "top: goes on in another size" top_goes_on_in_another_size
row "top: NO_COLOR" top_has_no_colour_when_told
row "top: terminals that cannot" top_says_what_it_cannot_do
row "history and rollback" history_and_back
row "explain: what it was before" explain_knows_before
row "the examples of the documentation" examples_are_true
tap_done
