# From the partition table to every text that TF-A and the SPMC read about the
# partitions. Pure evaluation: the result is an attribute set of strings.
#
#   spLayout            sp_layout.json, TF-A's SP_LAYOUT_FILE: which image and
#                       which manifest make up a package
#   tbFwConfig          TB_FW_CONFIG: which packages BL2 loads, and where to
#   spmcManifest        TOS_FW_CONFIG: what the SPMD and the SPMC read
#   partitionManifests  NAME -> the complete device tree source of its manifest
#
# A table that cannot work (overlap, two partitions of one name, ...) fails
# here, at evaluation, with the names of the entries at fault.
{
  # The table: a list of entries as partitions.nix describes them.
  partitions ? import ./partitions.nix,
  # CPUs of the machine, all in one cluster: MPIDR is the index.
  cpus ? 4,
  # NAME -> where the generated manifest finds the partition's own, which it
  # includes. A relative path counts from the generated file.
  manifestFile ? name: "${name}/manifest.dts",
}:

let
  inherit (builtins)
    concatStringsSep
    elemAt
    filter
    foldl'
    genList
    head
    length
    listToAttrs
    map
    match
    stringLength
    substring
    tail
    toJSON
    toString
    ;

  # What of QEMU's virt machine belongs to the secure world, as TF-A's port
  # divides it. Secure SRAM (0x0e000000) stays with BL31.
  secureDram = {
    base = "0x0e100000";
    size = "0x00f00000";
  };
  nonSecureDram = {
    base = "0x40000000";
    size = "0x80000000";
  };
  spmc = {
    base = "0x0e100000";
    size = "0x00200000";
  };

  # The entries with what they leave out.
  entries = map (
    p:
    p
    // {
      image = p.image or p.name;
      contexts = if p.contexts == "all" then cpus else p.contexts;
    }
  ) partitions;

  # Where sptool puts the image in a package; the manifest is at 0x1000.
  imageOffset = "0x4000";

  # Hexadecimal text -> integer, or null when it is not one.
  hexDigits = listToAttrs (
    genList (i: {
      name = substring i 1 "0123456789abcdef";
      value = i;
    }) 16
  );
  number =
    text:
    let
      digits = match "0x([0-9a-f]+)" text;
      string = head digits;
    in
    if digits == null then
      null
    else
      foldl' (sum: i: sum * 16 + hexDigits.${substring i 1 string}) 0 (
        genList (i: i) (stringLength string)
      );
  aligned = value: value - (value / 4096) * 4096 == 0;

  uuidGroups = match "([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})";

  # FF-A carries a UUID in four registers, each holding four of its bytes with
  # the first one lowest. A manifest has these register values, so that the
  # bytes of every word come in reverse of the UUID's text form.
  uuidWords =
    uuid:
    let
      digits = concatStringsSep "" (uuidGroups uuid);
      word =
        i: "0x" + concatStringsSep "" (map (byte: substring (8 * i + 2 * byte) 2 digits) [ 3 2 1 0 ]);
    in
    concatStringsSep " " (genList word 4);

  # --- Checks of the table

  # Every rule is a list of messages, one for each time it is broken.
  pairs =
    list:
    if list == [ ] then
      [ ]
    else
      map (second: {
        first = head list;
        inherit second;
      }) (tail list)
      ++ pairs (tail list);

  inside =
    p:
    number p.loadAddress >= number secureDram.base
    && number p.loadAddress + number p.size <= number secureDram.base + number secureDram.size;
  overlap =
    a: b:
    number a.loadAddress < number b.loadAddress + number b.size
    && number b.loadAddress < number a.loadAddress + number a.size;

  checkEntry =
    p:
    let
      bad = condition: text: if condition then [ "partition ${p.name}: ${text}" ] else [ ];
      isNumber = number p.loadAddress != null && number p.size != null;
    in
    bad (p.image != p.name && match "[a-z][a-z0-9-]*" p.image == null)
      "an image is the name of a folder in hypervisor/partitions, not ${p.image}"
    ++ bad (match "[a-z][a-z0-9-]*" p.name == null) "a name is lower case letters, digits and '-'"
    ++ bad (uuidGroups p.uuid == null) "the UUID ${p.uuid} is not in lower case RFC 4122 form"
    ++ bad (!isNumber) "loadAddress and size are lower case hexadecimal strings like \"0x0e300000\""
    ++ (
      if !isNumber then
        [ ]
      else
        bad (!aligned (number p.loadAddress) || !aligned (number p.size) || number p.size == 0)
          "loadAddress and size are multiples of a page (0x1000), and size is not 0"
        ++ bad (!inside p) "it does not lie in secure DRAM (${secureDram.base}, ${secureDram.size} bytes)"
    )
    ++ bad (p.contexts != 1 && p.contexts != cpus)
      (
        "contexts is ${toString p.contexts}; FF-A allows 1 or the number of CPUs, ${toString cpus};"
        + " \"all\" stands for that"
      );

  # The SPMC occupies memory like a partition does.
  regions = [
    {
      name = "the SPMC";
      loadAddress = spmc.base;
      inherit (spmc) size;
    }
  ]
  ++ entries;

  entryErrors = builtins.concatLists (map checkEntry entries);
  errors =
    if entryErrors != [ ] then
      entryErrors
    else
      (
        if length entries > 8 then
          [ "TF-A takes at most 8 partitions, the table has ${toString (length entries)}" ]
        else
          [ ]
      )
      ++ (if cpus > 8 then [ "there are at most 8 CPUs, not ${toString cpus}" ] else [ ])
      ++ map ({ first, second }: "${first.name} and ${second.name} overlap in memory") (
        filter ({ first, second }: overlap first second) (pairs regions)
      )
      ++ map ({ first, second }: "two partitions have the name ${first.name}") (
        filter ({ first, second }: first.name == second.name) (pairs entries)
      )
      ++ map ({ first, second }: "${first.name} and ${second.name} have the same UUID") (
        filter ({ first, second }: first.uuid == second.uuid) (pairs entries)
      );

  checked =
    value:
    if errors == [ ] then
      value
    else
      throw "tfa/partitions.nix: ${concatStringsSep "; " errors}";

  # --- Texts

  indexed = genList (i: { index = i; } // elemAt entries i) (length entries);
  eachPartition = f: concatStringsSep "\n" (map f indexed);

  # A 64-bit cell pair of an address or a size below 4 GiB.
  cells = value: "0x0 ${value}";

  texts = {
    names = map (p: p.name) entries;
    # The folder that each partition's code and manifest come from, in the same order.
    images = map (p: p.image) entries;

    # Keys as TF-A's tools/sptool/sp_mk_generator.py reads them. A "uuid" here
    # spares the tool from finding it in the manifest's source text. "size" is
    # ours: the package has to fit in it.
    spLayout = toJSON (
      listToAttrs (
        map (p: {
          inherit (p) name;
          value = {
            image = {
              file = "${p.image}.bin";
              offset = imageOffset;
            };
            pm = "${p.name}.dts";
            inherit (p) uuid size;
            physical-load-address = p.loadAddress;
          };
        }) entries
      )
    );

    # BL2 takes the child nodes in order; the first is SP_PKG1. The UUID is the
    # text form, and names the package in the FIP.
    tbFwConfig = ''
      /dts-v1/;

      / {
      	secure-partitions {
      		compatible = "arm,sp";

      ${eachPartition (p: ''
        		${p.name} {
        			uuid = "${p.uuid}";
        			load-address = <${p.loadAddress}>;
        			owner = "SiP";
        		};
      '')}
      	};
      };
    '';

    # "attribute" is the SPMD's. It refuses a version above its own: TF-A 2.12
    # speaks FF-A 1.2, and with more it would boot without any SPM. The rest is
    # for the SPMC, in the form that Hafnium gave it:
    #   hypervisor/vmN  a partition; its FF-A id is 0x8000 + N. Where its package
    #                   was loaded, how much memory follows, how many vCPUs
    #   cpus            reg is the MPIDR affinity; as many as can come up
    #   memory@         "memory": secure RAM, of which partitions may be given;
    #                   "ns-memory": RAM of the normal world, which it may share;
    #                   "device-memory": devices that a partition may claim
    spmcManifest = ''
      /dts-v1/;

      / {
      	compatible = "arm,ffa-core-manifest-1.0";
      	#address-cells = <2>;
      	#size-cells = <2>;

      	attribute {
      		spmc_id = <0x8000>;
      		maj_ver = <1>;
      		min_ver = <2>;
      		exec_state = <0>; /* AArch64 */
      		load_address = <${cells spmc.base}>;
      		entrypoint = <${cells spmc.base}>;
      		binary_size = <${spmc.size}>;
      	};

      	hypervisor {
      		compatible = "hafnium,hafnium";

      ${eachPartition (p: ''
        		vm${toString (p.index + 1)} {
        			is_ffa_partition;
        			debug_name = "${p.name}";
        			load_address = <${p.loadAddress}>;
        			vcpu_count = <${toString p.contexts}>;
        			mem_size = <${p.size}>;
        		};
      '')}
      	};

      	cpus {
      		#address-cells = <2>;
      		#size-cells = <0>;

      ${concatStringsSep "\n" (
        genList (i: ''
          		cpu@${toString i} {
          			device_type = "cpu";
          			reg = <0x0 0x${toString i}>;
          			enable-method = "psci";
          		};
        '') cpus
      )}
      	};

      	memory@e100000 {
      		device_type = "memory";
      		reg = <${cells secureDram.base} ${cells secureDram.size}>;
      	};

      	memory@40000000 {
      		device_type = "ns-memory";
      		reg = <${cells nonSecureDram.base} ${cells nonSecureDram.size}>;
      	};

      	/* The PL031 clock, the secure PL011 and the secure GPIO. */
      	memory@9010000 {
      		device_type = "device-memory";
      		reg = <0x0 0x09010000 0x0 0x1000>,
      		      <0x0 0x09040000 0x0 0x1000>,
      		      <0x0 0x090b0000 0x0 0x1000>;
      	};
      };
    '';

    # The partition's own manifest.dts says how it behaves. What the table knows
    # is laid over it, so that no address stands in two places.
    partitionManifests = listToAttrs (
      map (p: {
        inherit (p) name;
        value = ''
          /include/ "${manifestFile p.name}"

          / {
          	description = "${p.name}";
          	uuid = <${uuidWords p.uuid}>;
          	execution-ctx-count = <${toString p.contexts}>;
          	load-address = <${p.loadAddress}>;
          	mem-size = <${p.size}>;
          	entrypoint-offset = <${imageOffset}>;
          	boot-order = <${toString p.index}>;
          };
        '';
      }) indexed
    );
  };
in
{
  # What is wrong with the table, in words; nothing else can be had then.
  inherit errors;
}
// builtins.mapAttrs (_: checked) texts
