#!/usr/bin/env bash
# bare.sh - masqbpf on a machine that has nothing: a Debian that debootstrap
# just made, with git and certificates and nothing more, where commands run as
# README has them; a row each. Only so is a package seen that deps.sh forgot.
#
# Its packages come from the mirror that this machine's apt uses already, and
# everything that was made is gone when it ends.
set -euo pipefail
cd "$(dirname "$0")/.."

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
# what reads, builds and shows paths has to bear that
FOLDER="a path/masqbpf"

usage() {
	cat <<-EOT
		usage: ${0##*/} [build|readme|compilers|package] [SUITE...]

		Needs root, debootstrap and a mirror of Debian. Each SUITE (default: this
		machine's for build, bookworm and trixie for readme and package, and sid
		with compilers) is a new root in \${TMPDIR:-/var/tmp}, with processes and mounts of
		its own and this machine's network.

		  build      (default) scripts/deps.sh, and everything is built that the
		             tests need: 3 GB, and about two minutes of one processor
		  readme     scripts/demo.sh and scripts/test.sh, literally
		  compilers  the program and the tests with every gcc and clang that the
		             suite has, as CC and as CLANG; no warning, and this kernel
	             takes the programs
		  package    the Debian package: built in one root, lintian; in another
		             installed, debian/tests, under systemd upgraded while a
		             connection lives, removed, purged
	EOT
}

what=build
case ${1-} in
-h | --help)
	usage
	exit
	;;
build | readme | compilers | package)
	what=$1
	shift
	;;
esac
suites=("$@")
[ $# -gt 0 ] || case $what in
build) suites=("$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)") ;;
readme | package) suites=(bookworm trixie) ;;
compilers) suites=(bookworm trixie sid) ;;
esac
for suite in "${suites[@]}"; do
	[[ $suite =~ ^[a-z]+$ ]] || {
		usage >&2
		exit 2
	}
done
[ "$(id -u)" -eq 0 ] || {
	echo "${0##*/}: debootstrap needs root" >&2
	exit 2
}
command -v debootstrap >/dev/null || {
	echo "${0##*/}: no debootstrap: scripts/deps.sh installs it" >&2
	exit 1
}
. tests/lib/tap.sh

# Debian 13 has /tmp in memory
WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/masqbpf-bare.XXXXXX")
# What runs in a root dies with the row that began it, and nothing is mounted
# but in namespaces that went with it.
# shellcheck disable=SC2317 # traps call it
finish() {
	trap '' INT TERM
	rm -rf --one-file-system "$WORK" "$TAP_DIR"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# mirror: the one of Debian's own archive that this machine uses; nothing when
# its sources name none, and then it is debootstrap's
mirror() {
	apt-get indextargets --format "\$(ORIGIN) \$(LABEL) \$(COMPONENT) \$(REPO_URI)" \
		"Created-By: Packages" |
		awk '$1 == "Debian" && $2 == "Debian" && $3 == "main" && !seen++ {
			print $4
		}'
}

# alone COMMAND...: with processes and mounts that end with us, however we end
alone() {
	setpriv --pdeathsig KILL unshare --mount --pid --ipc --uts --fork \
		--kill-child=KILL "$@"
}

root() { # SUITE
	local root=$WORK/$1 from
	from=$(mirror)
	mkdir "$root"
	alone debootstrap --variant=minbase --include=git,ca-certificates \
		--keyring="$KEYRING" "$1" "$root" ${from:+"$from"}
	# a way out that this machine needs is needed there, too
	apt-config dump --format '%f "%v";%n' Acquire::http Acquire::https \
		>"$root/etc/apt/apt.conf.d/00bare"
	# a mirror may be a snapshot, older than its lists say that they live
	echo 'Acquire::Check-Valid-Until "false";' \
		>>"$root/etc/apt/apt.conf.d/00bare"
	# a root that is thrown away needs no sync
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/bare"
	mkdir -p "$root/root/$FOLDER"
	copy "$root/root/$FOLDER"
	note "$(du -sm "$root" | cut -f1) MB, $SECONDS s"
}

# copy DIR: what README begins with, a clone, with what is edited here
copy() {
	if [ -e .git ]; then
		git clone -q --no-hardlinks . "$1"
		git ls-files -z --deleted | (cd "$1" && xargs -0r rm)
		git ls-files -z --cached --others --exclude-standard |
			tar -c --null --ignore-failed-read -T - | tar -x -C "$1"
	else
		tar -c --exclude='./build*' . | tar -x -C "$1"
	fi
}

# in_root SUITE COMMAND...: as its root would in the clone; this machine's
# devices and network, and nothing else of it
in_root() {
	# shellcheck disable=SC2016 # for the shell inside
	alone bash -c '
		set -eu
		cd "$1"
		folder=$2
		shift 2
		mount --bind . "$PWD"
		cd "$PWD"
		mount -t proc proc proc
		mount --rbind /dev dev
		mount -t sysfs sysfs sys
		mount -t bpf bpf sys/fs/bpf
		mount --rbind /sys/fs/cgroup sys/fs/cgroup
		mount -t tmpfs -o mode=755 run run
		pivot_root . mnt
		umount -l /mnt
		cd "/root/$folder"
		exec env -i HOME=/root TERM=dumb TEST_SLOW="${TEST_SLOW:-1}" \
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			"$@"
	' - "$WORK/$1" "$FOLDER" "${@:2}" </dev/null
}

# timed COMMAND...
timed() {
	local began=$SECONDS
	"$@"
	note "$((SECONDS - began)) s"
}

