# Tests of the partition table's checks and of what is generated from it. Pure
# evaluation: the value is the number of cases, or an error that names the
# cases that failed.
let
  table = import ./partitions.nix;
  config = arguments: import ./config.nix arguments;
  errors = partitions: (config { inherit partitions; }).errors;

  first = builtins.elemAt table 0;
  others = builtins.tail table;
  # The table with its first entry changed.
  changed = change: errors ([ (first // change) ] ++ others);
  # A table of so many entries, one after the other.
  many = count: errors (
    builtins.genList (i: first // {
      name = "p${toString i}";
      uuid = "00000000-0000-0000-0000-00000000000${toString i}";
      loadAddress = "0x0e${builtins.substring (i + 3) 1 "0123456789abcdef"}00000";
    }) count
  );
  lines = text: builtins.filter builtins.isString (builtins.split "\n" text);
  has = line: text: builtins.elem line (lines text);

  cases = {
    "the table of the image is good" = errors table == [ ];
    "an empty table is good" = errors [ ] == [ ];
    "eight partitions are good" = many 8 == [ ];
    "nine are too many" = many 9 == [ "TF-A takes at most 8 partitions, the table has 9" ];
    "two partitions overlap" = changed { size = "0x101000"; } == [ "echo and irq overlap in memory" ];
    "a partition lies in the SPMC" =
      changed { loadAddress = "0x0e1ff000"; } == [ "the SPMC and echo overlap in memory" ];
    "a partition lies outside of secure DRAM" =
      changed { loadAddress = "0x0ef01000"; }
      == [ "partition echo: it does not lie in secure DRAM (0x0e100000, 0x00f00000 bytes)" ];
    "the last page of secure DRAM can be used" = changed { loadAddress = "0x0ef00000"; } == [ ];
    "an address is not a number" =
      changed { loadAddress = "0E300000"; }
      == [ "partition echo: loadAddress and size are lower case hexadecimal strings like \"0x0e300000\"" ];
    "a size is not a number of pages" =
      changed { size = "0x100800"; }
      == [ "partition echo: loadAddress and size are multiples of a page (0x1000), and size is not 0" ];
    "a size is zero" =
      changed { size = "0x0"; }
      == [ "partition echo: loadAddress and size are multiples of a page (0x1000), and size is not 0" ];
    "a context count between one and all" =
      changed { contexts = 2; }
      == [ "partition echo: contexts is 2; FF-A allows 1 or the number of CPUs, 4; \"all\" stands for that" ];
    "a context count that is all" = changed { contexts = 4; } == [ ];
    "the table of the image is good for every number of CPUs" =
      builtins.all (cpus: (config { inherit cpus; }).errors == [ ]) [ 1 2 3 4 5 6 7 8 ];
    "nine CPUs are too many" = (config { cpus = 9; }).errors == [ "there are at most 8 CPUs, not 9" ];
    "as many execution contexts as CPUs" =
      let
        eight = config { cpus = 8; };
      in
      has "	execution-ctx-count = <8>;" eight.partitionManifests.echo
      && has "	execution-ctx-count = <1>;" eight.partitionManifests.irq
      && has "			vcpu_count = <8>;" eight.spmcManifest;
    "several partitions of one image" =
      let
        two = config {
          partitions = map (i: first // {
            name = "echo${toString i}";
            image = "echo";
            uuid = "00000000-0000-0000-0000-00000000000${toString i}";
            loadAddress = "0x0e${toString (3 + i)}00000";
          }) [ 0 1 ];
        };
        layout = builtins.fromJSON two.spLayout;
      in
      two.names == [ "echo0" "echo1" ]
      && two.images == [ "echo" "echo" ]
      && layout.echo1.image.file == "echo.bin"
      && layout.echo1.pm == "echo1.dts";
    "an image that is no folder's name" =
      changed { image = "Echo!"; }
      == [ "partition echo: an image is the name of a folder in hypervisor/partitions, not Echo!" ];
    "the resident partition's table is good" =
      builtins.all (cpus: (config { partitions = import ./resident.nix; inherit cpus; }).errors == [ ]) [ 4 8 ];
    "two partitions of one name" =
      changed { name = "irq"; } == [ "two partitions have the name irq" ];
    "two partitions of one UUID" =
      changed { uuid = "8ec95f81-41cf-416a-9647-aeb3fd7a2d90"; }
      == [ "echo and irq have the same UUID" ];
    "a UUID in upper case" =
      changed { uuid = "FEF7FFD1-E415-4628-A04E-49BD74DA1A8E"; }
      == [ "partition echo: the UUID FEF7FFD1-E415-4628-A04E-49BD74DA1A8E is not in lower case RFC 4122 form" ];
    "a name that is no node name" =
      changed { name = "Echo!"; }
      == [ "partition Echo!: a name is lower case letters, digits and '-'" ];
    "a bad table yields no texts" =
      !(builtins.tryEval (config { partitions = [ (first // { size = "0x0"; }) ]; }).tbFwConfig).success;
    "UUID words have their bytes in FF-A's register order" = has
      "	uuid = <0xd1fff7fe 0x284615e4 0xbd494ea0 0x8e1ada74>;"
      (config { }).partitionManifests.echo;
    "eight CPUs are described" =
      has "			reg = <0x0 0x7>;" (config { partitions = [ ]; cpus = 8; }).spmcManifest;
    "the layout is what TF-A's tools read" =
      (builtins.fromJSON (config { }).spLayout).relay == {
        image = {
          file = "relay.bin";
          offset = "0x4000";
        };
        pm = "relay.dts";
        uuid = "af4f2a92-f302-4f7f-93fc-28f34f17a66f";
        size = "0x100000";
        physical-load-address = "0x0e500000";
      };
  };
  names = builtins.attrNames cases;
  failed = builtins.filter (name: !cases.${name}) names;
in
if failed == [ ] then
  builtins.length names
else
  throw "tfa/tests.nix: failed: ${builtins.concatStringsSep "; " failed}"
