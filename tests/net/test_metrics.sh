#!/usr/bin/env bash
# Metrics and the agent's HTTP: promtool and a real Prometheus read them, the
# numbers are those of `counters`, they go on over a restart, and nobody who
# connects can hold the agent up.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

POD=10.44.14.15
PORT=443
URL=http://127.0.0.1:9842

lab_agent $POD
CONFIG=$LAB_DIR/config.yaml
LOG=$LAB_DIR/log
AGENT=

ready() {
	lab_in node curl -sf --max-time $((5 * TEST_SLOW)) $URL/readyz >/dev/null
}

gone() {
	not kill -0 "$1" 2>/dev/null
}

start() {
	lab_spawn node "$MASQBPF" agent --config "$CONFIG" "$@" eth0 2>>"$LOG"
	AGENT=$LAB_PID
	lab_wait 20 ready || fail "$(cat "$LOG")"
}

stop() {
	kill -TERM "$AGENT"
	lab_wait 5 gone "$AGENT"
}

get() {
	lab_in node curl -sS --max-time $((10 * TEST_SLOW)) "$URL$1"
}

# not COMMAND...: errexit does not see a plain !
not() {
	! "$@"
}

# value SAMPLE FILE
value() {
	awk -v sample="masqbpf_$1" '$1 == sample { print $2 }' "$2"
}

# counters and /metrics, taken at rest, say the same
same_as_counters() {
	local i
	for i in 1 2 3; do
		traffic pod1 who $FAR_ADDR $PORT
	done
	traffic pod1 who 10.142.0.1 $PORT || true # kept: nobody answers
	get /metrics >"$LAB_DIR/metrics"
	masq counters --json | jq -r '
		.prefixes[] | {p: .prefix, a: .action} as $l |
		"\($l.p) \($l.a) packets egress \(.egress.packets)",
		"\($l.p) \($l.a) packets ingress \(.ingress.packets)",
		"\($l.p) \($l.a) bytes egress \(.egress.bytes)",
		"\($l.p) \($l.a) bytes ingress \(.ingress.bytes)",
		"\($l.p) \($l.a) flows - \(.flows_total)"' >"$LAB_DIR/want"
	sed -nE 's/^masqbpf_prefix_(packets|bytes)_total\{prefix="(.*)",action="(.*)",direction="(.*)"\} (.*)/\2 \3 \1 \4 \5/p
		s/^masqbpf_prefix_flows_total\{prefix="(.*)",action="(.*)"\} (.*)/\1 \2 flows - \3/p' \
		"$LAB_DIR/metrics" >"$LAB_DIR/got"
	diff <(sort "$LAB_DIR/want") <(sort "$LAB_DIR/got")
	[ "$(wc -l <"$LAB_DIR/got")" -ge 25 ]
	is "flows" "$(value flows "$LAB_DIR/metrics")" \
		"$(masq flows --json | jq length)"
	is "flows of 0.0.0.0/0" "$(value \
		'prefix_flows_total{prefix="0.0.0.0/0",action="masquerade"}' \
		"$LAB_DIR/metrics")" 3
}

lint() {
	get /metrics | promtool check metrics
	masq metrics | promtool check metrics
}

