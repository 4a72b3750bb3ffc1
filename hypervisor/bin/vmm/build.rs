//! Links the image by the linker script beside this file.

fn main() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rerun-if-changed=vmm.ld");
    println!("cargo::rustc-link-arg-bins=--script={directory}/vmm.ld");
    // Pages of the image are 4 KiB, and there is no loader that could place or relocate anything.
    println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
    println!("cargo::rustc-link-arg-bins=--no-dynamic-linker");
}
