# The firmware image: TF-A's parts, the SPMC and the partitions in one file.
# Takes a second to build, since everything in it is built elsewhere.
#
# Out: flash.bin (QEMU's -bios), and what it is made of: bl1.bin, fip.bin,
# NAME.pkg, the compiled device trees, and under config/ their sources, which
# compose.py takes to make another image with other binaries.
{
  lib,
  sysroots,
  # TF-A's parts: default.nix of this folder.
  tfa,
  # Holds spmc.bin.
  spmc,
  # Holds IMAGE.bin of every partition in the table.
  partitions,
  table ? import ./partitions.nix,
  cpus ? 4,
  # IMAGE -> the partition's own manifest.
  manifest ? name: ../hypervisor/partitions + "/${name}/manifest.dts",
  # An image for the FIP, when TF-A was built with bl33 = "fip".
  bl33 ? null,
}:

let
  config = import ./config.nix {
    inherit cpus;
    partitions = table;
  };
in
lib.build {
  name = "firmware";
  sysroot = sysroots.cc;
  compose = ./compose.py;
  inherit tfa spmc partitions;
  inherit (config) names;
  layout = builtins.toFile "sp_layout.json" config.spLayout;
  tbFwConfig = builtins.toFile "tb_fw_config.dts" config.tbFwConfig;
  spmcManifest = builtins.toFile "spmc_manifest.dts" config.spmcManifest;
  # Two lists in the order of names: what the partition's folder has, and what
  # is laid over it.
  ownManifests = map manifest config.images;
  manifests = map (
    name: builtins.toFile "${name}.dts" config.partitionManifests.${name}
  ) config.names;
  bl33Option = if bl33 == null then "" else "--bl33 ${bl33}";
  script = ''
    mkdir -p "$out/config"
    cp "$layout" "$out/config/sp_layout.json"
    cp "$tbFwConfig" "$out/config/tb_fw_config.dts"
    cp "$spmcManifest" "$out/config/spmc_manifest.dts"
    read -ra manifests <<< "$manifests"
    read -ra ownManifests <<< "$ownManifests"
    index=0
    for name in $names; do
      mkdir "$out/config/$name"
      cp "''${ownManifests[index]}" "$out/config/$name/manifest.dts"
      cp "''${manifests[index]}" "$out/config/$name.dts"
      index=$((index + 1))
    done

    python3 "$compose" --tfa "$tfa" --config "$out/config" --spmc "$spmc/spmc.bin" \
      --partitions "$partitions" $bl33Option --out "$out"
  '';
}
