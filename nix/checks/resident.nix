# The partition that makes the calls of a large one of the field boots on every CPU, beside an echo: on four CPUs and
# on eight. What it calls at run time is for the normal world to ask: the bare-metal suite does, on eight CPUs.
{ lib, sysroots, packages, cases, ... }:

let
  inherit (packages) runner bl33-image;
  imageOf = import ../partitions-image.nix { inherit packages; };
  table = ../../tfa/resident.nix;

  boot = cpus: lib.build {
    name = "resident-${toString cpus}-cpus";
    sysroot = sysroots.qemu;
    inherit cases;
    cpus = toString cpus;
    image = (imageOf { inherit table cpus; }).image;
    script = ''
      . "$cases"
      consoles="$out/resident-$cpus-cpus"
      mkdir -p "$consoles"
      # A virtual clock: what is logged does not depend on how busy the machine is. The limit is for hangs.
      MODE=none SECURE_LOG="$consoles/secure.log" timeout 600 "$image/run" -smp "$cpus" \
        -icount shift=2,sleep=off -rtc clock=vm < /dev/null > "$consoles/normal.log" 2>&1 || true
      cat "$consoles/secure.log"

      said() {
        grep -F -e "$1" "$consoles/secure.log"
      }
      not_said() {
        ! said "$1"
      }
      up() {
        grep -F "smp: Brought up 1 node, $cpus CPUs" "$consoles/normal.log"
      }
      # As many execution contexts as CPUs, in the words of the SPMC.
      given() {
        said "partition 0x8001 resident: $cpus execution contexts"
      }
      booted() {
        said "0x8001 booted, refused 0x0"
      }
      beside() {
        said "echo starts as 0x8002"
      }
      suite "resident-$cpus-cpus"
      check "the partition is given an execution context for each CPU" given
      check "it makes all calls of its boot" booted
      check "the partition beside it boots" beside
      check "every CPU comes up, with the partition on it" up
      check "nobody is left out" not_said "left out"
      check "nobody fails" not_said "ERROR"
      suite_end
    '';
  };

  run = lib.build {
    name = "resident-calls";
    sysroot = sysroots.qemu;
    inherit runner;
    image = bl33-image.override { inherit (imageOf { inherit table; cpus = 8; }) firmware; };
    expect = ../../tests/scenarios/resident.txt;
    script = ''
      mkdir -p "$out/resident-calls"
      "$runner/bin/runner" run --bare-metal --cpus 8 --image "$image" --expect "$expect" --accel icount \
        --append "bl33.version=10001 bl33.resident=1" --name resident-calls --out "$out/resident-calls" || true
      mv "$out/resident-calls/junit.xml" "$out/junit.xml"
    '';
  };
in
map boot [ 4 8 ] ++ [ run ]
