# BusyBox as one static arm64 program, with the links of its applets: what the
# initramfs has instead of a distribution. Out: the root of a file system.
{
  lib,
  sysroots,
  sources,
}:

lib.build {
  name = "busybox";
  sysroot = sysroots.cc;
  src = sources.busybox;
  config = ./busybox.config;
  script = ''
    tar -xf "$src" --strip-components=1
    # No -j for the configuration: it is one program reading one file.
    make=(make ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- SKIP_STRIP=n)

    "''${make[@]}" defconfig > /dev/null
    # kconfig keeps the first value it reads of a symbol: put ours in front.
    cat "$config" .config > .config.new
    mv .config.new .config
    "''${make[@]}" oldconfig < /dev/null > /dev/null
    grep -E '^(CONFIG_|# CONFIG_)' "$config" | while read -r line; do
      grep -qxF "$line" .config || {
        echo "busybox.config: '$line' did not survive the configuration" >&2
        exit 1
      }
    done

    "''${make[@]}" -j"$NIX_BUILD_CORES"
    "''${make[@]}" CONFIG_PREFIX="$out" install > /dev/null
    rm "$out/linuxrc"
  '';
}
