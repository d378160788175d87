#!/usr/bin/env bash
# All the tests, on a machine that has git and root and nothing else.
set -euo pipefail

usage() {
	cat <<-EOF
		usage: ${0##*/} [--no-deps] [-j N] [-k PATTERN]
		       ${0##*/} --list [unit|prog|net]

		Installs the packages it needs, builds, and runs: unit (pure C), prog
		(the BPF programs in the kernel, packet by packet), net (traffic through
		network namespaces), sanitizers (unit tests and fuzzers), lint.
		Needs root. The last line is the sum.

		  --no-deps    do not look for packages
		  -j N         so many files of tests at a time (default: one a processor)
		  -k PATTERN   only the tests whose KIND/NAME matches (grep -E)
		  --list       the names, without running anything
	EOF
}

deps=1
jobs=$(nproc)
pattern=.
list=
while [ $# -gt 0 ]; do
	case $1 in
	--no-deps) deps= ;;
	-k)
		[ $# -gt 1 ] || { usage >&2; exit 2; }
		pattern=$2
		shift
		;;
	-j)
		[[ ${2-} =~ ^[1-9][0-9]?$ ]] || { usage >&2; exit 2; }
		jobs=$2
		shift
		;;
	--list)
		list='unit|prog|net|sanitizers|lint'
		case ${2-} in
		unit | prog | net)
			list=$2
			shift
			;;
		esac
		;;
	-h | --help)
		usage
		exit
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done
cd "$(dirname "$0")/.."
unset MASQBPF MASQBPF_PIN_DIR LAB_NAT

# Every test as KIND/NAME.
names() {
	local file
	for file in tests/unit/test_*.c tests/prog/test_*.c \
		tests/net/test_*.sh; do
		[ -e "$file" ] || continue
		file=${file#tests/}
		echo "${file%.*}"
	done
	echo sanitizers/unit
	echo lint/style
}

if [ "$list" ]; then
	names | grep -E "^($list)/" | grep -E -- "$pattern" || true
	exit
fi

passed=0
failed=0
skipped=0
logs=$(mktemp -d "${TMPDIR:-/tmp}/masqbpf-test.XXXXXX")
pids=()
# Tests in the background do not hear a ^C, but they end well by SIGTERM.
# shellcheck disable=SC2317 # traps call it
stop() {
	trap '' INT TERM
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null
	wait
	exit "$1"
}
trap 'rm -rf "$logs"' EXIT
trap 'stop 130' INT
trap 'stop 143' TERM
bold='' red='' off=''
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	bold=$'\e[1m' red=$'\e[31m' off=$'\e[0m'
fi

finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed -eq 0 ]
	exit
}

# step NAME COMMAND...: what has to work before there can be tests
step() {
	local name=$1
	shift
	echo "$name"
	"$@" >"$logs/step" 2>&1 </dev/null || {
		cat "$logs/step"
		echo "${red}FAIL$off $name"
		failed=1
		finish
	}
}

# start INDEX: that file of tests in the background; they all speak TAP
start() {
	local name=${tests[$1]} command
	case $name in
	net/*) command=(bash "tests/$name.sh") ;;
	sanitizers/*) command=(scripts/sanitize.sh) ;;
	lint/*) command=(scripts/lint.sh) ;;
	*) command=("build/tests/$name") ;;
	esac
	began[$1]=$EPOCHSECONDS
	(CMOCKA_MESSAGE_OUTPUT=TAP exec timeout -k 10 \
		$((300 * ${TEST_SLOW:-1})) "${command[@]}") \
		>"$logs/$1" 2>&1 </dev/null &
	pids[$1]=$!
}

# finish_one INDEX: waits for it, tells what came out, adds it up
finish_one() {
	local name=${tests[$1]} log=$logs/$1 status=0 ok bad skip why=
	wait "${pids[$1]}" || status=$?
	unset "pids[$1]"
	# cmocka has "not ok N # SKIP NAME" for what is skipped
	skip=$(grep -cE '^(not )?ok [0-9]+ .*# SKIP' "$log") || true
	ok=$(grep -E '^ok [0-9]+' "$log" | grep -vcE '# SKIP') || true
	bad=$(grep -E '^not ok [0-9]+' "$log" | grep -vcE '# SKIP') || true
	if [ $status -eq 124 ] || [ $status -eq 137 ]; then
		why="killed or timed out (exit status $status)"
	elif [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then
		why="exit status $status and no failed test"
	elif [ $((ok + bad + skip)) -eq 0 ]; then
		why="ran no test"
	fi
	[ -z "$why" ] || bad=$((bad + 1))
	passed=$((passed + ok))
	failed=$((failed + bad))
	skipped=$((skipped + skip))
	if [ "$bad" -gt 0 ]; then
		cat "$log"
		[ -z "$why" ] || echo "$why"
		printf '%sFAIL%s ' "$red" "$off"
	else
		printf 'ok   '
	fi
	printf '%-24s %4d passed' "$name" "$ok"
	[ "$bad" -eq 0 ] || printf ', %d failed' "$bad"
	[ "$skip" -eq 0 ] || printf ', %d skipped' "$skip"
	# its last line is the last thing that it does
	printf '  %d s\n' $(($(stat -c %Y "$log") - began[$1]))
	[ "$bad" -gt 0 ] || sed -nE \
		-e 's/^not ok [0-9]+ # SKIP (.*)/     skipped: \1/p' \
		-e 's/^ok [0-9]+ (- )?(.*)# SKIP(.*)/     skipped: \2:\3/p' "$log"
}

[ "$(id -u)" -eq 0 ] || {
	echo "${0##*/}: namespaces and BPF need root" >&2
	exit 2
}
[ -z "$deps" ] || step "packages" scripts/deps.sh
step "build" make -j2 all tests WERROR=1

! names | grep -E -- "$pattern" | grep -q ^sanitizers ||
	step "build with sanitizers" make -j2 SANITIZE=1 tests fuzzers

mapfile -t tests < <(names | grep -E -- "$pattern")
[ ${#tests[@]} -gt 0 ] || {
	echo "${0##*/}: no test matches '$pattern'" >&2
	exit 2
}
began=()
kind=
started=0
for ((i = 0; i < ${#tests[@]}; i++)); do
	for (( ; started < ${#tests[@]} && started < i + jobs; started++)); do
		start $started
	done
	if [ "${tests[i]%/*}" != "$kind" ]; then
		kind=${tests[i]%/*}
		echo "$bold$kind$off"
	fi
	finish_one $i
done
finish
