//! Tells the build scripts of partitions where the linker's arguments are.

use std::env::{self, VarError};

fn main() -> Result<(), VarError> {
    let folder = env::var("CARGO_MANIFEST_DIR")?;
    println!("cargo::rerun-if-changed=partition.ld");
    println!("cargo::rerun-if-changed=partition.args");
    println!("cargo::rustc-link-search={folder}");
    println!("cargo::metadata=arguments={folder}/partition.args");
    Ok(())
}