# Every name of the contract with its kind and labels.
names() {
	get /metrics >"$LAB_DIR/metrics"
	"$PYTHON" - "$LAB_DIR/metrics" >"$LAB_DIR/names" <<-'PY'
		import re, sys
		kinds, labels = {}, {}
		for line in open(sys.argv[1]):
		    if line.startswith("# TYPE "):
		        _, _, name, kinds[name] = line.split()
		        continue
		    sample = re.match(r"(\w+)(?:\{(.*)\})? ", line)
		    if line.startswith("#") or not sample:
		        continue
		    name = sample[1]
		    if kinds.get(name) is None:
		        name = re.sub("_(bucket|sum|count)$", "", name)
		    found = labels.setdefault(name, set())
		    found.update(re.findall(r'(\w+)="', sample[2] or ""))
		for name, found in labels.items():
		    print(name.removeprefix("masqbpf_"), kinds[name],
		          ",".join(sorted(found)) or "-")
	PY
	while read -r line; do
		grep -qxF -- "$line" "$LAB_DIR/names" ||
			fail "no '$line' in $(cat "$LAB_DIR/names")"
	done <<-LIST
		prefix_packets_total counter action,direction,prefix
		prefix_bytes_total counter action,direction,prefix
		prefix_flows_total counter action,prefix
		flows gauge -
		flows_limit gauge -
		budget_flows gauge action,family
		budget_limit gauge action,family
		drops_total counter reason
		agent_due gauge reason
		port_search_failures_total counter -
		port_search_tries histogram le
		snat_port_utilization_ratio gauge -
		unreplied_flows gauge action,prefix
		config_generation gauge -
		config_last_reload_successful gauge -
		config_last_reload_success_timestamp_seconds gauge -
		config_stale gauge -
		attached gauge hook,interface
		foreign_nat_detected gauge -
		fast_path_packets_total counter direction
		fast_path_pods gauge -
		fast_path_pods_off gauge -
		fast_path gauge interface
		build_info gauge version
	LIST
	is "labels" "$(grep -o '[a-z]*="' "$LAB_DIR/metrics" | sort -u |
		tr -d '="' | paste -sd,)" \
		"action,direction,family,hook,interface,le,prefix,reason,version"
}

unreplied() {
	lab_reject $POD_NET $NODE_ADDR
	traffic pod1 who $FAR_ADDR $PORT --timeout 1 >/dev/null 2>&1 || true
	get /metrics >"$LAB_DIR/metrics"
	is "unreplied" "$(value \
		'unreplied_flows{prefix="0.0.0.0/0",action="masquerade"}' \
		"$LAB_DIR/metrics")" 1
	lab_accept
}

# 40 flows to one destination, with 100 ports to choose from
utilization() {
	local ratio
	cp "$CONFIG" "$LAB_DIR/saved"
	printf 'nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat: {portRange: 20000-20099}\n' \
		>"$CONFIG"
	lab_wait 5 grep -q 'generation 2' "$LOG"
	traffic far many $FAR_ADDR $PORT --netns "$LAB_ID-pod1" \
		--sports 20000-20039 --parallel 4
	get /metrics >"$LAB_DIR/metrics"
	ratio=$(value snat_port_utilization_ratio "$LAB_DIR/metrics")
	is "ratio" "$ratio" 0.4
	cp "$LAB_DIR/saved" "$CONFIG"
	lab_wait 5 grep -q 'generation 3' "$LOG"
}

# sums of all counters by name
sums() {
	awk '/^#/ { if ($2 == "TYPE") kind[$3] = $4; next }
		{ name = $1; sub(/[{].*/, "", name) }
		kind[name] == "counter" { sum[name] += $2 }
		END { for (n in sum) print n, sum[n] }' "$1" | sort
}

go_on() {
	get /metrics >"$LAB_DIR/before"
	stop
	traffic pod1 who $FAR_ADDR $PORT
	start
	get /metrics >"$LAB_DIR/after"
	echo "$AGENT" >"$LAB_DIR/agent"
	join <(sums "$LAB_DIR/before") <(sums "$LAB_DIR/after") |
		awk '$3 < $2 { print "went back: " $0; bad = 1 }
			$3 > $2 { more = 1 }
			END { exit bad || !more }'
	is "names" "$(sums "$LAB_DIR/after" | cut -d' ' -f1)" \
		"$(sums "$LAB_DIR/before" | cut -d' ' -f1)"
}

# The table of an instance is as large as its first config asks for.
many_prefixes() {
	local i took start
	kill -TERM "$(cat "$LAB_DIR/agent")"
	lab_wait 5 gone "$(cat "$LAB_DIR/agent")"
	masq detach --all
	cp "$CONFIG" "$LAB_DIR/saved"
	{
		printf 'cidrLimit: 2000\nnonMasqueradeCIDRs:\n'
		for ((i = 0; i < 1500; i++)); do
			echo "- 198.$((18 + i / 256)).$((i % 256)).0/24"
		done
	} >"$CONFIG"
	start
	start=${EPOCHREALTIME/[.,]/}
	get /metrics >"$LAB_DIR/metrics"
	took=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
	note "$(($(wc -c <"$LAB_DIR/metrics") / 1024)) KiB" "$took ms"
	is "prefixes" "$(grep -c '^masqbpf_prefix_flows_total' \
		"$LAB_DIR/metrics")" 1002
	is "others" "$(grep -c '^masqbpf_prefix_flows_total{prefix="other"' \
		"$LAB_DIR/metrics")" 2
	promtool check metrics <"$LAB_DIR/metrics"
	stop
	masq detach --all
	cp "$LAB_DIR/saved" "$CONFIG"
	start
}

# --json: the same samples
as_json() {
	masq metrics --json >"$LAB_DIR/metrics.json"
	masq metrics | grep -v '^#' >"$LAB_DIR/metrics.text"
	is samples "$(jq -r '.metrics[] | .name + (.labels |
		if . == {} then "" else "{" + ([to_entries[] |
		.key + "=" + (.value | tojson)] | join(",")) + "}" end)' \
		"$LAB_DIR/metrics.json")" \
		"$(sed 's/ [^ ]*$//' "$LAB_DIR/metrics.text")"
	is numbers "$(jq '[.metrics[].value | numbers] | length' \
		"$LAB_DIR/metrics.json")" "$(wc -l <"$LAB_DIR/metrics.text")"
	not masq metrics --json --textfile "$LAB_DIR/x"
}

