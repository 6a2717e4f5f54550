#!/usr/bin/env bash
# cross-check.sh [--link] [TARGET ...]: type-check the Rust code for other systems and print a table of the results.
# cross-check.sh --list: print the targets that are checked by default.
#
# The standard library of a target comes from the first of these sources that is available:
#   1. rustup, if the target is installed (`rustup target add TARGET`);
#   2. Debian's compiler and the sources of its standard library (packages rustc-web, cargo-web, rust-web-src). cargo
#      compiles the library first (-Zbuild-std), which RUSTC_BOOTSTRAP=1 allows on a stable compiler. All output is in
#      target/cross, separate from that of the main toolchain.
#
# A check needs no linker and no SDK of the target. For Linux and macOS, --link also links the module with zig, which
# includes their C libraries and comes from the package index with cargo-zigbuild, and checks with `file` that the result
# is for the target. Windows (msvc) is only checked, because linking needs Microsoft's libraries. With --link, the whole
# standard library is compiled for each target, which takes minutes.
#
# PyO3 gets the Python version from the environment, because no interpreter of the target can be asked. A warning is a
# failure, as in `make lint`.
set -euo pipefail
cd "$(dirname "$0")/../.."

all=(
  x86_64-pc-windows-msvc aarch64-pc-windows-msvc
  x86_64-apple-darwin aarch64-apple-darwin
  aarch64-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-unknown-linux-musl
)
zigbuild=cargo-zigbuild==0.24.0
zig=ziglang==0.17.1

link=no
case ${1:-} in
  --list)
    printf '%s\n' "${all[@]}"
    exit 0
    ;;
  --link)
    link=yes
    shift
    ;;
esac
targets=("$@")
[ $# -gt 0 ] || targets=("${all[@]}")
logs=$PWD/target/cross
mkdir -p "$logs"
export PYO3_CROSS=1 PYO3_CROSS_PYTHON_VERSION=3.13
tools=$logs/zig

PATH=$PATH:$tools/bin
if [ "$link" = yes ] && [ ! -x "$tools/bin/cargo-zigbuild" ]; then
  python3 -m venv "$tools"
  "$tools/bin/python" -m pip --disable-pip-version-check --quiet install "$zigbuild" "$zig"
fi

# Succeed if the module can be linked for target $1.
linkable() { [ "$link" = yes ] && [[ $1 != *-windows-msvc ]]; }

# Set `cargo` to the command for target $1 and `folder` to its output; fail if no standard library is available.
choose() {
  build_std=()
  if rustup target list --installed 2>/dev/null | grep -qx "$1"; then
    route="rustup target"
    folder=$logs/rustup
    cargo=(env "CARGO_TARGET_DIR=$folder" cargo)
  elif [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] &&
    [ -f "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; then
    route="Debian's compiler, build-std"
    folder=$logs/debian
    build_std=(-Zbuild-std=std,panic_abort)
    # The PATH has no cargo of rustup, and CARGO_HOME is separate as well.
    cargo=(env -u RUSTUP_TOOLCHAIN -u RUSTFLAGS RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo
      "PATH=/usr/bin:/bin:$tools/bin" "CARGO_HOME=$logs/home" "CARGO_TARGET_DIR=$folder" /usr/bin/cargo)
  else
    route="none"
    return 1
  fi
}

# Print the compiler flags for target $1. A musl module is loaded into a Python that has a C library, so it must not
# contain another one. A module for macOS finds Python's functions when it is loaded.
flags() {
  case $1 in
    *-musl) echo "-C target-feature=-crt-static" ;;
    *-apple-*) echo "-C link-arg=-undefined -C link-arg=dynamic_lookup" ;;
  esac
}

# Run $2 and its arguments for target $1, in the environment that `cargo` defines.
run() { "${cargo[@]:0:${#cargo[@]}-1}" "RUSTFLAGS=$(flags "$1")" "${@:2}"; }

check() { run "$1" "${cargo[-1]}" check "${build_std[@]}" --locked --workspace --target "$1"; }

# Print the pattern that the output of `file` must match for target $1.
expected() {
  case $1 in
    x86_64-*linux*) echo 'ELF 64-bit.*x86-64' ;;
    aarch64-*linux*) echo 'ELF 64-bit.*ARM aarch64' ;;
    x86_64-apple-*) echo 'Mach-O 64-bit.*x86_64' ;;
    aarch64-apple-*) echo 'Mach-O 64-bit.*arm64' ;;
  esac
}

link() {
  local module
  PYO3_BUILD_EXTENSION_MODULE=1 run "$1" "$tools/bin/cargo-zigbuild" zigbuild "${build_std[@]}" --locked \
    --package multicast-py --lib --target "$1" || return 1
  module=$(find "$folder/$1/debug" -maxdepth 1 -name 'lib_core.*' ! -name '*.d' -print -quit)
  file "$module" | tee /dev/stderr | grep -q "$(expected "$1")"
}

failed=0
table=()
for target in "${targets[@]}"; do
  log="$logs/$target.log"
  echo "cross-check: $target ..."
  if ! choose "$target"; then
    result="FAILED: needs the target from rustup, or rustc-web, cargo-web and rust-web-src"
  elif ! check "$target" >"$log" 2>&1; then
    result="FAILED: see $log"
    cat "$log"
  elif grep -q '^warning' "$log"; then
    result="FAILED: warnings, see $log"
    cat "$log"
  elif ! linkable "$target"; then
    result="ok: checked"
  elif link "$target" >>"$log" 2>&1; then
    result="ok: checked and linked"
  else
    result="FAILED to link: see $log"
    cat "$log"
  fi
  [[ $result = ok:* ]] || failed=1
  table+=("$(printf '%-28s %-30s %s' "$target" "$route" "$result")")
done

printf '\n%-28s %-30s %s\n' target route result
printf '%s\n' "${table[@]}"
exit "$failed"
