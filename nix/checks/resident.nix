# The partition that makes the calls of a large one of the field boots on every CPU, beside an echo: on four CPUs and
# on eight. What it calls at run time is for the normal world to ask; here is what it does by itself.
{ lib, sysroots, packages, cases, ... }:

let
  imageOf = import ../partitions-image.nix { inherit packages; };

  part = cpus: lib.build {
    name = "resident-${toString cpus}-cpus";
    sysroot = sysroots.qemu;
    inherit cases;
    cpus = toString cpus;
    image = (imageOf { table = ../../tfa/resident.nix; inherit cpus; }).image;
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
in
map part [ 4 8 ]
