#!/usr/bin/env bash
# Style of the C sources, the shell scripts and the man page, whether the layers
# of user/ are kept, long files have a reason, the lists of mutants still fit, and
# texts name what is there; a row each.
set -euo pipefail
[ $# -eq 0 ] || {
	echo "usage: ${0##*/}    (C style, shell scripts, man page, layers, sizes, mutants' lists)"
	[ "$1" = -h ] || [ "$1" = --help ]
	exit
}
cd "$(dirname "$0")/.."
. tests/lib/tap.sh

need() { # TOOL PACKAGE
	command -v "$1" >/dev/null || fail "$1 is missing: apt-get install $2"
}

c_style() {
	# another version formats differently; Debian 12 has this one
	command -v clang-format-14 >/dev/null ||
		skip "no clang-format-14 here, which decides"
	find bpf user include tests -name '*.[ch]' -print0 |
		xargs -0r clang-format-14 --dry-run -Werror
}

shell_scripts() {
	need shellcheck shellcheck
	# 2119, 2120: functions with optional arguments are meant to be that
	{
		printf '.ci/run\0'
		find scripts tests -name '*.sh' -print0
		find debian -name 'masqbpf.p*' -print0
		printf 'deploy/kubectl-masq\0'
	} | xargs -0 shellcheck -x -P SCRIPTDIR -e SC2119,SC2120
}

man_page() {
	local found
	need mandoc mandoc
	# That other manuals are not installed here is no fault of ours.
	found=$(mandoc -Tlint -W style docs/masqbpf.8 |
		grep -v 'referenced manual not found') || true
	[ -z "$found" ] || fail "$found"
}

layers_kept() {
	local said
	said=$(scripts/layers.py) || fail "$said"
}

# One tree in which every arrow is wrong, but for the first.
layers_that_are_not() {
	local tree said
	tree=$(mktemp -d)
	trap 'rm -rf "$tree"' RETURN
	mkdir "$tree"/{base,kernel,plane,policy,attic}
	file() { # PATH INCLUDE...
		printf '#include "%s"\n' "${@:2}" >"$tree/$1"
	}
	file policy/good.c plane/hook.h stdio.h
	file plane/hook.h base/up.h
	file base/up.h policy/policy.h
	file policy/policy.h base/none.h
	file kernel/link.c kernel/link.h
	file kernel/link.h kernel/dump.h
	file kernel/dump.c kernel/link.h
	touch "$tree/kernel/dump.h"
	file attic/old.c base/up.h
	file plane/near.c hook.h
	if said=$(scripts/layers.py "$tree"); then
		fail "wrong arrows pass"
	fi
	for row in "base/up.h:1: -> policy/policy.h: policy is above base" \
		"policy/policy.h:1: -> base/none.h: is not there" \
		"attic/old.c: is in no layer" \
		"plane/near.c:1: -> hook.h: is not there" \
		"a circle: kernel/dump -> kernel/link -> kernel/dump"; do
		[[ $said = *"$row"* ]] || fail "no word of '$row': $said"
	done
	[ "$(wc -l <<<"$said")" -eq 5 ] || fail "$said"
}

sizes_kept() {
	local said
	said=$(scripts/sizes.py) || fail "$said"
}

# A long file without a reason, a reason without a long file, one of nothing.
sizes_that_are_not() {
	local tree said
	tree=$(mktemp -d)
	trap 'rm -rf "$tree"' RETURN
	mkdir -p "$tree"/{docs,user/base,bpf,include}
	seq 500 >"$tree/user/base/short.c"
	seq 501 >"$tree/user/base/long.c"
	seq 501 >"$tree/bpf/room.h"
	seq 501 >"$tree/include/all.h"
	seq 9999 >"$tree/user/base/data.txt"
	printf '%s\n' "- \`include/all.h\`: one layout." \
		"- \`user/base/short.c\`: one thing." "- \`bpf/none.h\`: gone." \
		"- \`bpf/room.h\`:" >"$tree/docs/design.md"
	if said=$(scripts/sizes.py "$tree"); then
		fail "long files pass"
	fi
	for row in "user/base/long.c: 501 lines" "bpf/room.h: 501 lines" \
		"user/base/short.c: has 500 lines" "bpf/none.h: is not there"; do
		[[ $said = *"$row"* ]] || fail "no word of '$row': $said"
	done
	[ "$(wc -l <<<"$said")" -eq 4 ] || fail "$said"
}

mutants_fit() {
	local said
	said=$(scripts/mutants.py --check 2>&1) || fail "$said"
}

# A snippet that is not there, or is there twice, changes nothing that it says.
mutants_that_do_not() {
	local list said
	list=$(mktemp)
	trap 'rm -f "$list"' RETURN
	cat tests/mutants/*.list - >"$list" <<-'EOT'
		@@ lint/gone bpf/common.h prog/test_table
		-no such line
		@@ lint/twice bpf/common.h prog/test_table
		-bpf_map_lookup_elem
		@@ lint/nothing bpf/common.h prog/test_table
		 __u32 masq_now(void)
		@@ lint/no-test bpf/common.h prog/test_nothing
		-__u32 masq_now(void)
	EOT
	if said=$(scripts/mutants.py --check "$list" 2>&1); then
		fail "a stale list passes"
	fi
	for row in "gone: its snippet is 0 times" "twice: its snippet is" \
		"nothing: it changes nothing" "no test tests/prog/test_nothing.c"; do
		[[ $said = *"$row"* ]] || fail "no word of '$row': $said"
	done
	[ "$(wc -l <<<"$said")" -eq 4 ] || fail "$said"
}

# What docs/performance.md says first is what its tables say.
take_home() {
	local figure n=0
	while read -r figure; do
		# not -q, which would end the pipe before it is read
		awk '/written by scripts\/bench.sh below/ { on = 1 } on' \
			docs/performance.md | grep -w -- "$figure" >/dev/null ||
			fail "docs/performance.md: $figure is in no table"
		n=$((n + 1))
	done < <(sed '/^| column/,$d' docs/performance.md |
		grep -o '\*\*[0-9][0-9,.]*\*\*' | tr -d '*')
	[ $n -ge 5 ] || fail "$n figures"
}

# Links between our texts lead somewhere.
links() {
	local file link bad=
	while IFS=: read -r file link; do
		link=${link#](}
		link=${link%)}
		case $link in
		*://* | \#*) continue ;;
		esac
		[ -e "${file%/*}/${link%%#*}" ] || bad+="$file: $link"$'\n'
	done < <(grep -o '](\([^)]*\))' ./README.md ./docs/*.md ./deploy/helm/*.md)
	[ -z "$bad" ] || fail "$bad"
}

# Pages about the dataplane end with what a review of it looks at.
reviewed() {
	local page
	for page in design fastpath model node ports rfc twin upgrade; do
		[ "$(grep '^## ' "docs/$page.md" | tail -n 1)" = \
			"## What a reviewer checks" ] ||
			fail "docs/$page.md does not end with what a reviewer checks"
	done
}

row "C style (clang-format)" c_style
row "shell scripts (shellcheck)" shell_scripts
row "layers of user/" layers_kept
row "layers that are broken" layers_that_are_not
row "sizes of files" sizes_kept
row "files that are too long" sizes_that_are_not
row "lists of mutants" mutants_fit
row "lists of mutants that do not fit" mutants_that_do_not
row "what docs/performance.md says first" take_home
row "links between texts" links
row "what a reviewer checks" reviewed
if [ -e docs/masqbpf.8 ]; then
	row "man page (mandoc)" man_page
fi
tap_done
