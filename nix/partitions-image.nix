# The image with another set of partitions, another number of CPUs, or another BL33: the function that makes it from
# the packages. `table` is a list as in tfa/partitions.nix, or a file that holds one.
{ packages }:
{ table ? ../tfa/partitions.nix, cpus ? 4, tfa ? packages.tfa, bl33 ? null }:

let
  list = if builtins.isList table then table else import table;
in
rec {
  partitions = packages.partitions.override { table = list; };
  spmc = packages.spmc.override { partitionCount = builtins.length list; };
  firmware = packages.firmware.override { inherit partitions cpus tfa bl33 spmc; table = list; };
  image = packages.image.override { inherit firmware; };
}
