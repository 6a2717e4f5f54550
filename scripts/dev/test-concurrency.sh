#!/usr/bin/env bash
# test-concurrency.sh [loom|tsan ...]: test the ring of a background receiver more thoroughly than `cargo test`.
#
#   loom  runs small models with every possible order of their threads (the tests in net/ring/loom_tests.rs)
#   tsan  runs the other tests of the ring with ThreadSanitizer
#
# The default is both. Each has its own folder in target/, because both compile everything with flags of their own.
#
# ThreadSanitizer must see the locks of the standard library, so the library is compiled with it. The first of these
# compilers that is available is used:
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
    echo "test-concurrency: ThreadSanitizer with rustup's nightly"
    RUSTFLAGS=$flags CARGO_TARGET_DIR=target/tsan cargo +nightly test "${build_std[@]}"
    return
  fi
  runtime=$(find "${RUSTUP_HOME:-$HOME/.rustup}/toolchains" -name 'librustc*_rt.tsan.a' -print -quit 2>/dev/null || true)
  if [ -x /usr/bin/cargo ] && [ -n "$runtime" ] &&
    [ -f "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; then
    echo "test-concurrency: ThreadSanitizer with Debian's compiler and $(basename "$runtime")"
    flags+=" -Zexternal-clangrt -Clink-arg=-Wl,--whole-archive,$runtime,--no-whole-archive -Clink-arg=-Wl,--export-dynamic"
    # The runtime wraps functions that the C library of this system has only in old versions.
    flags+=" -Clink-arg=-lresolv -Clink-arg=-lm -Clink-arg=-lc -Clink-arg=-Wl,--unresolved-symbols=ignore-all"
    # The PATH has no cargo of rustup, and CARGO_HOME is separate as well.
    env -u RUSTUP_TOOLCHAIN RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc PATH=/usr/bin:/bin RUSTFLAGS="$flags" \
      "CARGO_HOME=$PWD/target/tsan/home" CARGO_TARGET_DIR=target/tsan /usr/bin/cargo test "${build_std[@]}"
    return
  fi
  echo "test-concurrency: FAILED: ThreadSanitizer needs rustup's nightly with rust-src, or Debian's packages" >&2
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
