#!/usr/bin/env bash
# test-concurrency.sh [loom|tsan ...]: checks the ring of a background receiver beyond what `cargo test` can.
#
#   loom  tries every order in which the threads of small models can run (the tests in net/ring/loom_tests.rs)
#   tsan  runs the ring's other tests under ThreadSanitizer
#
# Without an argument both. Each has its own folder under target/, since both build everything anew.
#
# ThreadSanitizer has to see the standard library's locks, so that is built from source with it. Two ways lead there; the
# first that is open is taken:
#   1. rustup's nightly with the component rust-src;
#   2. Debian's compiler with its sources (packages rustc-web, cargo-web, rust-web-src), and the sanitizer's runtime from
#      any toolchain of rustup.
set -euo pipefail
cd "$(dirname "$0")/../.."

host=$(rustc -vV | sed -n 's/^host: //p')
tests=(--package multicast-core --lib --locked)

check_loom() {
  RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test "${tests[@]}" --release loom
}

check_tsan() {
  local runtime flags="-Zsanitizer=thread"
  local build_std=(-Zbuild-std --target "$host" "${tests[@]}" net::ring)
  if rustup component list --toolchain nightly --installed 2>/dev/null | grep -qx rust-src; then
    echo "test-concurrency: ThreadSanitizer by rustup's nightly"
    RUSTFLAGS=$flags CARGO_TARGET_DIR=target/tsan cargo +nightly test "${build_std[@]}"
    return
  fi
  runtime=$(find "${RUSTUP_HOME:-$HOME/.rustup}/toolchains" -name 'librustc*_rt.tsan.a' -print -quit 2>/dev/null || true)
  if [ -x /usr/bin/cargo ] && [ -n "$runtime" ] &&
    [ -f "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; then
    echo "test-concurrency: ThreadSanitizer by Debian's compiler and $(basename "$runtime")"
    flags+=" -Zexternal-clangrt -Clink-arg=-Wl,--whole-archive,$runtime,--no-whole-archive -Clink-arg=-Wl,--export-dynamic"
    # The runtime wraps functions that this system's C library has only as old versions of themselves.
    flags+=" -Clink-arg=-lresolv -Clink-arg=-lm -Clink-arg=-lc -Clink-arg=-Wl,--unresolved-symbols=ignore-all"
    # A PATH without rustup's own cargo; its folder of settings and downloads is not shared either.
    env -u RUSTUP_TOOLCHAIN RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc PATH=/usr/bin:/bin RUSTFLAGS="$flags" \
      "CARGO_HOME=$PWD/target/tsan/home" CARGO_TARGET_DIR=target/tsan /usr/bin/cargo test "${build_std[@]}"
    return
  fi
  echo "test-concurrency: NO WAY to ThreadSanitizer: neither rustup's nightly with rust-src nor Debian's packages are there" >&2
  return 1
}

[ $# -gt 0 ] || set -- loom tsan
for check in "$@"; do
  case $check in
    loom | tsan) "check_$check" ;;
    *)
      echo "usage: test-concurrency.sh [loom|tsan ...]" >&2
      exit 64
      ;;
  esac
done
