#!/usr/bin/env bash
# The core of the suite on both stacks that jaxgen supports: Python 3.11 with jax 0.10, and Python
# 3.12 with the newest jax. Each is installed with pip into a temporary virtual environment.
#
#   tests/matrix.sh                       the core, named below
#   tests/matrix.sh tests/data -k toy     what is given instead: any arguments of pytest
#
# PYTHON311 and PYTHON312 name the interpreters; without them, they are the first python3.11 and
# python3.12 on the PATH that run. A missing one is a failure, as a failing test is.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONPATH  # or another checkout might be tested

# Every member through the checks of its kind, the mathematics, training steps, and what importing
# loads. Left out: papers, runs, data sets, evaluation, the command line and the documents.
core=(
    tests/test_imports.py
    tests/test_core.py
    tests/test_registry.py
    tests/functional
    tests/conditionals
    tests/bijectors
    tests/models
    tests/training/test_steps.py
    tests/training/test_objectives.py
)

# The given interpreter, or the first on the PATH, that is of this version and runs: the stand-ins
# that version managers put on the PATH may not.
interpreter() { # version, given
    local candidate
    while read -r candidate; do
        if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>&1)" = "$1" ]; then
            echo "$candidate"
            return
        fi
    done < <(if [ -n "$2" ]; then echo "$2"; else type -aP "python$1"; fi)
    return 1
}

environments=$(mktemp -d)
trap 'rm -rf "$environments"' EXIT
summary=""
failed=0

conclude() { # exit status, what was tested
    local word="passed "
    if [ "$1" -ne 0 ]; then
        word="FAILED "
        failed=1
    fi
    summary+="$word $2"$'\n'
}

check() { # version, requirement, variable, given interpreter, pytest's arguments
    local version=$1 requirement=$2 variable=$3 given=$4 python environment versions
    shift 4
    if ! python=$(interpreter "$version" "$given"); then
        local said="no python$version that runs; set $variable"
        [ -z "$given" ] || said="$variable=$given is no Python $version that runs"
        conclude 1 "Python $version, $requirement: $said"
        return
    fi
    environment=$environments/$version
    echo "=== Python $version ($python), $requirement"
    if "$python" -m venv "$environment" &&
        "$environment/bin/pip" install -q -e ".[test]" "$requirement" "${requirement/#jax/jaxlib}"; then
        versions=$("$environment/bin/python" - <<'PYTHON'
import platform
from importlib.metadata import version

names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "distrax", "flowjax")
print(f"Python {platform.python_version()},", ", ".join(f"{n} {version(n)}" for n in names))
PYTHON
        )
        echo "=== $versions"
        "$environment/bin/python" -m pytest -n 2 -p no:cacheprovider "$@"
        conclude $? "$versions"
    else
        conclude 1 "Python $version, $requirement: pip could not install it"
    fi
}

[ $# -gt 0 ] || set -- "${core[@]}"
check 3.11 "jax==0.10.*" PYTHON311 "${PYTHON311:-}" "$@"
check 3.12 "jax>=0.11" PYTHON312 "${PYTHON312:-}" "$@"

echo
echo "$summary"
exit "$failed"
