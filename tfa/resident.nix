# The table of the image with the partition that makes the calls of a large one
# of the field. It comes first, since its manifest says that it is 0x8001, and
# has an echo beside it, which must not notice.
[
  {
    name = "resident";
    uuid = "7d1a6f0e-3b52-4c0b-9a41-6b8f0c7a2e55";
    loadAddress = "0x0e300000";
    size = "0x100000";
    contexts = "all";
  }
  {
    name = "echo";
    uuid = "fef7ffd1-e415-4628-a04e-49bd74da1a8e";
    loadAddress = "0x0e400000";
    size = "0x100000";
    contexts = "all";
  }
]
