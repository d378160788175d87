#!/usr/bin/env bash
# Makes the tarball (make dist), builds the Debian packages of it and debian/ as
# who is not root, and has lintian look at them: build/deb/*.deb.
#
#	scripts/deb.sh
#
# What is needed for that: apt-get install lintian, apt-get build-dep ./
# O is the build directory; DEB_BUILD_OPTIONS as dpkg-buildpackage has it.
set -euo pipefail
[ $# -eq 0 ] || {
	sed -n 's/^# \{0,1\}//;2,/^set /{/^set /!p}' "$0"
	[ "$1" = -h ] || [ "$1" = --help ]
	exit
}
cd "$(dirname "$0")/.."
out=$PWD/${O:-build}
version=$(sed -n 's/^VERSION := //p' Makefile)
tarball=$out/masqbpf-$version.tar.gz
for tool in dh dpkg-buildpackage lintian; do
	command -v $tool >/dev/null || {
		echo "deb.sh: no $tool: apt-get install debhelper dpkg-dev lintian" >&2
		exit 1
	}
done
make -s dist
rm -rf "$out/deb"
# not below the sources: nobody may look into root's folders
work=$(mktemp -d "${TMPDIR:-/var/tmp}/masqbpf-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cp "$tarball" "$work/masqbpf_$version.orig.tar.gz"
tar -xf "$tarball" -C "$work"
cp -r debian "$work/masqbpf-$version/"
as=()
[ "$(id -u)" -ne 0 ] || {
	chown -R nobody "$work"
	as=(setpriv --reuid nobody --regid nogroup --clear-groups env
		HOME="$work" TMPDIR="$work")
}
export LC_ALL=C.UTF-8
(cd "$work/masqbpf-$version" &&
	"${as[@]}" dpkg-buildpackage --unsigned-source --unsigned-changes)
# what Debian's own archive wants beyond that, a bug number and a home page, no
# package has that is not there
cd "$work" # which nobody may
"${as[@]}" lintian --fail-on error,warning --info \
	--suppress-tags initial-upload-closes-no-bugs \
	"$work"/masqbpf_*.changes
mkdir -p "$out/deb"
cp "$work"/masqbpf*_* "$out/deb/"
ls "$out/deb"/*.deb
