# The kernel: Linux with pKVM, from an unpatched tree.
# Out: Image System.map config modules/*.ko build/ (see build.sh)
{
  lib,
  sysroots,
  sources,
  # Another tree or tarball instead of the pinned one. A checkout of AOSP's
  # android16-6.12 is this line where the package is called:
  #   overrideSource = /path/to/common-android16-6.12;
  overrideSource ? null,
}:

lib.build {
  name = "kernel";
  sysroot = sysroots.cc;
  source = if overrideSource != null then overrideSource else sources.linux;
  files = lib.source {
    root = ./.;
    paths = [
      "build.sh"
      "configure.sh"
      "pkvm.config"
    ];
  };
  script = ''
    bash "$files/build.sh" "$source" "$files/pkvm.config" "$out"
  '';
}
