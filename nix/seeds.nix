# What nix/bootstrap may have to fetch, for it to read: groups of files, and what is made of each group. A group
# whose product is in the store needs no files.
let
  tantalum = import ./default.nix { };
  inherit (tantalum) lib;
  inherit (builtins) attrNames concatMap concatStringsSep;
  line = fields: concatStringsSep " " fields + "\n";
  group = kind: name: product: files:
    line [ "group" kind name "${product}" ] + concatStringsSep "" files;
  fetched = file: entry: drv:
    line [
      "file" "${drv}" file (toString entry.size) entry.sha256 entry.archive entry.path
      "${entry.name}=${entry.version}"
    ];
in
builtins.unsafeDiscardStringContext (
  concatStringsSep "" (
    map
      (set: group "lock/debian.json" set lib.sysroots.${set}
        (map (file: fetched file lib.lock.debs.${file} lib.debs.${file}) lib.lock.sets.${set}))
      (attrNames lib.sysroots)
    ++ map
      (name:
        let entry = lib.sourceLock.${name}; in
        group "lock/sources.json" name lib.sourceFiles.${name}
          [ (fetched entry.file entry lib.sourceFiles.${name}) ])
      (attrNames lib.sourceFiles)
    ++ map
      (name:
        let vendor = tantalum.vendors.${name}; in
        group "Cargo.lock" name vendor
          (map (crate: line [ "crate" "${crate}" crate.drvPath crate.name ]) vendor.crates))
      (attrNames tantalum.vendors)
  )
)
