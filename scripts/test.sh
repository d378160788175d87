#!/usr/bin/env bash
# All the tests, on a machine that has git and root and nothing else.
set -euo pipefail

usage() {
	cat <<-EOF
		usage: ${0##*/} [--no-deps] [-j N] [-k PATTERN]
		       ${0##*/} --list [unit|prog|net|model]

		Installs the packages it needs, builds, and runs: unit (pure C), prog
		(the BPF programs in the kernel, packet by packet), legacy (some of
		these with the programs for kernels without bpf_loop), arm64 (some with
		the programs as arm64 has them, on this machine), net (traffic through
		network namespaces), model (every order of the flow table's steps),
		sanitizers (unit tests and fuzzers), lint, packages (are those that it
		installs enough? in a new Debian root).
		Needs root. What cannot be built fails by itself, the rest is run. The
		last line is the sum.

		  --no-deps    do not look for packages, nor run the test of them
		  -j N         so many files of tests at a time (default: one more than
		               there are processors, as most of them wait most of the time)
		  -k PATTERN   only the tests whose KIND/NAME matches (grep -E)
		  --list       the names, without running anything

		What is drawn at random is drawn from TEST_SEED (1): the same in every
		run. scripts/torture.sh draws other ones.
	EOF
}

deps=1
jobs=$(($(nproc) + 1))
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
		list='unit|prog|legacy|arm64|net|model|sanitizers|lint|packages'
		case ${2-} in
		unit | prog | net | model)
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
export TEST_SEED=${TEST_SEED:-1}

# Every test as KIND/NAME.
names() {
	local file
	for file in tests/unit/test_*.c tests/prog/test_*.c \
		tests/net/test_*.sh tests/model/test_*.sh; do
		[ -e "$file" ] || continue
		file=${file#tests/}
		echo "${file%.*}"
	done
	# the object for kernels without bpf_loop, where this kernel has it;
	# what is not here runs with both by itself, or loads neither
	for file in decisions fragment icmp limits nat table; do
		[ ! -e tests/prog/test_$file.c ] || echo legacy/test_$file
	done
	# arm64's programs have other barriers, so other stacks
	for file in verifier decisions table; do
		[ ! -e tests/prog/test_$file.c ] || echo arm64/test_$file
	done
	echo sanitizers/memory
	echo lint/style
	echo packages/bare
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

# step NAME COMMAND...: what comes before the tests. One that fails is said and
# counted; the tests that need what it did not make fail by themselves.
step() {
	local name=$1
	shift
	echo "$name"
	"$@" >"$logs/step" 2>&1 </dev/null && return
	cat "$logs/step"
	echo "${red}FAIL$off $name"
	failed=$((failed + 1))
	broken+="$name "
}

# built TARGET: is it there, and of these sources?
built() {
	[[ $broken != *build* ]] || make -q "$1" WERROR=1 >/dev/null 2>&1
}

# start INDEX: that file of tests in the background; they all speak TAP
start() {
	local name=${tests[$1]} command target='' limit=900
	case $name in
	net/*)
		command=(bash "tests/$name.sh")
		target=build/masqbpf
		;;
	legacy/*)
		command=(env MASQ_TEST_OBJECT=legacy "build/tests/prog/${name#*/}")
		target=build/tests/prog/${name#*/}
		;;
	arm64/*)
		command=("build/as-arm64/tests/prog/${name#*/}")
		[ -x "${command[0]}" ] && [[ $broken != *arm64* ]] ||
			command=(echo "not ok 1 - ${command[0]} was not built")
		;;
	model/*) command=(nice bash "tests/$name.sh") limit=900 ;;
	sanitizers/*) command=(scripts/sanitize.sh) ;;
	lint/*) command=(scripts/lint.sh) ;;
	packages/*)
		command=(nice scripts/bare.sh build)
		limit=1200
		[ "$deps" ] || command=(echo "ok 1 - a bare root # SKIP --no-deps")
		;;
	*) command=("build/tests/$name") target=build/tests/$name ;;
	esac
	[ -z "$target" ] || built "$target" ||
		command=(echo "not ok 1 - $target was not built")
	began[$1]=$EPOCHSECONDS
	(CMOCKA_MESSAGE_OUTPUT=TAP exec timeout -k 10 \
		$((limit * ${TEST_SLOW:-1})) "${command[@]}") \
		>"$logs/$1" 2>&1 </dev/null &
	pids[$1]=$!
}

# wait_one: until one of those that run has ended
wait_one() {
	local pid status=0 i
	wait -n -p pid "${pids[@]}" || status=$?
	for i in "${!pids[@]}"; do
		[ "${pids[i]}" != "$pid" ] || {
			ended[i]=$status
			unset "pids[i]"
		}
	done
}

# finish_one INDEX: tells what came out, adds it up
finish_one() {
	local name=${tests[$1]} log=$logs/$1 status=${ended[$1]} ok bad skip why=
	# cmocka has "not ok N # SKIP NAME" for what is skipped
	skip=$(grep -cE '^(not )?ok [0-9]+ .*# SKIP' "$log") || true
	ok=$(grep -E '^ok [0-9]+' "$log" | grep -vcE '# SKIP') || true
	bad=$(grep -E '^not ok [0-9]+' "$log" | grep -vcE '# SKIP') || true
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		why="killed or timed out (exit status $status)"
	elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
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
mapfile -t tests < <(names | grep -E -- "$pattern")
[ ${#tests[@]} -gt 0 ] || {
	echo "${0##*/}: no test matches '$pattern'" >&2
	exit 2
}
broken=
[ -z "$deps" ] || {
	echo packages
	scripts/deps.sh 2>&1 || {
		echo "${red}FAIL$off packages"
		failed=1
	}
}
step "build" make -k -j2 all tests WERROR=1
# by itself here, as building is slower than what it may take
[[ " ${tests[*]}" != *\ sanitizers/* ]] ||
	step "build with sanitizers" make -k -j2 SANITIZE=1 all tests fuzzers

[[ " ${tests[*]}" != *\ arm64/* ]] ||
	step "build of arm64's programs" make -k -j2 O=build/as-arm64 ARCH=arm64 \
		WERROR=1 build/as-arm64/tests/prog/test_{verifier,decisions,table}

# What takes longest begins first, wherever it is told.
long='packages/|net/test_(upgrade|control|agent|calls|fastsafe|faults|guard)$'
queue=()
for i in "${!tests[@]}"; do
	[[ ! ${tests[i]} =~ $long ]] || queue+=("$i")
done
for i in "${!tests[@]}"; do
	[[ ${tests[i]} =~ $long ]] || queue+=("$i")
done
began=()
ended=()
kind=
for ((i = 0; i < ${#tests[@]}; i++)); do
	if [ "${tests[i]%/*}" != "$kind" ]; then
		kind=${tests[i]%/*}
		echo "$bold$kind$off"
	fi
	until [ "${ended[i]-}" ]; do
		while [ ${#queue[@]} -gt 0 ] && [ ${#pids[@]} -lt "$jobs" ]; do
			start "${queue[0]}"
			queue=("${queue[@]:1}")
		done
		wait_one
	done
	finish_one $i
done
finish
