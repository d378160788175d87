#!/usr/bin/env bash
# Every test that docs/rfc.md names has the row that it names.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
cd "$(dirname "$0")/../.."

# names: `KIND/FILE ROW` between backquotes, one a line
# shellcheck disable=SC2016 # backquotes of the text
names() {
	grep -o '`[a-z]*/test_[a-z]* [^`]*`' docs/rfc.md | tr -d '`' | sort -u
}

exists() { # KIND/FILE ROW
	local file=tests/$1
	if [ -e "$file.c" ]; then
		grep -qE "unit_test[a-z_]*\($2[,)]|ROW\($2\)" "$file.c" ||
			fail "$file.c has no row $2"
	else
		# twin's rows are the steps of its script
		grep -qF -- "$2" "$file.sh" tests/lib/twin.py ||
			fail "$file.sh has no row '$2'"
	fi
}

# shellcheck disable=SC2016
met_are_shown() {
	local bare
	# "met" by a row, by another line, or because there is nothing to do
	bare=$(grep '| met |' docs/rfc.md |
		grep -vE '`[a-z]+/test_|as RFC|there are none|is not looked|only `watch`') ||
		true
	[ -z "$bare" ] || fail "met, and nothing shows it: $bare"
}

while read -r test name; do
	row "$test: $name" exists "$test" "$name"
done < <(names)
row "what is met is shown" met_are_shown
tap_done
