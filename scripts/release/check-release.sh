#!/usr/bin/env bash
# check-release.sh BIN [WHEEL ...]: check everything that must hold before a release. `make check-release` calls this.
# BIN is the folder of programs in .venv, where the dependency group "release" is installed.
#
#   - cibuildwheel builds exactly the wheels that docs/install.md lists;
#   - THIRD-PARTY-LICENSES.txt lists the crates that are linked into the module;
#   - deny.toml allows the license, source and version of every crate, and there is no security advisory against one.
#     cargo-deny is installed if it is missing, which takes some minutes. With NO_CARGO_DENY=1 this check is left out;
#   - each wheel (those given, or those of `make wheels-matrix`, or those in dist/) contains its licenses, uses only its
#     ABI (abi3audit) and has valid metadata (twine). auditwheel prints its platform.
#
# ADVISORIES=no leaves out the advisories, whose database is downloaded. The workflows always check them.
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=$1
shift
wheels=("$@")
if [ ${#wheels[@]} -eq 0 ]; then
  shopt -s nullglob
  wheels=(build/matrix/wheels/*.whl)
  [ ${#wheels[@]} -gt 0 ] || wheels=(dist/*.whl)
  shopt -u nullglob
fi
[ ${#wheels[@]} -gt 0 ] || { echo "check-release: FAILED: no wheel found (build some with make wheels-matrix)" >&2; exit 1; }

step() { echo "check-release: $*"; }

step "the matrix of wheels"
"$bin/python" scripts/release/check_build_matrix.py "$bin/cibuildwheel"

step "licenses of the linked crates"
"$bin/python" scripts/release/third_party_licenses.py --check

if [ "${NO_CARGO_DENY:-}" = 1 ]; then
  step "NOT CHECKED (NO_CARGO_DENY=1): cargo deny"
else
  command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny@0.20.2
  checks=(licenses bans sources advisories)
  if [ "${ADVISORIES:-yes}" = no ]; then
    unset 'checks[3]'
    step "NOT CHECKED (ADVISORIES=no): advisories"
  fi
  step "cargo deny: ${checks[*]}"
  cargo deny --locked check "${checks[@]}"
fi

step "metadata"
shopt -s nullglob
"$bin/twine" check --strict "${wheels[@]}" dist/*.tar.gz
shopt -u nullglob

for wheel in "${wheels[@]}"; do
  step "$(basename "$wheel")"
  "$bin/python" - "$wheel" <<'CHECK'
import sys
import zipfile

names = zipfile.ZipFile(sys.argv[1]).namelist()
for wanted in ("LICENSE", "THIRD-PARTY-LICENSES.txt"):
    if not any(name.endswith(f".dist-info/licenses/{wanted}") for name in names):
        sys.exit(f"check-release: FAILED: {wanted} is missing")
CHECK
  case $wheel in *-abi3*) "$bin/python" scripts/release/check_abi3.py "$bin/abi3audit" "$wheel" ;; esac
  case $wheel in *linux*) "$bin/auditwheel" show "$wheel" ;; esac
done