textfile() {
	local file=$LAB_DIR/node/masqbpf.prom
	mkdir "$LAB_DIR/node"
	masq metrics --textfile "$file"
	promtool check metrics <"$file"
	is "mode" "$(stat -c %a "$file")" 644
	is "files" "$(ls "$LAB_DIR/node")" masqbpf.prom
	# a directory that cannot be written: the old text stays
	not masq metrics --textfile /proc/masqbpf.prom
}

# --- Prometheus -------------------------------------------------------------

query() { # EXPR: the number of series that it gives
	lab_in node curl -sS --max-time $((5 * TEST_SLOW)) -G http://127.0.0.1:9090/api/v1/query \
		--data-urlencode "query=$1" >"$LAB_DIR/answer"
	jq -e '.status == "success"' "$LAB_DIR/answer" >/dev/null ||
		fail "$1: $(cat "$LAB_DIR/answer")"
	jq '.data.result | length' "$LAB_DIR/answer"
}

up() {
	[ "$(query 'up{job="masqbpf"} == 1')" = 1 ] &&
		[ "$(query 'count_over_time(masqbpf_flows[1m]) > 4')" = 1 ]
}

prometheus_scrapes() {
	mkdir "$LAB_DIR/tsdb"
	cp "$LAB_ROOT/deploy/prometheus/masqbpf.rules.yaml" "$LAB_DIR/"
	cat >"$LAB_DIR/prometheus.yml" <<-YAML
		global: {scrape_interval: 1s, evaluation_interval: 1s}
		rule_files: [masqbpf.rules.yaml]
		scrape_configs:
		  - job_name: masqbpf
		    static_configs: [{targets: ["127.0.0.1:9842"]}]
	YAML
	promtool check config "$LAB_DIR/prometheus.yml"
	lab_spawn node prometheus --config.file="$LAB_DIR/prometheus.yml" \
		--storage.tsdb.path="$LAB_DIR/tsdb" \
		--web.listen-address=127.0.0.1:9090 >"$LAB_DIR/prometheus" 2>&1
	lab_wait 60 up || fail "$(tail -5 "$LAB_DIR/prometheus")"
	is "value" "$(query 'masqbpf_flows_limit == 262144')" 1
}

