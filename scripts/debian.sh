# shellcheck shell=sh
# For scripts that need a small Debian in a folder (sourced by them, who have a
# skip() for where there can be none). It is a debootstrap from the mirror that this machine's own apt uses, kept in
# ${XDG_CACHE_HOME:-~/.cache}/wsrelayd, and only read by those who use it.

# The mirror of the main archive, as apt has it.
mirror() {
	# shellcheck disable=SC1091
	host=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' \
		'Created-By: Packages' 2>/dev/null |
		awk -v host="$host" '$1 == host && $2 == "main" && $3 ~ /^https?:/ {
			print $3
			exit
		}'
}

proxy() {
	it=
	eval "$(apt-config shell it Acquire::http::Proxy 2>/dev/null)"
	[ "${it:-DIRECT}" = DIRECT ] || export http_proxy="$it"
}

# Makes $root where there is none; who uses one holds the lock shared.
fetch() { # name release packages
	name=$1
	release=$2
	packages=$3
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	cache=${XDG_CACHE_HOME:-${HOME:-build}/.cache}/wsrelayd
	root=$cache/$name-$(echo "$packages" | cksum | cut -d ' ' -f 1)
	mkdir -p "$cache" 2>/dev/null || skip "no place for it: $cache"
	exec 8>"$cache/lock"
	flock -s 8
	[ ! -d "$root" ] || return 0
	flock -x 8
	[ ! -d "$root" ] || return 0
	for old in "$cache/$name"-*; do
		rm -rf --one-file-system "$old"
	done
	scripts/deps trixie || skip "debootstrap cannot be installed"
	from=$(mirror)
	[ -n "$from" ] || skip "apt names no mirror of Debian"
	proxy
	echo "check-$name: fetching Debian's $release (about a minute)"
	if ! debootstrap --variant=minbase --force-check-gpg \
		--include="$(echo "$packages" | tr -s '[:space:]' ',')" \
		"$release" "$root.new" "$from" >"$cache/log" 2>&1; then
		tail -n 5 "$cache/log" >&2
		rm -rf --one-file-system "$root.new"
		skip "debootstrap failed: $cache/log"
	fi
	rm -f "$root.new"/var/cache/apt/archives/*.deb
	mkdir "$root.new/src"
	mv "$root.new" "$root"
	flock -s 8
}
