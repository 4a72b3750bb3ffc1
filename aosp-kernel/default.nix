# The kernel: Linux with pKVM, from an unpatched tree.
# Out: Image System.map config modules/*.ko build/ (see build.sh)
{
  lib,
  sysroots,
  sources,
  # Another tree or tarball instead of the pinned one, for instance a checkout of
  # AOSP's android16-6.12:
  #   kernel.override { overrideSource = /src/common-android16-6.12; }
  overrideSource ? null,
}@inputs:

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