# Every expression of the dashboard gives data.
dashboard() {
	local expr count=0
	traffic pod1 who $FAR_ADDR $PORT
	jq -r '.panels[].targets[].expr' \
		"$LAB_ROOT/deploy/grafana/masqbpf.json" >"$LAB_DIR/exprs"
	while read -r expr; do
		# what Grafana fills in
		expr=${expr//\$__rate_interval/1m}
		expr=${expr//\$node/.*}
		[ "$(query "$expr")" -gt 0 ] || fail "no data: $expr"
		count=$((count + 1))
	done <"$LAB_DIR/exprs"
	[ $count -ge 10 ] || fail "only $count expressions"
	note "$count expressions"
	# no panel without one, and no two with one id
	is "panels without a query" "$(jq '[.panels[] |
		select(.type != "row" and .type != "text" and
			(.targets | length) == 0)] | length' \
		"$LAB_ROOT/deploy/grafana/masqbpf.json")" 0
	jq -e '[.panels[].id] | length == (unique | length)' \
		"$LAB_ROOT/deploy/grafana/masqbpf.json" >/dev/null
}

alerts_loaded() {
	lab_in node curl -sS http://127.0.0.1:9090/api/v1/rules \
		>"$LAB_DIR/answer"
	is "rules with errors" "$(jq '[.data.groups[].rules[] |
		select(.health == "err")] | length' "$LAB_DIR/answer")" 0
	note "$(jq '[.data.groups[].rules[]] | length' \
		"$LAB_DIR/answer") rules"
}

# An expression over a name that is not there would be silent for ever.
names_exist() {
	lab_in node curl -sS http://127.0.0.1:9090/api/v1/label/__name__/values |
		jq -r '.data[]' | sort >"$LAB_DIR/there"
	grep -ohE 'masqbpf_[a-z_]+' \
		<(sed 's/#.*//' "$LAB_ROOT/deploy/prometheus/masqbpf.rules.yaml" |
			grep -v 'job=') \
		<(jq -r '.. | .expr? // empty' \
			"$LAB_ROOT/deploy/grafana/masqbpf.json") |
		sort -u >"$LAB_DIR/used"
	is "names that nobody exports" "$(comm -23 "$LAB_DIR/used" \
		"$LAB_DIR/there" | paste -sd' ')" ""
	[ "$(wc -l <"$LAB_DIR/used")" -ge 12 ] || fail "$(cat "$LAB_DIR/used")"
}

# Each alert has a test in which it fires, and one in which it does not.
alert_units() {
	local alert
	cd "$LAB_ROOT/deploy/prometheus"
	promtool check rules masqbpf.rules.yaml
	promtool test rules masqbpf.rules.test.yaml
	while read -r alert; do
		grep -q "alertname: $alert, exp_alerts: \[\]" \
			masqbpf.rules.test.yaml || fail "$alert: no quiet test"
		grep -A3 "alertname: $alert\$" masqbpf.rules.test.yaml |
			grep -q exp_labels || fail "$alert: no test that fires"
	done < <(sed -n 's/^ *- alert: //p' masqbpf.rules.yaml)
}

# --- HTTP -------------------------------------------------------------------

# status CODE CURL-ARG...
status() {
	local code=$1
	shift
	is "status" "$(lab_in node curl -s -o /dev/null --max-time $((5 * TEST_SLOW)) \
		-w '%{http_code}' "$@")" "$code"
}

head_only() {
	lab_in node curl -sI $URL/metrics >"$LAB_DIR/head"
	grep -q '^HTTP/1.1 200' "$LAB_DIR/head"
	grep -qi "^content-security-policy: default-src 'none'" "$LAB_DIR/head"
	grep -qi '^content-type: text/plain; version=0.0.4' "$LAB_DIR/head"
}

# raw TEXT: the first line of the answer to these bytes
raw() {
	lab_in node "$PYTHON" - "$1" <<-'PY'
		import socket, sys
		s = socket.create_connection(("127.0.0.1", 9842), 5)
		s.settimeout(20)
		text = sys.argv[1].encode().decode("unicode_escape").encode("latin1")
		try:
		    s.sendall(text)
		    print(s.recv(4096).split(b"\r\n")[0].decode())
		except OSError as e:
		    print("closed", e)
	PY
}

not_served() { # TEXT: whatever the answer, it is no success
	local answer
	answer=$(raw "$1")
	note "${answer:-closed}"
	case $answer in *" 200 "*) fail "$answer" ;; esac
	ready
}

