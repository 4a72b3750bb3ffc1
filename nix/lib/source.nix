# lib.source { root, paths }: the listed files and folders of a folder, and nothing else. A package built from it
# is not rebuilt when anything else changes. Build leftovers of a checkout never get in.
{ root, paths, name ? "source" }:
let
  inherit (builtins) any substring stringLength;
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
        relative = substring (stringLength base + 1) (stringLength path) path;
        wanted = want:
          relative == want || hasPrefix "${want}/" relative || hasPrefix "${relative}/" want;
      in
      any wanted paths && !(type == "directory" && baseNameOf path == "target");
  }
