//! Links the partition as the SDK says.

use std::env::{self, VarError};

fn main() -> Result<(), VarError> {
    if env::var("CARGO_CFG_TARGET_OS")? == "none" {
        println!("cargo::rustc-link-arg-bins=@{}", env::var("DEP_TANTALUM_PARTITION_ARGUMENTS")?);
    }
    Ok(())
}
