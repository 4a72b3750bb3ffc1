# Rust's core, alloc and compiler_builtins for the hypervisor's target, which Debian does not ship.
#
# Out: a sysroot for `rustc --sysroot`, for this target and the host. It is the only place where Rust's unstable
# features are unlocked; all that is built on it is plain stable Rust. Where rustup is at hand the same crates
# build with `rustup target add aarch64-unknown-none-softfloat`.
{
  lib,
  sysroots,
  # Without floating point: code at S-EL2 must not touch FP/SIMD registers, which belong to the partitions and to
  # the normal world.
  target ? "aarch64-unknown-none-softfloat",
}:

lib.build {
  name = "rust-core";
  sysroot = sysroots.rust;
  inherit target;
  script = ''
    library=$(rustc --print sysroot)/lib/rustlib/src/rust/library

    mkdir -p "$HOME/.cargo" empty/src
    cat > "$HOME/.cargo/config.toml" <<TOML
    [source.crates-io]
    replace-with = "vendored"
    [source.vendored]
    directory = "$library/vendor"
    TOML

    # Building any crate with build-std builds the libraries; an empty one adds nothing of its own.
    cat > empty/Cargo.toml <<TOML
    [package]
    name = "empty"
    version = "0.0.0"
    edition = "2024"
    [profile.release]
    panic = "abort"
    # For gdb and for the source lines in a disassembly.
    debug = 1
    TOML
    echo '#![no_std]' > empty/src/lib.rs

    # With bitcode, so that link-time optimisation reaches into core.
    export RUSTFLAGS="-C embed-bitcode=yes --remap-path-prefix=$library=/rustc/library --remap-path-prefix=$PWD=/build"
    RUSTC_BOOTSTRAP=1 cargo build --release --offline --manifest-path empty/Cargo.toml --target "$target" \
      -Zbuild-std=core,alloc -Zbuild-std-features=compiler-builtins-mem

    mkdir -p "$out/lib/rustlib/$target/lib"
    cp "empty/target/$target/release/deps"/lib*.rlib "$out/lib/rustlib/$target/lib/"
    rm -f "$out/lib/rustlib/$target/lib"/libempty-*
    # Build scripts and procedural macros run on the host. The path exists inside the `rust` sysroot.
    ln -s /usr/lib/rustlib/x86_64-unknown-linux-gnu "$out/lib/rustlib/x86_64-unknown-linux-gnu"
  '';
}
