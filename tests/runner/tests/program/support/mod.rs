//! A fake QEMU, an image of nothing, and the runner around them.

use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder for one test, removed at its end.
pub struct Bench {
    pub dir: PathBuf,
}

/// What a run of the runner gave.
pub struct Ran {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    /// Makes a folder with a good image and a scenario list of the two recorded scenarios.
    pub fn new() -> Self {
        Self::with_files(&["flash.bin", "Image", "initramfs.cpio.gz"])
    }

    /// Makes one with an image of other files.
    pub fn with_files(files: &[&str]) -> Self {
        let name = format!("runner-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(dir.join("image")).unwrap();
        let mut manifest = Vec::new();
        for file in files {
            fs::write(dir.join("image").join(file), file).unwrap();
            let hash: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
            manifest.push(format!("\"{file}\": {{ \"sha256\": \"{hash}\", \"size\": {} }}", file.len()));
        }
        fs::write(dir.join("image/manifest.json"), format!("{{ {} }}", manifest.join(", "))).unwrap();
        fs::write(dir.join("list.txt"), "1 version_negotiation 0.1 x\n2 ids 0.1 y\n").unwrap();
        Self { dir }
    }

    /// Sets what the fake QEMU does.
    pub fn qemu(&self, body: &str) -> &Self {
        fs::write(self.path("qemu.sh"), format!("{body}\n")).unwrap();
        self
    }

    /// Writes a transcript for `play < "$dir"/NAME`.
    pub fn transcript(&self, text: &str) -> String {
        let path = self.dir.join("transcript.txt");
        fs::write(&path, text).unwrap();
        format!("play < '{}'", path.display())
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs `runner run` on the bench, with more options.
    pub fn run(&self, options: &[&str]) -> Ran {
        let mut command = self.command(&["run"]);
        command.args(options);
        ran(&command.output().unwrap())
    }

    /// A command on the bench: image, QEMU, output and list are set.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = runner();
        command.args(words).env("FAKE_QEMU", self.path("qemu.sh"));
        command.arg("--qemu").arg(fake_qemu());
        for (option, file) in [("--image", "image"), ("--out", "out"), ("--expect", "list.txt")] {
            command.arg(option).arg(self.path(file));
        }
        command
    }

    /// A file of the report.
    pub fn report(&self, name: &str) -> String {
        fs::read_to_string(self.path("out").join(name)).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Ran {
    /// The verdict line.
    pub fn verdict(&self) -> &str {
        self.stdout
            .lines()
            .find_map(|line| line.strip_prefix("e2e: ").filter(|v| v.contains(": ")))
            .unwrap_or_default()
    }

    /// The last line.
    pub fn totals(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }
}

/// The program under test.
pub fn runner() -> Command {
    fake_qemu();
    Command::new(env!("CARGO_BIN_EXE_runner"))
}

/// The fake QEMU, as a program.
///
/// It is written before any test starts a process, and once: a child that is just starting
/// may still hold a file open that is being written, and such a file cannot be executed.
fn fake_qemu() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("qemu-{}", std::process::id()));
        fs::write(&path, include_str!("qemu.sh")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    })
}

/// From a finished process.
pub fn ran(output: &Output) -> Ran {
    Ran {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The recorded good run.
pub fn success() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/success.txt")).unwrap()
}
