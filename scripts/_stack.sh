# Sourced: runs `python -m parley_stack` of this checkout on it, or on --workdir DIR.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
if [ ! -x "$root/.venv/bin/python" ]; then
    echo 'Nothing is set up here yet; ./scripts/start does it.' >&2
    exit 1
fi
case " $* " in *" --workdir"*) ;; *) set -- "$@" --workdir "$root" ;; esac
exec "$root/.venv/bin/python" -m parley_stack "$@"
