#!/bin/bash
# Usage: configure.sh SOURCE OBJECTS FRAGMENT
#
# Configures the kernel tree SOURCE into the directory OBJECTS: allnoconfig plus
# FRAGMENT. Fails, naming the symbols, if a line of FRAGMENT does not hold in the
# result: Kconfig itself drops a line silently when a dependency is not met.
set -euo pipefail

if [ $# -ne 3 ]; then
    echo "usage: $0 SOURCE OBJECTS FRAGMENT" >&2
    exit 2
fi
source=$1 objects=$2 fragment=$3

make -s -C "$source" O="$objects" \
    ARCH=arm64 CROSS_COMPILE="${CROSS_COMPILE:-aarch64-linux-gnu-}" \
    KCONFIG_ALLCONFIG="$fragment" allnoconfig

broken=0
while IFS= read -r line; do
    case $line in
    CONFIG_*=*)
        symbol=${line%%=*}
        grep -qxF -- "$line" "$objects/.config" && continue
        ;;
    '# CONFIG_'*' is not set')
        symbol=${line#'# '}
        symbol=${symbol%' is not set'}
        grep -q "^$symbol=" "$objects/.config" || continue
        ;;
    '' | '#'*)
        continue
        ;;
    *)
        echo "$fragment: cannot read this line: $line" >&2
        exit 1
        ;;
    esac
    actual=$(grep -E "^(# )?${symbol}[ =]" "$objects/.config" || true)
    echo "$fragment: $symbol was dropped: wanted '$line', got '${actual:-no such symbol}'" >&2
    broken=1
done <"$fragment"

if [ "$broken" -ne 0 ]; then
    echo "$fragment: a dependency of the symbols above is missing, or the kernel renamed them" >&2
    exit 1
fi
