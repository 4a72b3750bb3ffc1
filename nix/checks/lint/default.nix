# Style, and rules about the code that a compiler does not know.
{ lib, sysroots, packages, vendors, dependencies, hostOnly, cases, ... }:

let
  inherit (packages) rust-core runner spmc spmc-trace vmm;

  # Everything a person wrote, whichever folder it is in.
  tree = lib.source {
    name = "tree";
    root = ../../..;
    paths = [ "flake.nix" "nix" "tfa" "aosp-kernel" "rootfs" "tests" "hypervisor" ];
    optional = [ ".ci" ];
    ignore = [ "busybox" "Cargo.lock" "README.md" ];
  };
  # Reading a file this way parses it; what it would evaluate to does not matter.
  nixFiles = folder:
    builtins.concatLists (map
      (name:
        let
          path = folder + "/${name}";
          type = (builtins.readDir folder).${name};
        in
        if type == "directory" && name != "target" then nixFiles path
        else if type == "regular" && builtins.match ".*\\.nix" name != null then [ path ]
        else [ ])
      (builtins.attrNames (builtins.readDir folder)));
  folders = [ ../../../nix ../../../tfa ../../../aosp-kernel ../../../rootfs ../../../tests ../../../hypervisor ];
  parsed = builtins.length
    (map (file: builtins.seq (import file) file) (builtins.concatMap nixFiles folders));

  formatting = ''
    check 'cargo fmt' cargo fmt --all --check
  '';
in
[
  (lib.cargo {
    name = "lint-hypervisor";
    workspace = import ../../../hypervisor/source.nix { inherit lib; };
    vendor = vendors.hypervisor;
    dependencies = dependencies.hypervisor;
    core = rust-core;
    inherit cases;
    policy = ./policy.py;
    script = ''
      . "$cases"
      suite lint-hypervisor
      ${formatting}
      check 'clippy: logic and tests, on the host' cargo clippy --locked --all-targets -- -D warnings
      check 'clippy: all that runs on the machine' \
        cargo clippy --locked --workspace ${hostOnly} --target "$target" -- -D warnings
      check 'clippy: the SPMC that records' \
        cargo clippy --locked --package tantalum-spmc-image --features trace --target "$target" -- -D warnings
      export RUSTDOCFLAGS="-D warnings --sysroot=$core"
      check 'cargo doc' cargo doc --locked --workspace ${hostOnly} --no-deps --target "$target"

      cargo metadata --locked --format-version 1 > metadata.json
      check 'dependencies point one way' python3 "$policy" dependencies metadata.json
      check 'unsafe code lies in few crates' python3 "$policy" unsafe metadata.json
      check 'licences of all crates are known' python3 "$policy" licences metadata.json
      suite_end
    '';
  })

  (lib.cargo {
    name = "lint-runner";
    workspace = import ../../../tests/runner/source.nix { inherit lib; };
    vendor = vendors."tests/runner";
    dependencies = dependencies.runner;
    inherit cases;
    policy = ./policy.py;
    script = ''
      . "$cases"
      suite lint-runner
      ${formatting}
      check 'clippy' cargo clippy --locked --all-targets -- -D warnings
      export RUSTDOCFLAGS='-D warnings'
      check 'cargo doc' cargo doc --locked --no-deps
      cargo metadata --locked --format-version 1 > metadata.json
      check 'licences of all crates are known' python3 "$policy" licences metadata.json
      suite_end
    '';
  })

  (lib.build {
    name = "lint-shell";
    sysroot = sysroots.lint;
    inherit cases tree;
    script = ''
      . "$cases"
      cd "$tree"
      suite lint-shell
      while IFS= read -r file; do
        check "shellcheck $file" shellcheck --color=never --external-sources "$file"
      done < <(
        { find . -name '*.sh'; grep -rlE --exclude-dir=target '^#!.*/(env )?(ba|da)?sh' .; } \
          | cut -c 3- | LC_ALL=C sort -u
      )
      suite_end
    '';
  })

  (lib.build {
    name = "lint-nix";
    sysroot = sysroots.base;
    inherit cases tree parsed;
    rules = ./nix-format.awk;
    script = ''
      . "$cases"
      cd "$tree"
      suite lint-nix
      check "$parsed Nix files parse" test "$parsed" -gt 0
      while IFS= read -r file; do
        check "format of $file" awk -f "$rules" "$file"
      done < <(find . -name '*.nix' | cut -c 3- | LC_ALL=C sort)
      suite_end
    '';
  })

  (lib.build {
    name = "lint-trace";
    sysroot = sysroots.base;
    inherit cases tree;
    script = ''
      . "$cases"
      cd "$tree"
      suite lint-trace
      functions() {
        sed -n 's/^    \([A-Z0-9_]*\) = \(0x[0-9a-f]*\)_\([0-9a-f]*\);$/\1 \2\3/p' \
          hypervisor/crates/ffa/src/function.rs | diff - tests/runner/src/trace/functions.txt
      }
      # The decoder is a program of another workspace, so what the two agree on is held twice.
      check 'the decoder knows every function of FF-A' functions
      check 'the decoder is tested on what the recorder writes' \
        cmp hypervisor/crates/trace/sample.bin tests/runner/tests/data/trace.bin
      suite_end
    '';
  })

  (lib.build {
    name = "lint-binary";
    # For its disassembler.
    sysroot = sysroots.rust;
    inherit cases spmc vmm;
    spmc_trace = spmc-trace;
    rules = ./no-fp.awk;
    elf = ./elf.py;
    pools = ../../../hypervisor/crates/spmc/pools.txt;
    script = ''
      . "$cases"
      suite lint-binary
      no_fp() {
        aarch64-linux-gnu-objdump --disassemble --no-show-raw-insn "$1" | awk -f "$rules"
      }
      check 'the SPMC has FP and SIMD instructions in .fp_text only' no_fp "$spmc/spmc.elf"
      check 'the hypervisor of VMs has FP and SIMD instructions in .fp_text only' no_fp "$vmm/vmm.elf"
      # The call graph comes from the disassembly; elf.py says what that cannot see.
      check 'no panic is reachable from the logic of the SPMC' python3 "$elf" panics "$spmc/spmc.elf"
      check 'the SPMC has room for its deepest stacks' python3 "$elf" stacks "$spmc/spmc.elf"
      said
      check 'the memory of the SPMC' python3 "$elf" memory "$spmc/spmc.elf" "$pools"
      said
      no_recorder() {
        # Symbols, strings and debugging information alike. That it would be found, the other SPMC shows.
        grep -q tantalum_trace "$spmc_trace/spmc.elf"
        ! grep -q tantalum_trace "$spmc/spmc.elf"
      }
      check 'the SPMC has nothing of the recorder, unless built with it' no_recorder
      suite_end
    '';
  })
]
