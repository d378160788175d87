#!/usr/bin/env bash
# Installs the Debian packages that masqbpf needs, and says before how much
# that is; nothing happens, and quickly, when all are there.
#
#	scripts/deps.sh [-n] [build|demo|test|chart|kernels|arm64|bench|torture]...
#
# build: the compiler and libraries; demo: build and the lab's tools; test:
# demo and everything that the tests use (the default). On top of test,
# chart: for scripts/tools.sh, whose helm and kubectl some tests want; kernels:
# for scripts/vm.sh and kernels.sh; arm64: for these with arm64's kernels, and to
# build for them; bench: for scripts/bench.sh; torture: for scripts/torture.sh.
# -n: only say what is missing; exit 1 when something is.
#
# scripts/bare.sh proves that nothing is missing here.
set -euo pipefail

codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null) || true

build=(
	# gcc only recommends libc6-dev
	bpftool clang gcc libc6-dev make pkg-config
	libbpf-dev libcap-ng-dev libjansson-dev libmicrohttpd-dev libmnl-dev
	libncurses-dev libseccomp-dev libyaml-dev
)
demo=(
	# procps: sysctl; util-linux: nsenter
	iproute2 jq mount nftables procps python3 util-linux
)
test=(
	# to build them: clang only recommends its runtime for sanitizers
	libclang-rt-dev libcmocka-dev
	# bare.sh
	debootstrap
	buildah chromium-headless-shell containernetworking-plugins curl
	ethtool fish hping3 iptables iputils-ping iputils-tracepath kmod mandoc
	mtr-tiny podman prometheus python3-scapy python3-yaml runc shellcheck
	spin strace systemd tcpdump tmux traceroute wireguard-tools yamllint zsh
)
# scripts/lint.sh judges by this one, which Debian 13 has not
[ "$codename" != bookworm ] || test+=(clang-format-14)
# some 400 packages, for one that the registry's client may be there without
chart=()
command -v npm >/dev/null || chart=(npm)
kernels=(busybox-static cpio kmod libteam-utils qemu-system-x86 xz-utils zstd)
arm64=("${kernels[@]}" gcc-aarch64-linux-gnu qemu-system-arm)
bench=(iperf3)
torture=(valgrind)

usage() {
	sed -n 's/^# \{0,1\}//;2,/^set /{/^set /!p}' "$0"
}

only_say=false
packages=()
for arg; do
	case $arg in
	-h | --help)
		usage
		exit 0
		;;
	-n) only_say=true ;;
	build) packages+=("${build[@]}") ;;
	demo) packages+=("${build[@]}" "${demo[@]}") ;;
	test) packages+=("${build[@]}" "${demo[@]}" "${test[@]}") ;;
	chart) packages+=("${build[@]}" "${demo[@]}" "${test[@]}" "${chart[@]}") ;;
	kernels) packages+=("${build[@]}" "${demo[@]}" "${test[@]}" "${kernels[@]}") ;;
	arm64) packages+=("${build[@]}" "${demo[@]}" "${test[@]}" "${arm64[@]}") ;;
	bench) packages+=("${build[@]}" "${demo[@]}" "${test[@]}" "${bench[@]}") ;;
	torture) packages+=("${build[@]}" "${demo[@]}" "${test[@]}" "${torture[@]}") ;;
	*)
		echo "deps.sh: $arg: not -n, build, demo, test, chart, kernels," \
			"arm64, bench or torture" >&2
		exit 2
		;;
	esac
done
[ ${#packages[@]} -gt 0 ] ||
	packages=("${build[@]}" "${demo[@]}" "${test[@]}")
if ! command -v dpkg-query >/dev/null; then
	echo "deps.sh: not a Debian system; needed are: ${packages[*]}" >&2
	exit 1
fi

# "installed" also where a package is there under an architecture's name
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
	sed -n 's/^installed //p')
missing=()
for package in "${packages[@]}"; do
	grep -qxF -- "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "deps.sh: missing: ${missing[*]}" >&2
! $only_say || exit 1
if [ "$(id -u)" -ne 0 ]; then
	echo "deps.sh: not root: apt-get install ${missing[*]}" >&2
	exit 1
fi

log=$(mktemp "${TMPDIR:-/tmp}/masqbpf-deps.XXXXXX")
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# apt ARG...: what it prints is shown when it fails
apt() {
	DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q "$@" \
		>"$log" 2>&1 </dev/null || {
		cat "$log" >&2
		echo "deps.sh: apt-get $1 failed" >&2
		exit 1
	}
}

# how_much: from what apt-get install --assume-no is asked to do; the second
# kind of words is apt's of Debian 13
how_much() {
	sed -n -e 's/.* \([0-9]*\) newly installed.*/\1 packages/p' \
		-e 's/^Need to get \(.*B\).* of archives.*/\1 to download/p' \
		-e 's/^After this operation, \(.*B\) of additional.*/\1 on disk/p' \
		-e 's/^ *Download size: \([^/]*B\).*/\1 to download/p' \
		-e 's/^ *Space needed: \([^/]*B\).*/\1 on disk/p' "$log" |
		paste -sd, | sed 's/,/, /g'
}

echo "deps.sh: asking apt for its newest lists" >&2
apt update
install=(install --no-install-recommends "${missing[@]}")
LC_ALL=C apt-get -q --assume-no "${install[@]}" >"$log" 2>&1 </dev/null || true
echo "deps.sh: installing $(how_much)" >&2
apt -y "${install[@]}"
echo "deps.sh: installed, in $SECONDS s" >&2
