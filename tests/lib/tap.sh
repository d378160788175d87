# shellcheck shell=bash
# tap.sh - rows of a test written in bash: one line a row, a sum at the end.
#
#	row "name" function [arg...]	runs it in a subshell; it passes when
#					every command of it succeeds
#	row_skip "name" "why"		a row that cannot run here
#	row_ok				was the last row ok?
#	tap_done			prints the sum; its status is the result
# and inside a row:
#	fail "text"	ends the row as failed
#	skip "why"	ends the row as skipped
#	note "text"	a measured value, printed behind the row's name
#	is NAME GOT WANT	fails unless both are the same text
#
# What a row prints is shown only when it fails.

TAP_PASSED=0
TAP_FAILED=0
TAP_SKIPPED=0
TAP_DIR=$(mktemp -d "${TMPDIR:-/tmp}/masqbpf-tap.XXXXXX")
trap 'rm -rf "$TAP_DIR"' EXIT # lab_begin has one that does it, too
TAP_SKIP_CODE=77
TAP_LAST=0

tap_sum() {
	echo "$TAP_PASSED passed, $TAP_FAILED failed, $TAP_SKIPPED skipped"
}

tap_done() {
	rm -rf "$TAP_DIR"
	tap_sum
	[ "$TAP_FAILED" -eq 0 ]
}

tap_number() {
	echo $((TAP_PASSED + TAP_FAILED + TAP_SKIPPED + 1))
}

row() {
	local name=$1 status
	shift
	rm -f "$TAP_DIR/note" "$TAP_DIR/skip"
	# Not in a condition: bash would ignore -e inside.
	set +e
	(
		set -Eeuo pipefail
		trap 'echo "line $LINENO of ${BASH_SOURCE[0]##*/}: $BASH_COMMAND"' ERR
		"$@"
	) >"$TAP_DIR/out" 2>&1
	status=$?
	set -e
	TAP_LAST=$status
	if [ $status -eq 0 ]; then
		[ ! -s "$TAP_DIR/note" ] || name="$name ($(paste -sd, "$TAP_DIR/note"))"
		echo "ok $(tap_number) - $name"
		TAP_PASSED=$((TAP_PASSED + 1))
	elif [ $status -eq $TAP_SKIP_CODE ] && [ -e "$TAP_DIR/skip" ]; then
		row_skip "$name" "$(cat "$TAP_DIR/skip")"
	else
		echo "not ok $(tap_number) - $name"
		sed 's/^/# /' "$TAP_DIR/out"
		TAP_FAILED=$((TAP_FAILED + 1))
	fi
}

# Under pipefail a writer fails on whom grep -q hangs up at the first match, now
# and then: what is asked for quietly is read to its end.
grep() {
	local arg quiet='' options=1
	local -a args=()
	for arg; do
		# -- and -e have a pattern behind them
		[[ $arg = -* && $arg != -- ]] || options=''
		if [[ $options && $arg =~ ^-[a-zA-Z]*q[a-zA-Z]*$ ]]; then
			quiet=1
			arg=${arg/q/c}
		fi
		[[ $arg != -*e ]] || options=''
		args+=("$arg")
	done
	if [ "$quiet" ]; then
		command grep "${args[@]}" >/dev/null
	else
		command grep "${args[@]}"
	fi
}

row_ok() {
	[ "$TAP_LAST" -eq 0 ]
}

row_skip() {
	echo "ok $(tap_number) - $1 # SKIP $2"
	TAP_SKIPPED=$((TAP_SKIPPED + 1))
}

fail() {
	trap - ERR
	echo "$*"
	exit 1
}

skip() {
	trap - ERR
	echo "$*" >"$TAP_DIR/skip"
	exit $TAP_SKIP_CODE
}

note() {
	echo "$*" >>"$TAP_DIR/note"
}

is() {
	[ "$2" = "$3" ] || fail "$1: got '$2', want '$3'"
}
