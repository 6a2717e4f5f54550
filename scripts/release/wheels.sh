#!/usr/bin/env bash
# wheels.sh PYTHON: replace dist/ with a new sdist and the wheel built from it, and test them:
#   - a wheel built from this tree contains the same files, byte for byte, as the one built from the sdist;
#   - the wheel installs into a clean environment and passes the wire tests on a PATH without a Rust toolchain. Tests that
#     measure time (marker `alone`) are left out: `make test` runs them on the same code.
# PYTHON is the interpreter of .venv, where maturin is installed. `make wheels` calls this script.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$1
rm -rf dist build/wheel
mkdir -p dist build/wheel

echo "wheels: sdist"
"$python" -m maturin sdist --out dist

echo "wheels: wheel from the sdist, in an isolated build"
CARGO_TARGET_DIR="$PWD/target/sdist" "$python" -m pip --disable-pip-version-check --quiet \
  wheel --no-deps --wheel-dir dist dist/multicast-*.tar.gz

echo "wheels: wheel from the tree"
"$python" -m pip --disable-pip-version-check --quiet wheel --no-deps --wheel-dir build/wheel .
"$python" scripts/release/compare_wheels.py dist/*.whl build/wheel/*.whl

echo "wheels: clean environment"
venv=build/wheel/venv
"$python" -m venv "$venv"
clean=$PWD/$venv/bin
"$clean/python" -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=25.1'
"$clean/python" -m pip --disable-pip-version-check --quiet install --group test
"$clean/python" -m pip --disable-pip-version-check --quiet install --no-deps dist/*.whl

# A PATH with all programs of the current one except Rust toolchains and Python.
tools=$PWD/build/wheel/tools
mkdir "$tools"
IFS=: read -ra folders <<<"$PATH"
for folder in "${folders[@]}"; do
  for program in "$folder"/*; do
    name=${program##*/}
    case $name in
      cargo* | rustc* | rustup* | maturin* | python* | pip* | pytest*) continue ;;
    esac
    # As in every PATH, the first folder that has a program is used.
    if [ -x "$program" ] && [ ! -e "$tools/$name" ]; then ln -s "$program" "$tools/$name"; fi
  done
done
export PATH=$clean:$tools
unset PYTHONPATH VIRTUAL_ENV
if command -v cargo rustc maturin; then
  echo "wheels: FAILED: the clean PATH contains a Rust toolchain" >&2
  exit 1
fi

echo "wheels: the wire tests on the installed wheel"
python - <<'CHECK'
import pathlib
import sys

import multicast

here = pathlib.Path(multicast.__file__)
if not here.is_relative_to(sys.prefix):
    sys.exit(f"wheels: FAILED: imported {here}, not the installed wheel")
print("wheels: installed", multicast.__version__, "from", here.relative_to(sys.prefix))
CHECK
multicast --version
python -m pytest -p no:cacheprovider -n auto --dist loadfile -m 'not alone' tests/wire
ls -l dist
