#!/usr/bin/env bash
# Installs the Debian packages that masqbpf needs; nothing happens, and
# quickly, when all are there.
#
#	scripts/deps.sh [-n] [build|demo|test]...
#
# build: the compiler and libraries; demo: build and the lab's tools; test:
# demo and everything that the tests use (the default). -n: only say what is
# missing; exit 1 when something is.
set -euo pipefail

build=(
	# bpftool: skeletons; llvm: llvm-strip
	bpftool clang gcc libc6-dev llvm make pkg-config
	libbpf-dev libcap-ng-dev libjansson-dev libmicrohttpd-dev libmnl-dev
	libncurses-dev libseccomp-dev libyaml-dev
)
demo=(
	# libcap2-bin: capsh; util-linux: nsenter, setpriv, unshare
	ethtool iperf3 iproute2 iptables iputils-ping jq nftables procps
	python3 tcpdump util-linux
)
test=(
	buildah busybox-static chromium clang-format
	containernetworking-plugins cpio
	curl faketime fish hping3 iputils-tracepath
	kmod libcap2-bin libcmocka-dev mandoc mtr-tiny podman prometheus
	python3-scapy python3-yaml qemu-system-x86 runc shellcheck strace systemd tmux
	traceroute valgrind wireguard-tools xz-utils yamllint zsh zstd
)

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
	*)
		echo "deps.sh: $arg: not -n, build, demo or test" >&2
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
export DEBIAN_FRONTEND=noninteractive
{
	apt-get update -q
	apt-get install -q -y --no-install-recommends "${missing[@]}"
} >&2
