# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# apt.sh - Debian's packages, of any suite and architecture, from the mirrors
# that this machine's apt uses already, without touching its lists or packages.

# own_apt_begin DIR ARCH SUITE...: lists, cache and status are in DIR from now
# on, and up to date. A security suite comes from where the machine's own does.
own_apt_begin() {
	local codename suite kind uri
	own_apt=$1
	own_arch=$2
	mkdir -p "$own_apt/lists/partial" "$own_apt/cache/archives/partial"
	: >"$own_apt/status"
	codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	for suite in "${@:3}"; do
		kind=
		[[ $suite != *-security ]] || kind=-security
		uri=$(apt-get indextargets "Created-By: Packages" \
			--format "\$(RELEASE) \$(COMPONENT) \$(REPO_URI)" |
			awk -v release="$codename$kind" '
				$1 == release && $2 == "main" && !seen++ { print $3 }')
		[ -z "$uri" ] ||
			echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
				"$uri $suite main"
	done >"$own_apt/sources.list"
	[ -s "$own_apt/sources.list" ] || {
		echo "the machine's apt sources name no mirror of Debian" >&2
		return 1
	}
	own_apt apt-get update >"$own_apt/log" 2>&1 || {
		cat "$own_apt/log" >&2
		return 1
	}
}

# own_apt apt-get|apt-cache ARG...
own_apt() {
	"$1" -q -o Dir::State="$own_apt" -o Dir::State::status="$own_apt/status" \
		-o Dir::Cache="$own_apt/cache" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::Etc::SourceList="$own_apt/sources.list" \
		-o Dir::Etc::Preferences=/dev/null \
		-o Dir::Etc::PreferencesParts=/dev/null \
		-o APT::Sandbox::User=root -o "APT::Architecture=$own_arch" \
		-o "APT::Architectures=$own_arch" "${@:2}"
}
