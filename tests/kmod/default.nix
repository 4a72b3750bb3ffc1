# The scenarios' kernel module.
# Out: tantalum_ffa_test.ko run-scenarios (the script that loads it)
{
  lib,
  sysroots,
  # Has build/, the tree that modules are built against.
  kernel,
}:

lib.build {
  name = "kmod";
  sysroot = sysroots.cc;
  inherit kernel;
  files = lib.source {
    root = ./.;
    # Every C file, so that a new one is named in Kbuild only.
    paths = [
      "Kbuild"
      "run.sh"
    ]
    ++ builtins.filter (name: builtins.match ".*\\.[ch]" name != null) (
      builtins.attrNames (builtins.readDir ./.)
    );
  };
  script = ''
    cp -r --no-preserve=mode "$files" kmod
    make -C "$kernel/build" M="$PWD/kmod" -j"$NIX_BUILD_CORES" \
      ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- KCFLAGS=-Werror modules
    install -Dm644 -t "$out" kmod/tantalum_ffa_test.ko
    install -m755 kmod/run.sh "$out/run-scenarios"
  '';
}