# readme SUITE COMMAND: what it says is looked at, too
readme() {
	local began=$SECONDS log=$WORK/log
	in_root "$1" "$2" >"$log" 2>&1 || {
		# what passed is of no interest
		fail "$(grep -vE '^(ok |  *(CC|LD|BPF|SKEL|AR) )' "$log")"
	}
	note "$(tail -n 1 "$log"); $((SECONDS - began)) s"
	note "$(sed -n 's/^deps.sh: installing //p' "$log")"
	grep 'skipped:' "$log" | sed 's/^ */# /' >&3 || true
}

# Nothing that deps.sh does not install may be needed to build.
build() {
	in_root "$1" make -j2 WERROR=1 all tests
	in_root "$1" make -j2 SANITIZE=1 tests fuzzers
}

compilers_of() { # SUITE
	in_root "$1" sh -ec 'apt-get update -qq >/dev/null
		apt-cache search --names-only "^(gcc|clang)-[0-9]+\$"' |
		cut -d' ' -f1 | sort -V
}

compilers_install() { # SUITE COMPILER...
	[ $# -gt 1 ] || fail "apt names no compiler"
	in_root "$1" sh -ec 'scripts/deps.sh build
		export DEBIAN_FRONTEND=noninteractive
		apt-get install -qy --no-install-recommends libcmocka-dev "$@"' \
		- "${@:2}"
	note "${*:2}"
}

compiler() { # SUITE COMPILER
	local as=(CC="$2")
	[[ $2 = gcc* ]] || as+=(CLANG="$2")
	in_root "$1" make -j2 O="build/$2" "${as[@]}" WERROR=1 all tests
	# what is built is not yet what the verifier takes
	[[ $2 = gcc* ]] || in_root "$1" "build/$2/tests/prog/test_verifier"
}

# apt SUITE ARG...: what it prints is shown when it fails
apt() {
	in_root "$1" env DEBIAN_FRONTEND=noninteractive \
		apt-get -qy --no-install-recommends "${@:2}" >"$WORK/log" 2>&1 ||
		fail "$(tail -n 40 "$WORK/log")"
}

# What the package says that it needs is enough to build it.
package_built() { # SUITE
	apt "$1" update
	apt "$1" install dpkg-dev lintian
	apt "$1" build-dep ./
	in_root "$1" make deb >"$WORK/log" 2>&1 ||
		fail "$(tail -n 60 "$WORK/log")"
	note "$(cd "$WORK/$1/root/$FOLDER/build/deb" && echo masqbpf_*.deb)"
}

# In a root where nothing was built; a copy of what debootstrap made.
package_installed() { # SUITE
	local unit
	cp "$WORK/$1/root/$FOLDER"/build/deb/masqbpf_*.deb \
		"$WORK/$1-new/masqbpf.deb"
	apt "$1-new" update
	apt "$1-new" install /masqbpf.deb
	in_root "$1-new" masqbpf --version
	# shellcheck disable=SC2016 # dpkg-query fills it in
	note "$(in_root "$1-new" dpkg-query -W -f '${Installed-Size}' masqbpf) KB"
	for unit in agent attach; do
		[ ! -e "$WORK/$1-new/etc/systemd/system/multi-user.target.wants/masqbpf-$unit.service" ]
	done
}

# debian/tests, as autopkgtest would: its packages, then its command.
package_tested() { # SUITE
	local command packages
	command=$(sed -n 's/^Test-Command: //p' debian/tests/control)
	packages=$(sed -n 's/^Depends: @, //p' debian/tests/control)
	# shellcheck disable=SC2086 # words of it
	apt "$1-new" install ${packages//,/}
	# shellcheck disable=SC2086
	in_root "$1-new" $command
}

package_upgraded() { # SUITE
	apt "$1-new" install systemd systemd-sysv curl
	in_root "$1-new" env DEB=/masqbpf.deb MASQBPF=/usr/sbin/masqbpf \
		bash tests/net/test_systemd.sh >"$WORK/log" 2>&1 ||
		fail "$(cat "$WORK/log")"
	grep '# SKIP' "$WORK/log" && fail "a row was skipped"
	note "$(tail -n 1 "$WORK/log")"
}

exec 3>&1
for suite in "${suites[@]}"; do
	SECONDS=0
	row "$suite: a bare root" root "$suite"
	row_ok || continue
	[ "$what" != package ] || cp -a "$WORK/$suite" "$WORK/$suite-new"
	case $what in
	build)
		row "$suite: scripts/deps.sh" timed in_root "$suite" scripts/deps.sh
		row "$suite: everything that the tests need is built" \
			timed build "$suite"
		;;
	readme)
		row "$suite: scripts/demo.sh" readme "$suite" scripts/demo.sh
		row "$suite: scripts/test.sh" readme "$suite" scripts/test.sh
		;;
	compilers)
		mapfile -t compilers < <(compilers_of "$suite")
		row "$suite: compilers" compilers_install "$suite" "${compilers[@]}"
		for name in "${compilers[@]}"; do
			row "$suite: $name" compiler "$suite" "$name"
		done
		;;
	package)
		row "$suite: the package is built, and lintian has no word" \
			timed package_built "$suite"
		if row_ok; then
			row "$suite: it is installed, and attaches nothing" \
				package_installed "$suite"
			row "$suite: debian/tests" timed package_tested "$suite"
			row "$suite: upgraded, removed, purged, under systemd" \
				timed package_upgraded "$suite"
		fi
		;;
	esac
	rm -rf --one-file-system "${WORK:?}/$suite" "$WORK/$suite-new"
done
tap_done
