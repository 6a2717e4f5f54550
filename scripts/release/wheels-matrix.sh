#!/usr/bin/env bash
# wheels-matrix.sh [--newest] [PYTHON ...]: build the wheels of a release for this system, and run the wire tests with
# each wheel on each interpreter that it fits. Tests that measure time (marker `alone`) are left out: `make test` runs
# them on the same code. `make wheels-matrix` calls this script.
#
# PYTHON are interpreters; the default is each python3.N (from 3.10) and python3.Nt (from 3.14) on the PATH and in pyenv.
# --newest tests only the newest one, and builds only the wheels that fit it, with the oldest interpreter that can.
#
# docs/architecture.md explains the wheels. Each is built if there is an interpreter for it:
#   cp310                  CPython 3.10
#   cp311-abi3             any CPython from 3.11 to 3.14
#   cp314t                 CPython 3.14t
#   cp315-abi3.abi3t       CPython 3.15, 3.15t or later
# The output ends with a table of the tested combinations and the names of the wheels that could not be built.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$PWD/build/matrix
pip=(--disable-pip-version-check --quiet)

newest=no
if [ "${1:-}" = --newest ]; then
  newest=yes
  shift
fi

# Print the version of interpreter $1, such as "3.13" or "3.14t"; fail if it does not run.
version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2] + getattr(sys, "abiflags", "").replace("d", ""))' 2>/dev/null; }

# Print the first interpreter of each version among the arguments, as lines of "version path", oldest first.
found() {
  local path known
  for path in "$@"; do
    known=$(version "$path") || continue
    case $known in 3.1[0-9] | 3.1[4-9]t) echo "$known $path" ;; esac
  done | awk '!seen[$1]++' | sort -k1,1V
}

if [ $# -gt 0 ]; then
  candidates=("$@")
else
  shopt -s nullglob
  IFS=: read -ra folders <<<"$PATH"
  candidates=()
  for folder in "${folders[@]}" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin; do
    candidates+=("$folder"/python3.1[0-9] "$folder"/python3.1[0-9]t)
  done
  shopt -u nullglob
fi
mapfile -t interpreters < <(found "${candidates[@]}")
[ ${#interpreters[@]} -gt 0 ] || { echo "wheels-matrix: FAILED: no CPython 3.10 or later" >&2; exit 1; }
printf 'wheels-matrix: %s\n' "${interpreters[@]}"

rm -rf "$work"
mkdir -p "$work/wheels"

# Print the wheel that an interpreter of version $1 builds.
builds() {
  case $1 in
    3.10) echo cp310 ;;
    3.1[1-4]) echo cp311-abi3 ;;
    3.14t) echo cp314t ;;
    *) echo cp315-abi3.abi3t ;;
  esac
}

declare -A built_with=()
for line in "${interpreters[@]}"; do
  read -r has python <<<"$line"
  wheel=$(builds "$has")
  [ -z "${built_with[$wheel]:-}" ] || continue
  # A wheel for one version fits the newest interpreter only if that is the version.
  case $newest$wheel in yescp310 | yescp314t) [ "$line" = "${interpreters[-1]}" ] || continue ;; esac
  built_with[$wheel]=$has
  echo "wheels-matrix: building $wheel with $has"
  "$python" -m venv "$work/build-$has"
  "$work/build-$has/bin/python" -m pip "${pip[@]}" install --upgrade 'pip>=25.1'
  features=()
  case $wheel in *abi3*) features=(--config-settings "maturin.build-args=--features abi3") ;; esac
  CARGO_TARGET_DIR="$PWD/target/matrix" PYO3_PYTHON="$work/build-$has/bin/python" \
    "$work/build-$has/bin/python" -m pip "${pip[@]}" wheel --no-deps "${features[@]}" --wheel-dir "$work/wheels" .
done

# Add a row to the table at the end.
table=()
row() { table+=("$(printf '%-10s %-18s %-12s %s' "$@")"); }

failed=0
[ "$newest" = no ] || interpreters=("${interpreters[-1]}")
for line in "${interpreters[@]}"; do
  read -r has python <<<"$line"
  venv=$work/test-$has
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip "${pip[@]}" install --upgrade 'pip>=25.1'
  "$venv/bin/python" -m pip "${pip[@]}" install --group test
  fits=no
  for file in "$work"/wheels/*.whl; do
    tags=${file##*/}
    tags=$(cut -d- -f3,4 <<<"${tags%.whl}")
    case $tags in cp310-cp310) wheel=cp310 ;; cp314-cp314t) wheel=cp314t ;; *) wheel=$tags ;; esac
    # pip decides which wheel fits. If it rejects one that should fit, its row is missing in the table below.
    "$venv/bin/python" -m pip "${pip[@]}" install --no-deps --no-index --force-reinstall "$file" 2>/dev/null || continue
    fits=yes
    echo "wheels-matrix: $wheel on $has"
    # The interpreter starts outside the tree, so that it imports the installed package.
    if summary=$(cd "$work" && "$venv/bin/python" -m pytest -p no:cacheprovider -q -n auto --dist loadfile -m 'not alone' \
      ../../tests/wire 2>&1 | tee "$work/test-$has-$wheel.log" | tail -1); then
      row "$has" "$wheel" "${built_with[$wheel]}" "$summary"
    else
      row "$has" "$wheel" "${built_with[$wheel]}" "FAILED: $summary"
      failed=1
    fi
  done
  [ "$fits" = yes ] || { row "$has" - - "FAILED: no wheel fits"; failed=1; }
done

printf '\n%-10s %-18s %-12s %s\n' python wheel 'built with' result
printf '%s\n' "${table[@]}"
if [ "$newest" = no ]; then
  for wheel in cp310 cp311-abi3 cp314t cp315-abi3.abi3t; do
    [ -n "${built_with[$wheel]:-}" ] || echo "not built, because there is no interpreter for it: $wheel"
  done
fi
exit "$failed"
