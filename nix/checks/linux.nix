# Linux with four CPUs: its jobs, then another boot of the disk that they have written to.
{ lib, sysroots, packages, cases, ... }:

let
  inherit (packages) runner;

  jobs = "boot,devices,disk_write,hotplug,stress tantalum.cpus=4 tantalum.devices=blk,net,console,rng";
  # Both boots have the same disk. The hypervisor's VMs have their jobs in their manifest, so in the image.
  run = { name, options, first, again, firstWords ? "", againWords ? "" }: lib.build {
    inherit name runner first again cases options firstWords againWords;
    run = name;
    sysroot = sysroots.qemu;
    lists = lib.source {
      root = ../../tests/scenarios;
      paths = [ "linux.txt" "linux-again.txt" ];
    };
    script = ''
      . "$cases"
      suite "$run-disk"
      cp "$first/disk.img" disk
      chmod u+w disk
      # boot IMAGE LIST NAME WORDS
      boot() {
        # shellcheck disable=SC2086 # a list of options
        "$runner/bin/runner" run $options --image "$1" --disk disk --expect "$lists/$2.txt" --accel icount \
          --limit 3600 --quiet-limit 600 --name "$3" --append "$4" --out "$out/$3" || true
      }
      boot "$first" linux "$run" "$firstWords"
      boot "$again" linux-again "$run-again" "$againWords"

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
  (run rec {
    name = "linux-bare";
    options = "--guest";
    first = packages.guest-image;
    again = first;
    firstWords = "tantalum.job=${jobs}";
    againWords = "tantalum.job=disk_compare";
  })
  (run {
    name = "linux";
    options = "--vmm";
    first = packages.linux-image.override { inherit jobs; };
    again = packages.linux-image.override { jobs = "disk_compare"; };
  })
]
