# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# agent.sh - what the tests of an agent have in common. Sourced after tap.sh and
# lab.sh; $URL is where it listens, $LAB_DIR/agent has its process id (0: none).

ready() {
	lab_in node curl -sf --max-time $((5 * TEST_SLOW)) "$URL/readyz" >/dev/null
}

gone() { # PID
	! kill -0 "$1" 2>/dev/null
}

stop() { # [SIGNAL]
	local pid
	pid=$(cat "$LAB_DIR/agent")
	[ "$pid" != 0 ] || return 0
	kill "-${1:-TERM}" "$pid" 2>/dev/null || true
	lab_wait 10 gone "$pid"
	echo 0 >"$LAB_DIR/agent"
}

# put_config CIDR...: these are kept, says $CONFIG, which changes in one step
put_config() {
	local IFS=,
	echo "nonMasqueradeCIDRs: [$*]" >"$CONFIG.new"
	mv "$CONFIG.new" "$CONFIG"
}

clean() {
	lab_in node "$MASQBPF" detach -q --all 2>/dev/null || true
	[ ! -e "$MASQBPF_PIN_DIR" ] || fail "left: $(ls "$MASQBPF_PIN_DIR")"
}
