# Sourced by ./try and ./check, in the project's folder.

# environment WHAT: make .venv hold WHAT ("." or ".[dev]"), with uv if it is there, else with venv and pip.
environment() {
    stamp=.venv/holds-$(printf %s "$1" | tr -cd a-z)-$(cksum <pyproject.toml | tr ' ' -)
    if [ -e "$stamp" ] && .venv/bin/python -c '' 2>/dev/null; then return; fi
    echo "Setting up .venv; this takes a minute the first time." >&2
    if command -v uv >/dev/null 2>&1; then
        .venv/bin/python -c '' 2>/dev/null || uv venv --quiet --clear --python '>=3.11' .venv
        uv pip install --quiet --python .venv/bin/python -e "$1"
    else
        .venv/bin/python -m pip --version >/dev/null 2>&1 || with_venv
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input -e "$1"
    fi
    : >"$stamp"
}

with_venv() {
    python=$(newest_python) || cannot "Keyferry needs Python 3.11 or newer, and found none."
    "$python" -m venv --clear .venv >/dev/null 2>&1 || {
        rm -rf .venv
        cannot "$python cannot make an environment: its venv module is missing."
    }
}

newest_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

cannot() {
    echo "$1 On Debian or Ubuntu type:" >&2
    echo "    sudo apt install python3 python3-venv" >&2
    exit 1
}
