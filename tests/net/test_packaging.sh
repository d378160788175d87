#!/usr/bin/env bash
# What deploy/ holds: units, manifests, the image, which runs here with the
# manifest's capabilities and its arguments.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

DEPLOY=$LAB_ROOT/deploy
PORT=443

lab_begin
chmod 755 "$LAB_DIR"
IMAGE=localhost/masqbpf:${LAB_ID,,}

tool() { # NAME PACKAGE
	command -v "$1" >/dev/null || skip "no $1: apt-get install $2"
}

# unit NAME: as installed, with the program that was built
unit() {
	tool systemd-analyze systemd
	# a unit has no place for a folder with blanks
	ln -sf "$MASQBPF" "$LAB_DIR/masqbpf"
	sed "s|/usr/local/sbin/masqbpf|$LAB_DIR/masqbpf|" \
		"$DEPLOY/systemd/$1.service" >"$LAB_DIR/$1.service"
	systemd-analyze verify --man=no "$LAB_DIR/$1.service"
	# CAP_SYS_ADMIN, which the renewer alone keeps, is 0.3 of it, that
	# the guard may ask far sides 0.1
	systemd-analyze security --offline=true --threshold=30 \
		"$LAB_DIR/$1.service" >"$LAB_DIR/security" ||
		fail "$(cat "$LAB_DIR/security")"
	note "exposure $(sed -n 's/.*: \([0-9.]*\) OK.*/\1/p' \
		"$LAB_DIR/security")"
}

yaml() {
	tool yamllint yamllint
	yamllint -d '{extends: default, rules: {line-length: {max: 200}}}' \
		"$DEPLOY"/kubernetes* "$DEPLOY/prometheus"
}

# built OVERLAY: the manifests, as JSON, in LAB_DIR/built
built() {
	local tools status=0
	tools=$("$LAB_ROOT/scripts/tools.sh" 2>"$LAB_DIR/said") || status=$?
	[ $status -ne 3 ] || skip "$(cat "$LAB_DIR/said")"
	[ $status -eq 0 ] || fail "$(cat "$LAB_DIR/said")"
	"$tools/kubectl" kustomize "$1" >"$LAB_DIR/built.yaml"
	"$PYTHON" -c 'import json, sys, yaml
print(json.dumps(list(yaml.safe_load_all(sys.stdin))))' \
		<"$LAB_DIR/built.yaml" >"$LAB_DIR/built"
}

# field KIND FILTER
field() {
	jq -c ".[] | select(.kind == \"$1\") | $2" "$LAB_DIR/built"
}

# The agent is as it was: what talks to the API server is another container,
# with an account of its own.
taint() {
	"$PYTHON" -c 'import yaml' || skip "no yaml: apt-get install python3-yaml"
	built "$DEPLOY/kubernetes"
	field DaemonSet .spec >"$LAB_DIR/agent"
	built "$DEPLOY/kubernetes-taint"
	field DaemonSet 'select(.metadata.name == "masqbpf") | .spec' |
		cmp - "$LAB_DIR/agent"
	is "its account" "$(field DaemonSet 'select(.metadata.name ==
		"masqbpf-untaint") | .spec.template.spec.serviceAccountName')" \
		'"masqbpf-untaint"'
	is "what it may do" "$(field ClusterRole .rules)" \
		'[{"apiGroups":[""],"resources":["nodes"],"verbs":["get","patch"]}]'
	is "the script" "$(field ConfigMap '.data["untaint.sh"] // empty' |
		jq -r .)" "$(cat "$DEPLOY/kubernetes-taint/untaint.sh")"
	# the ConfigMap's name has a hash, and so has what mounts it
	is "the volume" "$(field DaemonSet '.spec.template.spec.volumes[] |
		select(.name == "script").configMap.name')" \
		"$(field ConfigMap 'select(.data["untaint.sh"]) | .metadata.name')"
}

