# Linux with four CPUs: its jobs, then another boot of the disk that they have written to.
{ lib, sysroots, packages, cases, ... }:

let
  inherit (packages) runner;

  run = { name, options, image, append ? "" }: lib.build {
    inherit name runner image cases options append;
    run = name;
    sysroot = sysroots.qemu;
    lists = lib.source {
      root = ../../tests/scenarios;
      paths = [ "linux.txt" "linux-again.txt" ];
    };
    script = ''
      . "$cases"
      suite "$run-disk"
      cp "$image/disk.img" disk
      chmod u+w disk
      # boot LIST NAME WORDS: with the same disk each time
      boot() {
        # shellcheck disable=SC2086 # a list of options
        "$runner/bin/runner" run $options --image "$image" --disk disk --expect "$lists/$1.txt" --accel icount \
          --name "$2" --append "$append $3" --out "$out/$2" || true
      }
      boot linux "$run" "tantalum.job=boot,devices,disk_write,hotplug,stress tantalum.cpus=4 \
        tantalum.devices=blk,net,console,rng"
      boot linux-again "$run-again" tantalum.job=disk_compare

      # The guest compares too, but with what it has on the same disk.
      sums() {
        grep -h -o "sum of the disk's data: .*" "$out/$1/console.log"
      }
      same() {
        sums "$run" | tee first
        sums "$run-again" | diff first -
      }
      check "the sums on the two consoles are the same" same
      suite_end
      mv "$out/junit.xml" disk.xml
      cat "$out/$run/junit.xml" "$out/$run-again/junit.xml" disk.xml > "$out/junit.xml"
      rm "$out/$run/junit.xml" "$out/$run-again/junit.xml"
    '';
  };
in
[
  # On a machine of its own: what is wrong here is not the hypervisor's.
  (run { name = "linux-bare"; options = "--guest"; image = packages.guest-image; })
]
