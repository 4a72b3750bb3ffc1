#!/bin/sh
# Line coverage of the logic crates by the host's tests, the reference model's and the fuzz corpora's among them.
#
#   coverage.sh [FOLDER]     FOLDER gets summary.txt, and uncovered.txt: each line that no test reaches
#
# Needs llvm-profdata and llvm-cov of the compiler's own LLVM (rustup's llvm-tools, Debian's rust-web-llvm), from
# $LLVM_TOOLS or the compiler's sysroot.
set -eu
cd "$(dirname "$0")"
out=${1:-coverage}
mkdir -p "$out"
out=$(cd "$out" && pwd)
tools=${LLVM_TOOLS:-$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin}
if [ ! -x "$tools/llvm-profdata" ]; then
  echo "there is no llvm-profdata in $tools: set LLVM_TOOLS" >&2
  exit 1
fi

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/coverage" RUSTFLAGS="${RUSTFLAGS:-} -Cinstrument-coverage"
profiles=$CARGO_TARGET_DIR/profiles
rm -rf "$profiles"
mkdir -p "$profiles"
profiles=$(cd "$profiles" && pwd)
packages='-p tantalum-types -p tantalum-ffa -p tantalum-manifest -p tantalum-stage2 -p tantalum-spmc -p tantalum-hal
  -p tantalum-sim -p tantalum-model -p tantalum-fuzz'
# Each package name is a word.
# shellcheck disable=SC2086
LLVM_PROFILE_FILE="$profiles/%p-%m.profraw" cargo test --quiet --tests $packages
# shellcheck disable=SC2086
programs=$(cargo test --tests --no-run --message-format=json $packages 2> "$out/build.log" |
  sed -n 's/.*"executable":"\([^"]*\)".*/--object \1/p' | sort -u)
"$tools/llvm-profdata" merge --sparse --output "$profiles/all.profdata" "$profiles"/*.profraw

# What is counted is the code, not the tests that lie in its files: their lines stand behind `mod tests`.
# shellcheck disable=SC2086
"$tools/llvm-cov" export --format=lcov --instr-profile "$profiles/all.profdata" $programs \
  --ignore-filename-regex '(/registry/|/vendor/|/rustc/|/rustlib/|/tests/|/sim/|/model/|/fuzz/|/partitions/|tests\.rs$)' > "$out/lcov.info"
awk -F'[:,]' -v out="$out" '
  $1 == "SF" {
    file = $0; sub(/^SF:/, "", file); sub(/^.*hypervisor\//, "", file); sub(/^\/src\//, "", file)
    tests = 0; number = 0
    path = $0; sub(/^SF:/, "", path)
    while ((getline line < path) > 0) {
      number++
      if (line ~ /^#\[cfg\(test\)\]/ || line ~ /^#\[cfg\(all\(test/) { if (!tests) tests = number }
    }
    close(path)
  }
  $1 == "DA" && (!tests || $2 < tests) {
    split(file, parts, "/")
    crate = parts[2]
    total[crate]++
    totals[file]++
    if ($3 > 0) { hit[crate]++; hits[file]++ } else print file ":" $2 > (out "/uncovered.txt")
  }
  END {
    for (crate in total) printf "%-12s %5d of %5d lines  %5.1f %%\n", crate, hit[crate], total[crate], 100 * hit[crate] / total[crate]
  }' "$out/lcov.info" | sort > "$out/summary.txt"
cat "$out/summary.txt"
