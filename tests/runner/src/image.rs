//! A composed image: a folder with what boots, and its manifest of hashes.

use crate::error::{Error, Result};
use crate::qemu::NormalWorld;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// The file names in an image.
const FLASH: &str = "flash.bin";
const KERNEL: &str = "Image";
const INITRAMFS: &str = "initramfs.cpio.gz";
const BARE_METAL: &str = "bl33.bin";
const VMM: &str = "vmm.bin";
const VMS: &str = "manifest.dtb";
const DISK: &str = "disk.img";
const MANIFEST: &str = "manifest.json";

/// An image whose files are there and are what its manifest says.
#[derive(Debug)]
pub struct Image {
    dir: PathBuf,
    /// The name of what the normal world begins with.
    bl33: &'static str,
    initramfs: Option<Initramfs>,
    files: Vec<ImageFile>,
}

/// Linux's first file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initramfs {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes, which Linux must be told.
    pub size: u64,
}

/// A file of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Its name in the image.
    pub name: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Image {
    /// Opens an image for `normal_world` and checks every file that the manifest names.
    pub fn open(dir: &Path, normal_world: NormalWorld) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::new(format!(
                "{} is not a folder; give --image the folder of a composed image",
                dir.display()
            )));
        }
        let dir = dir.canonicalize().map_err(|e| Error::new(format!("{}: {e}", dir.display())))?;
        let text = fs::read_to_string(dir.join(MANIFEST)).map_err(|e| missing(&dir, MANIFEST, &e))?;
        let manifest = parse_manifest(&text).ok_or_else(|| {
            Error::new(format!("{}/{MANIFEST} is not a manifest of files and hashes", dir.display()))
        })?;
        let (bl33, others) = match normal_world {
            NormalWorld::Pkvm | NormalWorld::Linux => (KERNEL, &[FLASH, INITRAMFS][..]),
            NormalWorld::BareMetal => (BARE_METAL, &[FLASH][..]),
            NormalWorld::FullStack => (VMM, &[FLASH, VMS, KERNEL][..]),
            NormalWorld::Vmm => (VMM, &[VMS][..]),
            NormalWorld::Guest | NormalWorld::GuestSuite => (KERNEL, &[][..]),
        };
        for name in others.iter().chain([&bl33]).copied() {
            if !manifest.iter().any(|file| file.name == name) {
                return Err(Error::new(format!("{}/{MANIFEST} does not name {name}", dir.display())));
            }
        }
        let has = |name| manifest.iter().any(|file| file.name == name);
        if normal_world == NormalWorld::Guest && !has(DISK) && !has(INITRAMFS) {
            let message = format!("{}/{MANIFEST} names neither {DISK} nor {INITRAMFS}", dir.display());
            return Err(Error::new(message));
        }
        let mut initramfs = None;
        for file in &manifest {
            let content = fs::read(dir.join(&file.name)).map_err(|e| missing(&dir, &file.name, &e))?;
            let hash = hex(&Sha256::digest(&content));
            if hash != file.sha256 {
                return Err(Error::new(format!(
                    "{}/{} is not the file that {MANIFEST} names: its SHA-256 is {hash}, the manifest says {}; compose the image again",
                    dir.display(),
                    file.name,
                    file.sha256
                )));
            }
            if file.name == INITRAMFS {
                initramfs = Some(Initramfs { path: dir.join(INITRAMFS), size: content.len() as u64 });
            }
        }
        Ok(Self { dir, bl33, initramfs, files: manifest })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The firmware flash: BL1 and the FIP.
    pub fn flash(&self) -> PathBuf {
        self.dir.join(FLASH)
    }

    /// What the normal world begins with: Linux, the bare-metal suite, or the hypervisor.
    pub fn bl33(&self) -> PathBuf {
        self.dir.join(self.bl33)
    }

    /// The initramfs, if there is one.
    pub fn initramfs(&self) -> Option<&Initramfs> {
        self.initramfs.as_ref()
    }

    /// The disk that the machine shall have, if there is one.
    pub fn disk(&self) -> Option<PathBuf> {
        self.path(DISK)
    }

    /// A file, if the image has it.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.files.iter().any(|file| file.name == name).then(|| self.dir.join(name))
    }

    /// Its files with their hashes, by name.
    pub fn files(&self) -> &[ImageFile] {
        &self.files
    }
}

fn missing(dir: &Path, name: &str, error: &std::io::Error) -> Error {
    Error::new(format!("{}/{name}: {error}; the image is incomplete, compose it again", dir.display()))
}

/// Reads `{ "FILE": { "sha256": HEX, ... }, ... }`. Names with a slash are refused: the
/// manifest speaks of its own folder only.
fn parse_manifest(text: &str) -> Option<Vec<ImageFile>> {
    let value: Value = serde_json::from_str(text).ok()?;
    let mut files = Vec::new();
    for (name, entry) in value.as_object()? {
        let sha256 = entry.get("sha256")?.as_str()?.to_ascii_lowercase();
        let is_hash = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hash || name.contains('/') {
            return None;
        }
        files.push(ImageFile { name: name.clone(), sha256 });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Some(files)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests() {
        let hash = "ab".repeat(32);
        let good = format!(r#"{{ "flash.bin": {{ "sha256": "{hash}", "size": 3 }} }}"#);
        assert_eq!(
            parse_manifest(&good),
            Some(vec![ImageFile { name: "flash.bin".into(), sha256: hash.clone() }])
        );
        for bad in [
            "",
            "[]",
            r#"{ "flash.bin": "x" }"#,
            r#"{ "flash.bin": { "sha256": "12" } }"#,
            &good.replace("flash.bin", "../flash.bin"),
        ] {
            assert_eq!(parse_manifest(bad), None, "{bad}");
        }
    }

    #[test]
    fn hex_is_lower_case_and_padded() {
        assert_eq!(hex(&[0x0a, 0xff]), "0aff");
    }
}
