//! Links the payload by the linker script beside this file.

fn main() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rerun-if-changed=bl33.ld");
    println!("cargo::rustc-link-arg-bins=--script={directory}/bl33.ld");
    println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
    println!("cargo::rustc-link-arg-bins=--no-dynamic-linker");
}
