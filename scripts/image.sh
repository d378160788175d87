#!/usr/bin/env bash
# Builds the container image of deploy/image from build/masqbpf, with whatever
# of buildah, podman and docker is there. It needs no registry.
#
#	scripts/image.sh [NAME:TAG]		(default: masqbpf:VERSION)
#
# The image has OCI labels, the licences of what it is made of, and its bill of
# materials (SPDX), which is build/image/masqbpf.spdx.json as well. The same
# program and libraries give the same image again, by buildah or podman.
#
# BUILDER=buildah|podman|docker chooses; O is the build directory;
# SOURCE_DATE_EPOCH is its time (default: the commit's); LABELS adds labels, one
# a line (org.opencontainers.image.source=..., say).
set -euo pipefail
case ${1-} in
-h | --help)
	sed -n 's/^# \{0,1\}//;2,/^set /{/^set /!p}' "$0"
	exit
	;;
esac
cd "$(dirname "$0")/.."
out=${O:-build}
version=$(sed -n 's/^VERSION := //p' Makefile)
name=${1:-masqbpf:$version}
builder=${BUILDER:-$( (command -v buildah podman docker || true) | head -n1)}
[ -n "$builder" ] || {
	echo "image.sh: none of buildah, podman, docker is installed" >&2
	exit 1
}
for tool in jq python3; do
	command -v $tool >/dev/null || {
		echo "image.sh: no $tool" >&2
		exit 1
	}
done
[ -x "$out/masqbpf" ] || make -j2 all
version=$("$out/masqbpf" --version | cut -d' ' -f2)
revision=$(git rev-parse HEAD 2>/dev/null) || revision=
[ -z "$revision" ] || git diff --quiet HEAD -- || revision+=-changed
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

context=$out/image
root=$context/root
rm -rf "$context"
mkdir -p "$root"
cp deploy/image/Dockerfile "$context/"
install -D -m 755 --strip "$out/masqbpf" "$root/usr/sbin/masqbpf"
# the dynamic loader and what it would load, at the paths where it looks
ldd "$out/masqbpf" | grep -o '/[^ ]*' | while read -r library; do
	install -D -m 755 "$(readlink -f "$library")" "$root$library"
done
# where a bpffs, the config and the node's links are mounted or read
mkdir -p "$root/sys/fs/bpf" "$root/proc" "$root/etc/config"
printf 'root:x:0:0:::\nmasqbpf:x:60842:60842:::\n' >"$root/etc/passwd"
# whose they are, and under which licences, where dpkg knows
scripts/spdx.py "$root" "$version" "$time" >"$context/libraries.json"
jq -r '.packages[] | select(.externalRefs) | .name' "$context/libraries.json" |
	while read -r package; do
		file=/usr/share/doc/${package%:*}/copyright
		[ ! -e "$file" ] || install -D -m 644 "$file" "$root$file"
	done
scripts/spdx.py "$root" "$version" "$time" >"$context/masqbpf.spdx.json"
# where scanners of images look
install -D -m 644 "$context/masqbpf.spdx.json" \
	"$root/var/lib/db/sbom/masqbpf.spdx.json"
rm "$context/libraries.json"
find "$root" -exec touch -h -d "@$time" {} +

labels=(
	"title=masqbpf"
	"description=Pod traffic that leaves a node gets the node's address, by eBPF"
	"version=$version"
	"licenses=GPL-2.0-only"
	"created=$(date -u -d "@$time" +%Y-%m-%dT%H:%M:%SZ)"
)
[ -z "$revision" ] || labels+=("revision=$revision")
args=()
for label in "${labels[@]}"; do
	args+=(--label "org.opencontainers.image.$label")
done
while IFS= read -r label; do
	[ -z "$label" ] || args+=(--label "$label")
done <<<"${LABELS-}"

case $builder in
*buildah) "$builder" bud --quiet --timestamp "$time" --identity-label=false \
	"${args[@]}" -t "$name" "$context" ;;
*podman) "$builder" build --quiet --timestamp "$time" --identity-label=false \
	"${args[@]}" -t "$name" "$context" ;;
*) "$builder" build --quiet "${args[@]}" -t "$name" "$context" ;;
esac
