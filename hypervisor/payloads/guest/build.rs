//! Links the suite by the linker script beside this file, as an image that may lie anywhere.

fn main() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rerun-if-changed=guest.ld");
    println!("cargo::rustc-link-arg-bins=--script={directory}/guest.ld");
    println!("cargo::rustc-link-arg-bins=-pie");
    println!("cargo::rustc-link-arg-bins=-znotext");
    println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
    println!("cargo::rustc-link-arg-bins=--no-dynamic-linker");
}
