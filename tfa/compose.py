#!/usr/bin/python3
"""Compose a flash image from TF-A's parts, the SPMC and the partitions.

    compose.py --tfa DIR --config DIR --spmc FILE --partitions DIR [--bl33 FILE] --out DIR

--tfa holds bl1.bin, bl2.bin, bl31.bin, fiptool and sptool.py. --config holds
what config.nix generates: sp_layout.json, tb_fw_config.dts, spmc_manifest.dts
and NAME.dts for each partition. --partitions holds NAME.bin for each of them.

The output directory gets flash.bin (for QEMU's -bios: BL1 at 0, the FIP at
0x40000), fip.bin, bl1.bin, and the compiled device trees and packages that
went into the FIP, for whoever wants to look inside.

This needs no compiler but dtc and takes well under a second, so that a change
of the SPMC or of a partition does not rebuild TF-A.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

FIP_OFFSET = 0x40000
FLASH_SIZE = 0x4000000  # of the virt machine's secure flash
PAGE = 0x1000
MANIFEST_OFFSET = 0x1000  # of the manifest in a package


class Failure(Exception):
    """What went wrong and what to do about it, for the user."""


def run(*command):
    """Run a tool and return its output; on failure pass on what it said."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}\n{done.stdout.rstrip()}")
    return done.stdout


def check_size(path, limit, what):
    """An image must not reach beyond the memory that is set aside for it."""
    size = path.stat().st_size
    if size > limit:
        raise Failure(f"{path} has {size} bytes; {what} has room for {limit}")


def present(path):
    """The path of a file that has to be there and not be empty."""
    if not path.is_file():
        raise Failure(f"{path} is missing")
    if path.stat().st_size == 0:
        raise Failure(f"{path} is empty")
    return path


def device_tree(source, out, limit, why):
    """Compile a device tree; warnings are errors, so that a typing error in
    a node or property is found here and not on the machine. The "interrupts"
    of an FF-A manifest are not those of the Devicetree Specification."""
    done = subprocess.run(
        ["dtc", "-W", "no-interrupts_property", "-O", "dtb", "-o", str(out), str(source)],
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode != 0 or done.stderr.strip():
        raise Failure(f"dtc does not accept {source}:\n{done.stderr.rstrip()}")
    if out.stat().st_size > limit:
        raise Failure(f"{source} compiles to {out.stat().st_size} bytes; {why} leaves {limit}")
    return out


def compose(args):
    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    layout = json.loads(present(args.config / "sp_layout.json").read_text())

    images = [
        ("--tb-fw", present(args.tfa / "bl2.bin")),
        ("--soc-fw", present(args.tfa / "bl31.bin")),
        ("--tos-fw", present(args.spmc)),
        (
            "--tb-fw-config",
            device_tree(args.config / "tb_fw_config.dts", out / "tb_fw_config.dtb", PAGE, "TF-A"),
        ),
        (
            "--tos-fw-config",
            device_tree(args.config / "spmc_manifest.dts", out / "spmc_manifest.dtb", PAGE, "TF-A"),
        ),
    ]
    # What the SPMD is told is what may be used: beyond it lie the partitions.
    manifest = out / "spmc_manifest.dtb"
    check_size(
        present(args.spmc),
        int(run("fdtget", manifest, "/attribute", "binary_size")),
        "the SPMC's part of secure DRAM (tfa/config.nix)",
    )
    if args.bl33:
        images.append(("--nt-fw", present(args.bl33)))

    for name, entry in layout.items():
        image = present(args.partitions / entry["image"]["file"])
        offset = int(entry["image"]["offset"], 16)
        manifest = device_tree(
            args.config / entry["pm"], out / f"{name}.dtb", offset - MANIFEST_OFFSET, "the package"
        )
        package = out / f"{name}.pkg"
        run(
            sys.executable, args.tfa / "sptool.py",
            "-i", f"{image}:{manifest}",
            "--pm-offset", hex(MANIFEST_OFFSET), "--img-offset", hex(offset),
            "-o", package,
        )
        check_size(package, int(entry["size"], 16), f"partition {name} (tfa/partitions.nix)")
        images.append(("--blob", f"uuid={entry['uuid']},file={package}"))

    fip = out / "fip.bin"
    fip.unlink(missing_ok=True)
    run(args.tfa / "fiptool", "create", *(word for image in images for word in image), fip)

    bl1 = present(args.tfa / "bl1.bin")
    check_size(bl1, FIP_OFFSET, "the flash before the FIP")
    check_size(fip, FLASH_SIZE - FIP_OFFSET, "the flash after BL1")
    flash = bl1.read_bytes().ljust(FIP_OFFSET, b"\0") + fip.read_bytes()
    (out / "flash.bin").write_bytes(flash)
    shutil.copyfile(bl1, out / "bl1.bin")


def main():
    parser = argparse.ArgumentParser(description="Compose a flash image.")
    parser.add_argument("--tfa", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--spmc", type=Path, required=True)
    parser.add_argument("--partitions", type=Path, required=True)
    parser.add_argument("--bl33", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    try:
        compose(parser.parse_args())
    except Failure as failure:
        sys.exit(f"compose: {failure}")


if __name__ == "__main__":
    main()