manifest() {
	"$PYTHON" -c 'import yaml' || skip "no yaml: apt-get install python3-yaml"
	built "$DEPLOY/kubernetes"
	is "namespaces" "$(jq -r '[.[].metadata.namespace] | unique[]' \
		"$LAB_DIR/built")" kube-system
	is "privileged" "$(field DaemonSet \
		'[.. | .privileged? // empty] | length')" 0
	is "dropped" "$(field DaemonSet '.spec.template.spec.containers[0]
		.securityContext.capabilities.drop')" '["ALL"]'
	is "read-only root" "$(field DaemonSet '.spec.template.spec
		.containers[0].securityContext.readOnlyRootFilesystem')" true
	# on every node, whatever its taints, and the last to be evicted
	is "tolerations" "$(field DaemonSet \
		.spec.template.spec.tolerations)" '[{"operator":"Exists"}]'
	is "priority" "$(field DaemonSet \
		.spec.template.spec.priorityClassName)" '"system-node-critical"'
	# no policy: it would replace the one that the cluster has
	is "objects" "$(jq -c '[.[].kind]' "$LAB_DIR/built")" '["DaemonSet"]'
	# the one for a new cluster is a config, where the pods look for it
	"$MASQBPF" check --strict "$DEPLOY/kubernetes/configmap.yaml"
	is "where it is" "$("$PYTHON" -c 'import sys, yaml
at = yaml.safe_load(sys.stdin)["metadata"]
print(at["name"], at["namespace"])' <"$DEPLOY/kubernetes/configmap.yaml")" \
		"$(field DaemonSet '[.. | .configMap? // empty | .name][0]' |
			jq -r .) $(field DaemonSet .metadata.namespace | jq -r .)"
	# and the arguments are ones that the agent takes
	field DaemonSet '.spec.template.spec.containers[0].args' |
		jq -r '.[]' | grep -qx -- '--listen=127.0.0.1:9842'
}

overlay() {
	"$PYTHON" -c 'import yaml' || skip "no yaml: apt-get install python3-yaml"
	built "$DEPLOY/kubernetes-prometheus"
	# shellcheck disable=SC2016 # Kubernetes fills it in
	field DaemonSet '.spec.template.spec.containers[0].args[]' |
		grep -qxF '"--listen=$(NODE_ADDRESS):9842"'
	is "hosts of probes" "$(field DaemonSet \
		'[.. | .httpGet? // empty | .host // empty] | length')" 0
}

# leads_there FILE...: what these pages link to lies where they say
leads_there() {
	local page link
	for page; do
		while read -r link; do
			[ -e "$(dirname "$page")/$link" ] ||
				fail "$page: no $link"
		done < <(sed 's/](/\n&/g' "$page" |
			sed -n 's/^](\([^)#:]*\)[)#].*/\1/p')
	done
}

install_destdir() {
	local path doc=$LAB_DIR/root/usr/share/doc/masqbpf
	make -sC "$LAB_ROOT" install DESTDIR="$LAB_DIR/root" PREFIX=/usr
	is "docs" "$(ls "$doc/docs")" \
		"$(cd "$LAB_ROOT/docs" && ls -- *.md *.svg)"
	leads_there "$doc"/*.md "$doc"/docs/*.md "$doc"/deploy/*/*.md
	# what the man page names is there, whatever PREFIX is
	while read -r path; do
		[ -e "$LAB_DIR/root$path" ] || fail "man page: no $path"
	done < <(grep -oE '/[a-z/]*share/doc/[a-z/.]*[a-z]' \
		"$LAB_DIR/root/usr/share/man/man8/masqbpf.8")
	grep -q '^ExecStart=/usr/sbin/masqbpf agent' \
		"$LAB_DIR/root/usr/lib/systemd/system/masqbpf-agent.service"
	# a user of its own, before the agent is started for the first time
	grep -q '^u masqbpf ' "$LAB_DIR/root/usr/lib/sysusers.d/masqbpf.conf"
	grep -q '^ dh-sequence-installsysusers,$' "$LAB_ROOT/debian/control"
	# the image's has the number that is for where nobody made one
	grep -q "masqbpf:x:60842:60842:" "$LAB_ROOT/scripts/image.sh"
	grep -q 'DEFAULT_UID[[:space:]]*"60842"' "$LAB_ROOT/user/cli/cmd_agent.c"
	if grep -rE "65534|runAsUser: [1-9]" "$LAB_ROOT"/deploy \
		--exclude-dir=kubernetes-taint; then
		fail "the agent as nobody, or without the root of set-up"
	fi
	"$LAB_DIR/root/usr/sbin/masqbpf" --version
}

# What the Debian package says of itself, and what others say of the same.
debian_words() {
	local name
	is version "$(sed -n '1s/.*(\(.*\)-[^-]*).*/\1/p' \
		"$LAB_ROOT/debian/changelog")" \
		"$("$MASQBPF" --version | cut -d' ' -f2)"
	# what builds it is what scripts/deps.sh installs for that
	sed -n '/^Build-Depends:/,/^[^ ]*:  */s/^ \([^ ,]*\).*/\1/p' \
		"$LAB_ROOT/debian/control" | grep -vx -e debhelper-compat \
		-e dh-sequence-installsysusers -e libcmocka-dev | sed 's/^pkgconf$/pkg-config/' |
		sort >"$LAB_DIR/debian"
	sed -n '/^build=(/,/^)/p' "$LAB_ROOT/scripts/deps.sh" |
		grep -v '#' | tr -d '()' | sed 's/build=//' | xargs -n 1 |
		grep -vx -e gcc -e libc6-dev -e make | sort >"$LAB_DIR/deps"
	diff "$LAB_DIR/debian" "$LAB_DIR/deps"
	# its autopkgtest is there
	name=$(sed -n 's/^Test-Command: \([^ ]*\).*/\1/p' \
		"$LAB_ROOT/debian/tests/control")
	[ -x "$LAB_ROOT/$name" ]
}

