# An image of the hypervisor with virtual machines (VMs), in one folder: the hypervisor, the manifest of the VMs, what
# they boot, a script that starts QEMU with all of it, and hashes. nix/vms says what a manifest has.
#
# Out: vmm.bin manifest.dtb Image, and what the manifest uses of initramfs.cpio.gz, ramdisk.img and disk.img; flash.bin
# if there is firmware below; run, manifest.json
{
  lib,
  sysroots,
  # Holds vmm.bin.
  vmm,
  # Holds Image.
  kernel,
  # Holds initramfs.cpio.gz and root.ext2.
  guest,
  # The manifest's source.
  manifest,
  # Where `@ROOT@` is: "disk", of the machine, or "ram".
  root ? "disk",
  # The jobs of every VM, "boot,disk_write", with the words that they need: rootfs/guest/jobs. A shell without them.
  jobs ? "",
  # More words for the command line of every VM.
  words ? "",
  # Holds flash.bin, with a TF-A that enters BL33 where the hypervisor lies.
  firmware ? null,
  cpus ? 4,
}:

lib.build {
  name = "vms-image";
  sysroot = sysroots.cc;
  inherit vmm kernel guest manifest;
  # The runner lives by the lines of the kernel's log, with their times.
  bootargs = words + (if jobs == "" then "" else "printk.devkmsg=on printk.time=1 loglevel=7 tantalum.job=${jobs}");
  root = if root == "disk" then "disk = <0>" else "ram = <@RAM_DISK@>";
  firmware = if firmware == null then "" else firmware;
  cpus = toString cpus;
  run = ./image/run-vms;
  hashes = ./image/manifest.sh;
  script = ''
    mkdir -p "$out"
    source=$(cat "$manifest")
    files=(vmm.bin manifest.dtb Image run)
    install -m 644 "$vmm/vmm.bin" "$kernel/Image" "$out/"

    # place FILE ADDRESS: its address and size, as cells
    place() {
      local size
      size=$(stat -c %s "$out/$1")
      printf '0x0 %#x 0x0 %#x' "$2" "$size"
    }
    # add FILE FROM: for what the manifest names
    add() {
      install -m 644 "$2" "$out/$1"
      files+=("$1")
    }
    # The addresses are the runner's too, and the script's.
    source=''${source//@ROOT@/$root}
    source=''${source//@KERNEL@/$(place Image 0x62000000)}
    if [[ $source == *@INITRAMFS@* ]]; then
      add initramfs.cpio.gz "$guest/initramfs.cpio.gz"
      source=''${source//@INITRAMFS@/$(place initramfs.cpio.gz 0x64000000)}
    fi
    if [[ $source == *@RAM_DISK@* ]]; then
      add ramdisk.img "$guest/root.ext2"
      source=''${source//@RAM_DISK@/$(place ramdisk.img 0x66000000)}
    fi
    if [[ $source == *"disk = <"* ]]; then
      add disk.img "$guest/root.ext2"
    fi
    # Memory that nothing is put into: disks that are empty.
    source=''${source//@EMPTY_DISK@/0x0 0x66000000 0x0 0x800000}
    source=''${source//@EMPTY_ROM@/0x0 0x66800000 0x0 0x100000}
    source=''${source//@CPUS@/$(seq -s ' ' 0 $((cpus - 1)))}
    source=''${source//@MEMORY_POOL@/0x0 0x80000000 0x0 0x40000000}
    source=''${source//@BOOTARGS@/$bootargs}
    if [[ $source =~ @[A-Z_]+@ ]]; then
      echo "$manifest: nothing is known of ''${BASH_REMATCH[0]}" >&2
      exit 1
    fi
    dtc -q -I dts -O dtb -o "$out/manifest.dtb" <<< "$source"

    if [ -n "$firmware" ]; then
      add flash.bin "$firmware/flash.bin"
    fi
    sed "s/@CPUS@/$cpus/" "$run" > "$out/run"
    chmod 755 "$out/run"
    cd "$out"
    . "$hashes"
    write_manifest "''${files[@]}"
  '';
}
