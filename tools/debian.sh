# To be sourced: packages of any release of Debian, on any Debian, without a change to apt's own sources.

# usage: open_archive DIRECTORY CODENAME deb|deb-src...
# Makes DIRECTORY, and in it a configuration of apt for packages or sources of the release CODENAME.
open_archive() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    local mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' 2>/dev/null |
        sed -n 's/^\(.*\/debian\/\?\) [a-z]* main$/\1/p' | head -n 1)
    [ -n "$mirror" ] || return 1
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    printf "%s [signed-by=$keys] $mirror $2 main\n" "${@:3}" >"$1/sources.list"
    from_archive "$1" update
}

# usage: from_archive DIRECTORY ARGUMENT...
# Runs apt-get with that configuration.
from_archive() {
    apt-get -qq -o "Dir::Etc::sourcelist=$1/sources.list" -o Dir::Etc::sourceparts=- \
        -o "Dir::State::lists=$1/lists" -o "Dir::Cache=$1/cache" -o APT::Sandbox::User=root "${@:2}"
}
