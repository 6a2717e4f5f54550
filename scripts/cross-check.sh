#!/usr/bin/env bash
# cross-check.sh [TARGET ...]: type-checks the Rust code for systems that this machine is not, and prints a table.
#
# Two ways lead to a target's standard library; the first that is open is taken:
#   1. rustup has the target installed (`rustup target add TARGET`): plain `cargo check --target`.
#   2. Debian's compiler with the sources of its standard library (packages rustc-web, cargo-web, rust-web-src): the
#      library is checked from source first, which cargo calls -Zbuild-std. RUSTC_BOOTSTRAP=1 allows that on a stable
#      compiler. Everything it makes is kept apart from the main toolchain's, under target/cross.
# Only checking: nothing is linked, so no foreign linker or SDK is needed. PyO3 is told the Python version that it would
# otherwise ask an interpreter of the target for. A warning counts as a failure, as in `make lint`.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=("$@")
[ $# -gt 0 ] || targets=(x86_64-pc-windows-msvc aarch64-apple-darwin)
logs=target/cross
mkdir -p "$logs"
export PYO3_CROSS=1 PYO3_CROSS_PYTHON_VERSION=3.13

# The command that checks for target $1, in the array `check`; false where no way is open.
choose() {
  if rustup target list --installed 2>/dev/null | grep -qx "$1"; then
    route="rustup target"
    check=(env "CARGO_TARGET_DIR=$logs/rustup" cargo check)
  elif [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] &&
    [ -f "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; then
    route="Debian's compiler, build-std"
    # A PATH without rustup's own cargo; its folder of settings and downloads is not shared either.
    check=(env -u RUSTUP_TOOLCHAIN -u RUSTFLAGS RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc PATH=/usr/bin:/bin
      "CARGO_HOME=$PWD/$logs/home" "CARGO_TARGET_DIR=$logs/debian" /usr/bin/cargo check -Zbuild-std=std,panic_abort)
  else
    route="none"
    return 1
  fi
}

failed=0
table=()
for target in "${targets[@]}"; do
  log="$logs/$target.log"
  echo "cross-check: $target ..."
  if ! choose "$target"; then
    result="NO WAY: neither rustup has the target nor are rustc-web, cargo-web and rust-web-src installed"
  elif ! "${check[@]}" --locked --workspace --target "$target" >"$log" 2>&1; then
    result="FAILED: see $log"
    cat "$log"
  elif grep -q '^warning' "$log"; then
    result="FAILED: warnings, see $log"
    cat "$log"
  else
    result=ok
  fi
  [ "$result" = ok ] || failed=1
  table+=("$(printf '%-26s %-30s %s' "$target" "$route" "$result")")
done

printf '\n%-26s %-30s %s\n' target route result
printf '%s\n' "${table[@]}"
exit "$failed"