# The same sources, the same tarball; and what builds it is in it.
dist() {
	git -C "$LAB_ROOT" rev-parse >/dev/null 2>&1 || skip "no git here"
	make -sC "$LAB_ROOT" dist >"$LAB_DIR/named"
	mv "$LAB_ROOT/$(cat "$LAB_DIR/named")" "$LAB_DIR/dist.tar.gz"
	make -sC "$LAB_ROOT" dist
	cmp "$LAB_ROOT/$(cat "$LAB_DIR/named")" "$LAB_DIR/dist.tar.gz"
	mkdir "$LAB_DIR/dist"
	tar -xf "$LAB_DIR/dist.tar.gz" -C "$LAB_DIR/dist"
	make -nC "$LAB_DIR"/dist/masqbpf-* all tests >/dev/null
	cmp "$LAB_ROOT/Makefile" "$LAB_DIR"/dist/masqbpf-*/Makefile
}

image() {
	tool buildah buildah
	BUILDER=buildah "$LAB_ROOT/scripts/image.sh" "$IMAGE"
	note "$(buildah images --format '{{.Size}}' "$IMAGE")"
	# limits that it may set, whatever this machine's are
	buildah from --pull-never --cap-drop=all \
		--ulimit nofile=1024:1024 --ulimit nproc=1000:1000 \
		--security-opt seccomp=unconfined "$IMAGE" >"$LAB_DIR/container"
}

# digest IMAGE: of its manifest, as a registry would have it
digest() {
	buildah push --digestfile "$LAB_DIR/digest" "$1" \
		"oci:$LAB_DIR/oci:x" >"$LAB_DIR/push" 2>&1 ||
		fail "$(cat "$LAB_DIR/push")"
	cat "$LAB_DIR/digest"
}

image_again() { # PROGRAM: built once more, elsewhere; sets DIGEST
	rm -rf "$LAB_DIR/again"
	mkdir "$LAB_DIR/again"
	cp "$1" "$LAB_DIR/again/masqbpf"
	BUILDER=buildah O=$LAB_DIR/again "$LAB_ROOT/scripts/image.sh" "$IMAGE-2"
	DIGEST=$(digest "$IMAGE-2")
	buildah rmi "$IMAGE-2"
}

image_twice() {
	local first
	first=$(digest "$IMAGE")
	image_again "$MASQBPF"
	is digest "$DIGEST" "$first"
	note "${first:0:19}"
	# and not because nothing counts
	SOURCE_DATE_EPOCH=1 image_again "$MASQBPF"
	[ "$DIGEST" != "$first" ] || fail "another time, the same digest"
	cp "$MASQBPF" "$LAB_DIR/changed"
	printf x | dd of="$LAB_DIR/changed" bs=1 conv=notrunc status=none \
		seek="$(grep -abom1 'usage: masqbpf' "$LAB_DIR/changed" | cut -d: -f1)"
	image_again "$LAB_DIR/changed"
	[ "$DIGEST" != "$first" ] || fail "another program, the same digest"
}

# label NAME
label() {
	buildah inspect --type image "$IMAGE" |
		jq -r ".OCIv1.config.Labels[\"org.opencontainers.image.$1\"]"
}

image_labels() {
	local name
	is version "$(label version)" "$("$MASQBPF" --version | cut -d' ' -f2)"
	is licenses "$(label licenses)" GPL-2.0-only
	for name in title description created; do
		[ "$(label $name)" != null ] || fail "no $name"
	done
	is created "$(label created)" \
		"$(buildah inspect --type image "$IMAGE" | jq -r .OCIv1.created)"
	git -C "$LAB_ROOT" rev-parse >/dev/null 2>&1 || return 0
	is revision "$(label revision | cut -d- -f1)" \
		"$(git -C "$LAB_ROOT" rev-parse HEAD)"
}

