#!/usr/bin/env bash
# The test command itself: a step that fails takes the rows with it that need
# it, and no others; nothing old is run in place of what cannot be built.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/masqbpf-runner.XXXXXX")
trap 'rm -rf "$dir" "$TAP_DIR"' EXIT

# A project in small: two unit tests, the program and a test of it, sanitizers,
# lint. Sources are scripts, building is copying; one that says BROKEN cannot
# be built.
project() {
	rm -rf "$dir/p"
	mkdir -p "$dir/p/scripts" "$dir/p/tests/unit" "$dir/p/tests/prog" \
		"$dir/p/tests/net" "$dir/p/user"
	cp "$root/scripts/test.sh" "$dir/p/scripts/"
	cd "$dir/p"
	local file
	for file in user/main.c tests/unit/test_one.c tests/unit/test_two.c \
		scripts/sanitize.sh scripts/lint.sh scripts/bare.sh; do
		printf '#!/bin/sh\necho ok 1 - %s\n' "$file" >"$file"
		chmod 755 "$file"
	done
	printf '#!/bin/sh\n' >scripts/deps.sh
	chmod 755 scripts/deps.sh
	echo 'echo "ok 1 - net"' >tests/net/test_net.sh
	cat >Makefile <<-'MAKE'
		O := $(if $(SANITIZE),build/asan,build)
		all: $(O)/masqbpf
		tests: $(O)/tests/unit/test_one $(O)/tests/unit/test_two
		fuzzers:
		make = mkdir -p $(@D) && ! grep BROKEN $< && cp $< $@
		$(O)/masqbpf: user/main.c; $(make)
		$(O)/tests/%: tests/%.c; $(make)
	MAKE
}

# result WANT [ARG...]: its last line; its status says the same
result() {
	local status=0
	scripts/test.sh "${@:2}" >"$dir/out" 2>&1 || status=$?
	[ "$(tail -n 1 "$dir/out")" = "$1" ] || fail "not $1: $(cat "$dir/out")"
	case $1 in
	*" 0 failed"*) is "exit status" $status 0 ;;
	*) is "exit status" $status 1 ;;
	esac
}

says() {
	grep -q -- "$1" "$dir/out" || fail "not said: $1: $(cat "$dir/out")"
}

whole() {
	project
	result "6 passed, 0 failed, 0 skipped"
	result "5 passed, 0 failed, 1 skipped" --no-deps
	says "skipped: a bare root"
	result "2 passed, 0 failed, 0 skipped" -k unit
	result "1 passed, 0 failed, 0 skipped" --no-deps -j 1 -k net/
}

# broken FILE WANT: it was built before, and cannot be now
broken() {
	project
	result "6 passed, 0 failed, 0 skipped"
	echo "# BROKEN" >>"$1"
	touch -d '+1 minute' "$1"
	result "$2"
	says "^FAIL build"
}

no_packages() {
	project
	echo 'echo deps.sh: no mirror; exit 1' >>scripts/deps.sh
	result "6 passed, 1 failed, 0 skipped"
	says "no mirror"
	says "^FAIL packages"
}

# A lab ends what it has started, and not who has got its number since: within
# one run of all tests there are more processes than numbers.
another_number() {
	local one another try
	for try in {1..200}; do
		sleep 20 & # it has to be there when it is looked at
		one=$(lab_process $!)
		kill $!
		wait $! || true
		sleep 0.02 # born in another tick
		echo $((${one%:*} - 1)) >/proc/sys/kernel/ns_last_pid
		sleep 20 &
		another=$!
		[ "$another" != "${one%:*}" ] || break
		kill $another
	done
	is "the number, try $try" "$another" "${one%:*}"
	[[ $one == *:?* ]] || fail "it was not seen: $one"
	lab_gone "$one" || fail "$one has not ended"
	lab_kill KILL "$one"
	kill -0 $another || fail "$another was killed"
	one=$(lab_process $another)
	! lab_gone "$one" || fail "$one is said to have ended"
	lab_kill KILL "$one"
	wait $another || true
	lab_gone "$one" || fail "$one has not ended"
}

row "another process of the same number is not killed" another_number
row "all is well" whole
# the step, as it is built twice, and the row
row "a test that cannot be built fails, the others run" \
	broken tests/unit/test_two.c "5 passed, 3 failed, 0 skipped"
row "so does what needs the program when that cannot" \
	broken user/main.c "5 passed, 3 failed, 0 skipped"
row "packages that cannot be had" no_packages
tap_done
