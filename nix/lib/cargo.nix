# lib.cargo { name, workspace, vendor, script, ... }: lib.build in the `rust` sysroot, set up for a Cargo workspace.
#
#   workspace     lib.source of a Cargo workspace; /build is a writable copy of it
#   vendor        lib.vendor of its Cargo.lock
#   core          rust-core, for crates of the machine (optional)
#   dependencies  lib.cargoDependencies, for all crates that are not the workspace's own (optional)
#
# Flags go into $HOME/.cargo/config.toml and not into RUSTFLAGS, which would replace what the workspace's own
# .cargo/config.toml says.
{ build, sysroot }:
{ name, workspace, vendor, core ? null, dependencies ? null, script, ... }@attrs:
build (removeAttrs attrs [ "core" "dependencies" ] // {
  inherit sysroot;
  target = if core == null then "" else core.target;
  core = if core == null then "" else core;
  dependencies = if dependencies == null then "" else dependencies;
  script = ''
    cp -r --no-preserve=mode,ownership "$workspace/." .
    if [ -n "$dependencies" ]; then
      # With the store's times: all are equal, so cargo finds nothing out of date.
      cp -r --no-preserve=mode,ownership --preserve=timestamps "$dependencies/target" .
      (cd target && while IFS= read -r file; do chmod +x "$file"; done < "$dependencies/executables")
    fi
    mkdir -p "$HOME/.cargo"
    # No path of the build may reach the output: not the vendor directory's either, which any new crate renames.
    remap="\"--remap-path-prefix=$vendor=/vendor\", \"--remap-path-prefix=/build=/src\""
    {
      cat "$vendor/config.toml"
      echo '[target.x86_64-unknown-linux-gnu]'
      echo "rustflags = [$remap]"
      if [ -n "$target" ]; then
        echo "[target.$target]"
        echo 'linker = "ld.lld"'
        echo "rustflags = [\"--sysroot=$core\", $remap]"
      fi
    } > "$HOME/.cargo/config.toml"
    export CARGO_INCREMENTAL=0 CARGO_NET_OFFLINE=true CARGO_BUILD_JOBS="$NIX_BUILD_CORES" CARGO_TERM_COLOR=never
    ${script}
  '';
})
