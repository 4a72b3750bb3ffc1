# lib.source { root, paths, ignore ? [ ], optional ? [ ] }: the listed files and folders of a folder, and nothing
# else. A package built from it is not rebuilt when anything else changes. Build leftovers of a checkout never get in.
#
#   paths     must exist, so that a typo is not a silently smaller source
#   optional  may exist
#   ignore    names of files to leave out, wherever they lie
{ root, paths, optional ? [ ], ignore ? [ ], name ? "source" }:
let
  inherit (builtins) any elem substring stringLength;
  base = toString root;
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  missing = builtins.filter (path: !builtins.pathExists (root + "/${path}")) paths;
in
if missing != [ ] then
  throw "lib.source: ${base} has no ${builtins.concatStringsSep ", " missing}"
else
  builtins.path {
    inherit name;
    path = root;
    filter = path: type:
      let
        file = baseNameOf path;
        relative = substring (stringLength base + 1) (stringLength path) path;
        wanted = want:
          relative == want
          || hasPrefix "${want}/" relative
          || (type == "directory" && hasPrefix "${relative}/" want);
      in
      any wanted (paths ++ optional)
      && !(type == "directory" && file == "target")
      && !(type == "regular" && elem file ignore);
  }
