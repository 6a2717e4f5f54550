#!/usr/bin/env bash
# check-release.sh BIN [WHEEL ...]: what has to hold before anything is published. `make check-release` calls this.
# BIN is the folder of the project's environment, with the dependency group "release" in it.
#
#   - cibuildwheel builds for what docs/install.md promises, no more and no less;
#   - THIRD-PARTY-LICENSES.txt names the crates that are linked into the module;
#   - licenses, sources and versions of all crates are allowed ones (deny.toml), and no advisory is out against one.
#     cargo-deny is installed where it is missing, which takes some minutes, unless NO_CARGO_DENY=1: then it says so;
#   - each wheel (those given, or else those of `make wheels-matrix`, or dist/) has its licenses in it, uses nothing
#     beyond its ABI (abi3audit), and has metadata that an index takes (twine). auditwheel tells its platform.
#
# ADVISORIES=no leaves out the advisories, whose database is fetched from the network: workflows never do.
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
[ ${#wheels[@]} -gt 0 ] || { echo "check-release: FAILED: no wheel: make wheels-matrix builds some" >&2; exit 1; }

step() { echo "check-release: $*"; }

step "the matrix of wheels"
"$bin/python" scripts/release/check_build_matrix.py "$bin/cibuildwheel"

step "licenses of what is linked in"
"$bin/python" scripts/release/third_party_licenses.py --check

if [ "${NO_CARGO_DENY:-}" = 1 ]; then
  step "NOT CHECKED, because of NO_CARGO_DENY=1: cargo deny"
else
  command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny@0.20.2
  checks=(licenses bans sources advisories)
  if [ "${ADVISORIES:-yes}" = no ]; then
    unset 'checks[3]'
    step "NOT CHECKED, because of ADVISORIES=no: advisories"
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
        sys.exit(f"check-release: FAILED: {wanted} is not in it")
CHECK
  case $wheel in *-abi3*) "$bin/python" scripts/release/check_abi3.py "$bin/abi3audit" "$wheel" ;; esac
  case $wheel in *linux*) "$bin/auditwheel" show "$wheel" ;; esac
done
