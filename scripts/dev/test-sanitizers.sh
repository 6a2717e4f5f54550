#!/usr/bin/env bash
# test-sanitizers.sh PYTHON: test batches and payloads with AddressSanitizer, and batches with valgrind.
# PYTHON is the interpreter of .venv. `make test-sanitizers` calls this script.
#
# AddressSanitizer needs a nightly toolchain and clang's runtime, and checks every memory access of our compiled code.
# Tests that measure memory are left out, because the sanitizer keeps freed memory. Valgrind also checks the interpreter
# and the C library and reports errors in them, so a finding counts only if our code is in its stack.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$(realpath -s "$1")
target=x86_64-unknown-linux-gnu
work=$PWD/target/memory
runtime=$(find /usr/lib -name 'libclang_rt.asan-x86_64.so' 2>/dev/null | sort -V | tail -1)
if [ -z "$runtime" ]; then
  echo "test-sanitizers: FAILED: clang's runtime is not installed (apt-get install libclang-rt-14-dev)" >&2
  exit 1
fi

echo "test-sanitizers: AddressSanitizer"
RUSTFLAGS="-Zsanitizer=address -Zexternal-clangrt" CARGO_TARGET_DIR="$work" \
  cargo +nightly build --quiet --locked --package multicast-py --target "$target"
rm -rf "$work/tree"
mkdir -p "$work/tree"
cp -r python tests pyproject.toml scripts docs README.md "$work/tree"
rm -f "$work"/tree/python/multicast/_core*.so
suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
cp "$work/$target/debug/lib_core.so" "$work/tree/python/multicast/_core$suffix"
(
  cd "$work/tree"
  LD_PRELOAD=$runtime ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 PYTHONMALLOC=malloc \
    PYTHONPATH=$PWD/python "$python" -m pytest -q -p no:cacheprovider -k "not memory" \
    tests/wire/test_{batch,payloads,metadata,flood,threads,ring,closing}.py
)

echo "test-sanitizers: valgrind"
log=$work/valgrind.txt
PYTHONMALLOC=malloc bash scripts/dev/netns.sh valgrind --quiet --leak-check=no --log-file="$log" \
  "$python" -m pytest -q -p no:cacheprovider -o timeout=900 tests/wire/test_batch.py
# A finding is a paragraph, and each of its lines begins with the process id.
if sed 's/^==[0-9]*== *$//' "$log" | awk -v RS= '/_core\.|multicast_core/ { print; print ""; found = 1 } END { exit !found }'; then
  echo "test-sanitizers: FAILED: findings in our code, above" >&2
  exit 1
fi
echo "test-sanitizers: no finding in our code"
