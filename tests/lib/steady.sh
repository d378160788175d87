# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# steady.sh - traffic that goes on while something else happens. Sourced after
# lab.sh; who uses it says what its end has to be (touch NAME.stop, then look
# at NAME.result).

# steady NAME NS ARG...: tests/lib/traffic.py steady, from NS to far (or to
# STEADY_TO)
steady() {
	local name=$1 ns=$2
	shift 2
	lab_spawn "$ns" "$PYTHON" "$LAB_LIB/traffic.py" steady \
		"${STEADY_TO:-$FAR_ADDR}" 443 \
		--stop "$LAB_DIR/$name.stop" --timeout 5 \
		--progress "$LAB_DIR/$name.progress" "$@" \
		>"$LAB_DIR/$name.result" 2>&1
	lab_process "$LAB_PID" >"$LAB_DIR/$name.pid"
}

progress() { # NAME
	cat "$LAB_DIR/$1.progress" 2>/dev/null || echo 0
}

reached() { # NAME COUNT
	[ "$(progress "$1")" -gt "$2" ]
}
