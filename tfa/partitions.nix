# The Secure Partitions of the image. This list is the only place that names
# them: the SP layout, TF-A's TB_FW_CONFIG, the SPMC manifest and the address
# part of every partition manifest are generated from it (see config.nix).
#
# To add a partition, add an entry here and a folder
# hypervisor/partitions/NAME with its code and its manifest.dts.
#
#   name         what it is called; without image, also its folder under
#                hypervisor/partitions and the file NAME.bin
#   image        optional: the folder of its code and manifest.dts, when
#                several partitions are made of one
#   uuid         RFC 4122 text form; drivers in the normal world bind to it
#   loadAddress  where BL2 puts the package: a page in secure DRAM
#   size         memory of the partition from loadAddress on, package included
#   contexts     execution contexts: 1, or "all": as many as there are CPUs
#
# The order matters: FF-A ids count from 0x8001 in list order, and partitions
# are initialised in that order. Append new ones to keep the ids of the others.
# TF-A takes at most 8. Another table, or another number of CPUs, makes another
# image: nix/partitions-image.nix. A number is a string because Nix has no hexadecimal.
[
  {
    name = "echo";
    uuid = "fef7ffd1-e415-4628-a04e-49bd74da1a8e";
    loadAddress = "0x0e300000";
    size = "0x100000";
    contexts = "all";
  }
  {
    name = "irq";
    uuid = "8ec95f81-41cf-416a-9647-aeb3fd7a2d90";
    loadAddress = "0x0e400000";
    size = "0x100000";
    contexts = 1;
  }
  {
    name = "relay";
    uuid = "af4f2a92-f302-4f7f-93fc-28f34f17a66f";
    loadAddress = "0x0e500000";
    size = "0x100000";
    contexts = "all";
  }
]
