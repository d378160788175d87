#!/usr/bin/env bash
# All the tests, on a machine that has git and root and nothing else.
set -euo pipefail

usage() {
	cat <<-EOF
		usage: ${0##*/} [--no-deps] [-k PATTERN]
		       ${0##*/} --list [unit|prog|net]

		Installs the packages it needs, builds, and runs: unit (pure C), prog
		(the BPF programs in the kernel, packet by packet), net (traffic through
		network namespaces), lint. Needs root. The last line is the sum.

		  --no-deps    do not look for packages
		  -k PATTERN   only the tests whose KIND/NAME matches (grep -E)
		  --list       the names, without running anything
	EOF
}

deps=1
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
	--list)
		list='unit|prog|net|lint'
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
trap 'rm -rf "$logs"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
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

count() {
	grep -cE "$1" "$logs/out" || true
}

# run KIND/NAME COMMAND...: one file of tests, which speaks TAP
run() {
	local name=$1 status=0 start=$SECONDS ok bad skip why=
	shift
	CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 10 300 "$@" >"$logs/out" 2>&1 \
		</dev/null || status=$?
	skip=$(count '^ok [0-9]+ .*# SKIP')
	ok=$(($(count '^ok [0-9]+') - skip))
	bad=$(count '^not ok [0-9]+')
	if [ $status -ge 124 ] && [ $status -le 137 ]; then
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
		cat "$logs/out"
		[ -z "$why" ] || echo "$why"
		printf '%sFAIL%s ' "$red" "$off"
	else
		printf 'ok   '
	fi
	printf '%-24s %4d passed' "$name" "$ok"
	[ "$bad" -eq 0 ] || printf ', %d failed' "$bad"
	[ "$skip" -eq 0 ] || printf ', %d skipped' "$skip"
	echo "  $((SECONDS - start)) s"
	[ "$bad" -gt 0 ] || sed -nE \
		's/^ok [0-9]+ (- )?(.*)# SKIP(.*)/     skipped: \2:\3/p' "$logs/out"
}

[ "$(id -u)" -eq 0 ] || {
	echo "${0##*/}: namespaces and BPF need root" >&2
	exit 2
}
[ -z "$deps" ] || step "packages" scripts/deps.sh
step "build" make -j2 all tests WERROR=1

kind=
while read -r name; do
	if [ "${name%/*}" != "$kind" ]; then
		kind=${name%/*}
		echo "$bold$kind$off"
	fi
	case $kind in
	unit | prog) run "$name" "build/tests/$name" ;;
	net) run "$name" bash "tests/$name.sh" ;;
	lint) run "$name" scripts/lint.sh ;;
	esac
done < <(names | grep -E -- "$pattern" || true)
finish
