# Sourced by the other scripts: installing Debian packages, as root or by sudo.

# Runs a command up to four times, with pauses: downloads fail now and then.
retry() {
    local attempt
    for attempt in 1 2 3; do
        "$@" && return 0
        echo "failed, trying again: $*" >&2
        sleep $((attempt * 5))
    done
    "$@"
}

# apt_install WHAT PACKAGE...: installs the packages, or says what to do.
apt_install() {
    local what=$1 sudo=()
    shift
    if ! command -v apt-get >/dev/null; then
        echo "$what is missing, and this is no Debian: install what your system calls $*" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "$what is missing: as root, run apt-get install $*" >&2
            return 1
        fi
        sudo=(sudo)
    fi
    echo "installing $what: $*"
    retry "${sudo[@]}" apt-get update -qq </dev/null
    retry "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}
