# The one binary in the repository is what Debian ships in the locked package.
{ lib, sysroots, cases, ... }:

let
  locked = builtins.filter (file: lib.lock.debs.${file}.name == "busybox-static") (builtins.attrNames lib.lock.debs);
  file = builtins.head locked;
in
[
  (lib.build {
    name = "seed-busybox";
    sysroot = sysroots.base;
    inherit cases;
    committed = lib.seed;
    package = lib.debs.${file};
    inherit file;
    script = ''
      . "$cases"
      busybox ar -p "$package" data.tar.xz | xz -dc | tar -xO --wildcards '*bin/busybox' > packaged
      suite seed
      check "nix/seed/busybox equals the one in $file" cmp "$committed/busybox" packaged
      check "nix/seed holds nothing else" test "$(ls -A "$committed")" = busybox
      suite_end
    '';
  })
]