# Every file of the image is in its bill, with the sum that it has, and of the
# package and version that dpkg says.
image_bill() {
	local mounted
	mounted=$(buildah mount "$(cat "$LAB_DIR/container")")
	"$PYTHON" - "$mounted" <<-'PYTHON'
		import hashlib, json, os, re, subprocess, sys
		root = sys.argv[1]
		where = "var/lib/db/sbom/masqbpf.spdx.json"
		bill = json.load(open(f"{root}/{where}"))
		assert bill["spdxVersion"] == "SPDX-2.3"
		assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
		                    bill["creationInfo"]["created"])
		elements = bill["packages"] + bill["files"]
		ids = [element["SPDXID"] for element in elements]
		assert len(set(ids)) == len(ids)
		assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids)
		for relation in bill["relationships"]:
		    assert relation["relatedSpdxElement"] in ids
		    assert relation["spdxElementId"] in ids + ["SPDXRef-DOCUMENT"]
		sums = {f["fileName"]: f["checksums"][0]["checksumValue"]
		        for f in bill["files"]}
		there = {}
		for folder, _, names in os.walk(root):
		    for name in names:
		        path = os.path.join(folder, name)
		        there["./" + os.path.relpath(path, root)] = hashlib.sha256(
		            open(path, "rb").read()).hexdigest()
		del there["./" + where]
		assert there == sums, set(there.items()) ^ set(sums.items())
		holder = {r["relatedSpdxElement"]: r["spdxElementId"]
		          for r in bill["relationships"] if r["relationshipType"] == "CONTAINS"}
		of = {f["fileName"]: holder[f["SPDXID"]] for f in bill["files"]}
		ours = {"./usr/sbin/masqbpf", "./etc/passwd"}
		assert {n for n in of if of[n].endswith("-masqbpf")} == ours, of
		for package in bill["packages"][1:]:
		    told = subprocess.check_output(
		        ["dpkg-query", "-W", "-f", "${Version}", package["name"]], text=True)
		    assert package["versionInfo"] == told, package
		    name = package["name"].split(":")[0]
		    assert package["externalRefs"][0]["referenceLocator"].startswith(
		        f"pkg:deb/debian/{name}@{told}?arch=")
		    # its licence is there, too
		    assert f"./usr/share/doc/{name}/copyright" in there, name
		print(len(bill["packages"]), "packages,", len(sums), "files")
	PYTHON
	buildah umount "$(cat "$LAB_DIR/container")"
}

image_end() {
	buildah rm "$(cat "$LAB_DIR/container")"
	buildah rmi "$IMAGE"
}

ready() {
	lab_in node curl -sf --max-time $((5 * TEST_SLOW)) http://127.0.0.1:9842/readyz
}

# The runtime is buildah's own, which needs no cgroups.
image_runs() {
	local cap caps=() pid
	lab_node_far
	lab_pod pod1 10.44.14.15
	lab_serve far $PORT
	mkdir "$LAB_DIR/conf"
	echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$LAB_DIR/conf/ip-masq-agent"
	while read -r cap; do
		caps+=("--cap-add=CAP_$cap")
	done < <(sed -n '/add: # set-up/,/drop:/s/^ *- \([A-Z_]*\).*$/\1/p' \
		"$DEPLOY/kubernetes/daemonset.yaml")
	[ ${#caps[@]} -eq 7 ] || fail "capabilities: ${caps[*]}"
	lab_spawn node buildah run --isolation chroot --network host \
		"${caps[@]}" -v "$LAB_DIR/bpf:/bpf" \
		-v "$LAB_DIR/conf:/etc/config:ro" \
		"$(cat "$LAB_DIR/container")" /usr/sbin/masqbpf agent \
		--config=/etc/config/ip-masq-agent --listen=127.0.0.1:9842 \
		auto --pin-dir /bpf/masqbpf >"$LAB_DIR/run" 2>&1 </dev/null
	lab_wait 20 ready || fail "$(cat "$LAB_DIR/run")"
	is "source" "$(word source \
		"$(traffic pod1 who $FAR_ADDR $PORT)")" $NODE_ADDR
	# it goes, traffic stays
	for pid in $(ip netns pids "$LAB_ID-node"); do
		[ "$(cat "/proc/$pid/comm")" != masqbpf ] || kill "$pid"
	done
	lab_wait 5 not_ready
	is "source" "$(word source \
		"$(traffic pod1 who $FAR_ADDR $PORT)")" $NODE_ADDR
}

not_ready() {
	! ready
}

row "unit: masqbpf-agent" unit masqbpf-agent
row "unit: masqbpf-attach" unit masqbpf-attach
row "YAML" yaml
row "kustomization" manifest
row "kustomization for Prometheus" overlay
row "kustomization with a start-up taint" taint
row "make install DESTDIR" install_destdir
row "the Debian package's words" debian_words
row "make dist" dist
row "image is built" image
if row_ok; then
	row "image: the same from two builds" image_twice
	row "image: labels" image_labels
	row "image: bill of materials" image_bill
	row "image runs with the manifest's capabilities" image_runs
	row "image is removed" image_end
fi
tap_done
