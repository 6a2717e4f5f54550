#!/usr/bin/env bash
# cross-check.sh [--link] [TARGET ...]: checks the Rust code for systems that this machine is not, and prints a table.
# cross-check.sh --list: the targets it checks when none is named.
#
# Two ways lead to a target's standard library; the first that is open is taken:
#   1. rustup has the target installed (`rustup target add TARGET`);
#   2. Debian's compiler with the sources of its standard library (packages rustc-web, cargo-web, rust-web-src): the
#      library is compiled from source first, which cargo calls -Zbuild-std. RUSTC_BOOTSTRAP=1 allows that on a stable
#      compiler. Everything it makes is kept apart from the main toolchain's, under target/cross.
#
# Checking needs no foreign linker and no SDK. --link goes further for Linux and macOS: it links the module as well, by
# zig, which has their C libraries with it and comes from the package index with cargo-zigbuild, and looks by
# `file` that the result is for the target. Windows (msvc) cannot be linked without Microsoft's libraries; it is only
# checked.
# --link compiles the whole standard library for each target, which takes minutes.
#
# PyO3 is told the Python version that it would otherwise ask an interpreter of the target for. A warning counts as a
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

# Whether the module can be linked for target $1.
linkable() { [ "$link" = yes ] && [[ $1 != *-windows-msvc ]]; }

# How cargo is run for target $1, in the array `cargo`, and where it puts things, in `folder`; false where no way is open.
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
    # A PATH without rustup's own cargo; its folder of settings and downloads is not shared either.
    cargo=(env -u RUSTUP_TOOLCHAIN -u RUSTFLAGS RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo
      "PATH=/usr/bin:/bin:$tools/bin" "CARGO_HOME=$logs/home" "CARGO_TARGET_DIR=$folder" /usr/bin/cargo)
  else
    route="none"
    return 1
  fi
}

# What the compiler is told for target $1. A musl module is loaded into a Python that is linked to the system's C library: it
# must not have one of its own. One for macOS finds Python's functions when it is loaded.
flags() {
  case $1 in
    *-musl) echo "-C target-feature=-crt-static" ;;
    *-apple-*) echo "-C link-arg=-undefined -C link-arg=dynamic_lookup" ;;
  esac
}

# Runs $2 and what follows for target $1, in the surroundings that `cargo` says.
run() { "${cargo[@]:0:${#cargo[@]}-1}" "RUSTFLAGS=$(flags "$1")" "${@:2}"; }

check() { run "$1" "${cargo[-1]}" check "${build_std[@]}" --locked --workspace --target "$1"; }

# What `file` has to say of a module for target $1.
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
    result="NO WAY: neither rustup has the target nor are rustc-web, cargo-web and rust-web-src installed"
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
