# Everything the project builds, without the flake around it: `nix build -f ./nix packages.image`.
# The commands nix/run and nix/check come this way, so they work in any copy of the tree, with git or without.
{ system ? "x86_64-linux" }:
let
  lib = import ./lib { inherit system; };
  inherit (lib) call sysroots sources;

  # One vendor directory per Cargo.lock, named by the folder it lies in. nix/bootstrap fetches what these name.
  vendors = {
    hypervisor = lib.vendor "hypervisor" ../hypervisor/Cargo.lock;
    "tests/runner" = lib.vendor "runner" ../tests/runner/Cargo.lock;
  };

  partitionPackages = toString (map (partition: "--package tantalum-${partition.image or partition.name}")
    (import ../tfa/partitions.nix));
  # The crates from outside, compiled for what needs them again and again.
  machineDependencies = lib.cargoDependencies {
    name = "hypervisor-dependencies";
    root = ../hypervisor;
    vendor = vendors.hypervisor;
    core = packages.rust-core;
    commands = ''
      # By the same commands as the packages, since features depend on what is built together.
      cargo build --release --locked --target "$target" --package tantalum-spmc-image
      cargo build --release --locked --target "$target" --package tantalum-vmm-image
      cargo build --release --locked --target "$target" ${partitionPackages}
      cargo build --release --locked --target "$target" --package tantalum-bl33
      cargo build --release --locked --target "$target" --package tantalum-guest
    '';
  };
  hypervisor = {
    inherit lib;
    inherit (packages) rust-core;
    vendor = vendors.hypervisor;
    dependencies = machineDependencies;
  };

  common = { inherit lib sysroots sources; };
  packages = rec {
    rust-core = call ./rust-core.nix { inherit lib sysroots; };

    spmc = call ../hypervisor/bin/spmc/default.nix hypervisor;
    vmm = call ../hypervisor/bin/vmm/default.nix hypervisor;
    partitions = call ../hypervisor/partitions/default.nix hypervisor;

    tfa = call ../tfa (common // { build = "release"; });
    tfa-debug = call ../tfa (common // { build = "debug"; });
    firmware = call ../tfa/flash.nix { inherit lib sysroots tfa spmc partitions; };

    kernel = call ../aosp-kernel common;
    kmod = call ../tests/kmod { inherit lib sysroots kernel; };
    rootfs = call ../rootfs (common // { inherit kernel kmod; });
    guest = call ../rootfs/guest (common // { inherit kernel kmod; });

    image = call ./image.nix { inherit lib sysroots firmware kernel rootfs; };

    # Virtual machines: one with a shell, two and four with jobs, and one above TF-A and the SPMC.
    linux-image = call ./vms-image.nix {
      inherit lib sysroots vmm kernel guest;
      manifest = ./vms/linux.dts;
    };
    guest-suite-vms = linux-image.override { kernel = guest-suite; manifest = ./vms/guest.dts; };
    vms-image = linux-image.override {
      manifest = ./vms/vms.dts;
      jobs = "boot,ping,transfer tantalum.cpus=2 tantalum.devices=net,rng tantalum.transfer=4";
    };
    four-image = linux-image.override {
      manifest = ./vms/four.dts;
      jobs = "boot,transfer,stress tantalum.cpus=2 tantalum.devices=blk,net,rng tantalum.transfer=4";
      cpus = 2;
    };
    fullstack-image = linux-image.override { manifest = ./vms/fullstack.dts; inherit firmware; };
    memory-image = linux-image.override { manifest = ./vms/memory.dts; };
    # The same as one of them on a machine without a hypervisor.
    guest-image = call ./guest-image.nix { inherit lib sysroots kernel guest; };
    # All in memory, so that a run repeats itself: what a disk of QEMU's takes is up to the host.
    guest-image-memory = guest-image.override { disk = false; };

    # The same with an SPMC that records what it does, for tests and for people: it keeps no secrets.
    spmc-trace = spmc.override { trace = true; };
    image-trace = image.override { firmware = firmware.override { spmc = spmc-trace; }; };

    # The bare-metal suite, and the same partitions on eight CPUs for it. One of them hears of virtual machines,
    # which nobody but the suite tells of.
    bl33 = call ../hypervisor/payloads/bl33 hypervisor;
    bl33-image = call ./bl33-image.nix {
      inherit lib sysroots bl33;
      firmware = firmware.override rec {
        cpus = 8;
        table = map (partition: partition // { contexts = if partition.contexts == 1 then 1 else cpus; })
          (import ../tfa/partitions.nix);
        manifest = image:
          let own = ../hypervisor/partitions + "/${image}/manifest.dts"; in
          if image == "relay" then
            builtins.toFile "manifest.dts" (builtins.readFile own + "/ { vm-availability-messages = <3>; };\n")
          else
            own;
      };
    };

    # Proof on the host: the reference model, and the fuzz targets.
    model = call ../hypervisor/model { inherit lib; vendor = vendors.hypervisor; };
    fuzz = call ../hypervisor/fuzz { inherit lib; vendor = vendors.hypervisor; };
    # What the SPMC's image consists of, and the figures of it that have a budget.
    size-report = call ./size-report.nix { inherit lib sysroots spmc; };
    # The bare-metal suite for virtual machines, and what boots it on a machine without a hypervisor.
    guest-suite = call ../hypervisor/payloads/guest hypervisor;
    guest-suite-image = call ./guest-suite-image.nix { inherit lib sysroots guest-suite; };

    runner = call ../tests/runner { inherit lib; vendor = vendors."tests/runner"; };

    default = image;
  };

  checks = import ./checks { inherit lib sysroots packages vendors; };
  programs = import ./apps.nix { inherit lib sysroots packages vendors; };
in
{
  inherit lib vendors packages programs;
  inherit (checks) checks parts results;
  apps = builtins.mapAttrs
    (_: program: { type = "app"; program = "${program}/bin/${program.name}"; })
    programs;
}
