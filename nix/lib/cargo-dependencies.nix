# lib.cargoDependencies { name, root, vendor, commands, ... }: the crates from outside, compiled. Most of the time of
# a build from scratch goes into these; kept apart, an edit compiles the workspace's own crates only.
#
#   root      the folder of the Cargo workspace. Only its Cargo.toml and Cargo.lock files count.
#   commands  cargo commands whose dependencies are wanted
#
# The workspace's crates are stood in for by empty ones, so that cargo sees the same graph, features and profiles.
{ cargo }:
{ root, commands, ... }@attrs:
cargo (removeAttrs attrs [ "root" "commands" ] // {
  workspace = builtins.path {
    name = "manifests";
    path = root;
    filter = path: type:
      let name = baseNameOf path; in
      if type == "directory" then name != "target" && name != "src"
      else name == "Cargo.toml" || name == "Cargo.lock";
  };
  script = ''
    members=()
    while IFS= read -r manifest; do
      folder=''${manifest%/Cargo.toml}
      name=$(sed -n '/^\[package\]/,/^\[[^p]/ s/^name = "\(.*\)"/\1/p' "$manifest")
      [ -n "$name" ] || continue
      members+=("$name")
      mkdir -p "$folder/src"
      printf '%s\n' '//! Stands in for the crate.' '#![cfg_attr(target_os = "none", no_std)]' > "$folder/src/lib.rs"
      if grep -q '^\[\[bin\]\]' "$manifest"; then
        {
          echo '//! Stands in for the program.'
          echo '#![cfg_attr(target_os = "none", no_std, no_main)]'
          echo '#[cfg(target_os = "none")] #[panic_handler]'
          echo 'fn panic(_: &core::panic::PanicInfo<'"'"'_>) -> ! { loop {} }'
          echo '#[cfg(not(target_os = "none"))] fn main() {}'
        } > "$folder/src/main.rs"
      fi
      # Cargo insists on a build script where a manifest has `links`.
      if grep -q '^links' "$manifest"; then
        printf '%s\n' '//! Stands in for the build script.' 'fn main() {}' > "$folder/build.rs"
      fi
    done < <(find . -name Cargo.toml)

    ${commands}

    # The stand-ins must not be taken for the crates.
    for name in "''${members[@]}"; do
      find target -depth \( -path "*/.fingerprint/$name-*" -o -path "*/build/$name-*" \
        -o -path "*/deps/*''${name//-/_}-*" \) -delete
    done
    find target -name '.cargo-lock' -delete
    mkdir -p "$out"
    cp -r target "$out/target"
    # Build scripts have run, but cargo may want to run them again.
    (cd target && find . -type f -perm /111) > "$out/executables"
  '';
})
