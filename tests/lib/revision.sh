# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# revision.sh - masqbpf as it was once, from the repository's history.

# masq_of_revision REVISION: builds it, unless that was done before, and sets
# MASQ_OLD; says why it cannot
masq_of_revision() {
	local dir=$LAB_ROOT/build/revision src
	MASQ_OLD=$dir/masqbpf-$1
	[ ! -x "$MASQ_OLD" ] || return 0
	src=$dir/$1
	rm -rf "$src"
	mkdir -p "$src"
	git -C "$LAB_ROOT" archive "$1" 2>"$dir/log" | tar -x -C "$src" 2>&1 || {
		echo "no revision $1 here: a clone with history is needed: $(cat "$dir/log")"
		return 1
	}
	make -s -C "$src" build/masqbpf >"$dir/log" 2>&1 || {
		echo "revision $1 does not build: $(tail -n 5 "$dir/log")"
		return 1
	}
	cp "$src/build/masqbpf" "$MASQ_OLD.new"
	mv "$MASQ_OLD.new" "$MASQ_OLD"
	rm -rf "$src"
}
