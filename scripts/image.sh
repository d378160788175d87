#!/usr/bin/env bash
# Builds the container image of deploy/image from build/masqbpf, with whatever
# of buildah, podman and docker is there. It needs no registry.
#
#	scripts/image.sh [NAME:TAG]		(default: masqbpf:VERSION)
#
# BUILDER=buildah|podman|docker chooses; O is the build directory.
set -euo pipefail
case ${1-} in
-h | --help)
	sed -n 's/^# \{0,1\}//;2,/^set /{/^set /!p}' "$0"
	exit
	;;
esac
cd "$(dirname "$0")/.."
out=${O:-build}
name=${1:-masqbpf:$(sed -n 's/^VERSION := //p' Makefile)}
builder=${BUILDER:-$( (command -v buildah podman docker || true) | head -n1)}
[ -n "$builder" ] || {
	echo "image.sh: none of buildah, podman, docker is installed" >&2
	exit 1
}
[ -x "$out/masqbpf" ] || make -j2 all

context=$out/image
rm -rf "$context"
mkdir -p "$context/root"
cp deploy/image/Dockerfile "$context/"
install -D -m 755 --strip "$out/masqbpf" "$context/root/usr/sbin/masqbpf"
# the dynamic loader and what it would load, at the paths where it looks
ldd "$out/masqbpf" | grep -o '/[^ ]*' | while read -r library; do
	install -D -m 755 "$(readlink -f "$library")" \
		"$context/root$library"
done
# where a bpffs, the config and the node's links are mounted or read
mkdir -p "$context/root/sys/fs/bpf" "$context/root/proc" \
	"$context/root/etc/config"
printf 'root:x:0:0:::\nnobody:x:65534:65534:::\n' >"$context/root/etc/passwd"
find "$context/root" -exec touch -h -d @"${SOURCE_DATE_EPOCH:-0}" {} +

case $builder in
*buildah) "$builder" bud --quiet --timestamp "${SOURCE_DATE_EPOCH:-0}" \
	-t "$name" "$context" ;;
*) "$builder" build --quiet -t "$name" "$context" ;;
esac