# Forty that dribble: the agent answers others, and they are thrown out.
slow_ones() {
	local start=${EPOCHREALTIME/[.,]/}
	lab_in node "$PYTHON" - <<-'PY'
		import socket, time
		peers = []
		for i in range(40):
		    s = socket.socket()
		    # one address has a share of its own
		    s.bind((f"127.0.0.{2 + i % 4}", 0))
		    s.settimeout(5)
		    s.connect(("127.0.0.1", 9842))
		    peers.append(s)
		end = time.time() + 30
		alive = list(peers)
		while alive and time.time() < end:
		    for s in list(alive):
		        try:
		            s.send(b"G")
		            s.settimeout(0.01)
		            if s.recv(1) == b"":
		                alive.remove(s)
		        except TimeoutError:
		            pass
		        except OSError:
		            alive.remove(s)
		    time.sleep(0.5)
		assert not alive, f"{len(alive)} are still connected"
	PY
	note "all out after $(((${EPOCHREALTIME/[.,]/} - start) / 1000)) ms"
	lab_wait 5 ready
}

# A name that would be markup, were it not escaped.
page() {
	lab_in node ip link add '<b>&"x' type veth peer name plain0
	masq attach '<b>&"x'
	lab_wait 8 page_names "&lt;b&gt;&amp;&quot;x: $(lab_hook)"
	get / >"$LAB_DIR/page"
	not grep -qF '<b>&"x' "$LAB_DIR/page"
	grep -qF '10.0.0.0/8' "$LAB_DIR/page"
	# nothing is loaded from anywhere
	not grep -qE 'src=|url\(|<script|<link|https?:' "$LAB_DIR/page"
	get /metrics | grep -qF "interface=\"<b>&\\\"x\",hook=\"$(lab_hook)\"} 1"
	get /metrics | promtool check metrics
	lab_in node ip link del plain0
}

page_names() {
	get / | grep -qF -- "$1"
}

wide() {
	lab_spawn node "$MASQBPF" metrics --listen 0.0.0.0:9843 \
		2>"$LAB_DIR/wide"
	lab_wait 5 grep -q 'warning: http://0.0.0.0:9843/.*everybody' \
		"$LAB_DIR/wide"
	lab_in far curl -sf http://$NODE_ADDR:9843/metrics | promtool check metrics
	# the agent is on loopback alone
	not lab_in far curl -sf --max-time 2 http://$NODE_ADDR:9842/metrics
	kill "$LAB_PID"
}

if ! command -v promtool >/dev/null || ! command -v prometheus >/dev/null; then
	row_skip "metrics" "no Prometheus: apt-get install prometheus"
	tap_done
	exit
fi
printf 'nonMasqueradeCIDRs: [10.0.0.0/8]\nenableIPv6: true\n' >"$CONFIG"
row "agent" start
row_ok || { tap_done; exit; }
AGENT=$(tail -n1 "$LAB_DIR/pids")
AGENT=${AGENT%:*}
row "promtool check metrics" lint
row "every name, no other labels" names
row "the same numbers as counters" same_as_counters
row "unanswered flows by prefix" unreplied
row "port utilization" utilization
row "counters go on over a restart" go_on
row "1500 prefixes: 1000 and the others" many_prefixes
row "as JSON" as_json
row "textfile" textfile
row "alert rules, unit-tested" alert_units
row "Prometheus scrapes" prometheus_scrapes
if row_ok; then
	row "every panel of the dashboard has data" dashboard
	row "alert rules are loaded" alerts_loaded
	row "no rule or panel asks for a name that is not there" names_exist
fi
row "GET /healthz" status 200 $URL/healthz
row "HEAD" head_only
row "POST is refused" status 405 -d x $URL/metrics
row "DELETE is refused" status 405 -X DELETE $URL/
row "another path" status 404 $URL/../etc/passwd --path-as-is
row "a query string is nothing" status 200 "$URL/metrics?x=<y>"
row "a header of 1 MB" status 431 -H "X: $(printf 'x%.0s' {1..100000})" $URL/
row "garbage" not_served '\x00\x01\xff\xfe\r\n\r\n'
row "HTTP/0.9" not_served 'GET /metrics\r\n\r\n'
row "no line ends" not_served 'GET /metrics HTTP/1.1\r\nHost'
row "40 connections that dribble" slow_ones
row "the page escapes what it shows" page
row "a wide address is said aloud, and only when asked for" wide
tap_done
