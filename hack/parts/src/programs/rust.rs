//! Programs that are Rust packages of ours with lock files of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::Error;
use crate::{
    cache::{self, Key, Thing},
    toolchain,
};

/// The repository's folder `hack`.
pub(super) fn hack() -> PathBuf {
    let parts = Path::new(env!("CARGO_MANIFEST_DIR"));
    parts.parent().unwrap_or(parts).to_owned()
}

/// A package that is built apart from the workspace.
struct RustProgram {
    /// Its folder in `hack`.
    folder: &'static str,
    /// The name of its binary, which is that of the package.
    binary: &'static str,
}

const HOST: RustProgram = RustProgram { folder: "host", binary: "trellis-test-host" };
const HTTP_PROVIDER: RustProgram =
    RustProgram { folder: "http-provider", binary: "trellis-test-http-provider" };

const WADM: RustProgram = RustProgram { folder: "wadm", binary: "trellis-test-wadm" };

pub(super) fn wadm() -> Result<PathBuf, Error> {
    let thing = Thing { name: "wadm", about: "4 minutes" };
    let folder = cache::ensure(thing, WADM.key()?, |folder| WADM.build(&folder.join(WADM.binary)))?;
    Ok(folder.join(WADM.binary))
}

pub(super) fn host() -> Result<PathBuf, Error> {
    let thing = Thing { name: "wasmcloud-host", about: "5 minutes" };
    let folder = cache::ensure(thing, HOST.key()?, |folder| HOST.build(&folder.join(HOST.binary)))?;
    Ok(folder.join(HOST.binary))
}

pub(super) fn http_provider() -> Result<PathBuf, Error> {
    const ARCHIVE: &str = "http-server.par";
    let thing = Thing { name: "http-provider", about: "2 minutes" };
    let folder = cache::ensure(thing, HTTP_PROVIDER.key()?, |folder| {
        let program = folder.join(HTTP_PROVIDER.binary);
        HTTP_PROVIDER.build(&program)?;
        toolchain::run(Command::new(program).arg("--pack").arg(folder.join(ARCHIVE)))?;
        Ok::<_, Error>(())
    })?;
    Ok(folder.join(ARCHIVE))
}

impl RustProgram {
    fn source(&self) -> PathBuf {
        hack().join(self.folder)
    }

    /// Its sources, its pinned dependencies and its compiler.
    fn key(&self) -> Result<Key, Error> {
        let source = self.source();
        let mut key = Key::default().and(toolchain::RUSTC.version("-vV")?);
        for input in ["Cargo.toml", "Cargo.lock", "src", ".cargo", "tools"] {
            let input = source.join(input);
            if input.exists() {
                key = key.and_files(&input)?;
            }
        }
        Ok(key)
    }

    fn build(&self, program: &Path) -> Result<(), Error> {
        toolchain::CC.find()?;
        let source = self.source();
        // Kept when a build is interrupted, so that the next one goes on; 2 GB, so removed after.
        let target = cache::root()?.join("target").join(self.folder);
        let mut build = Command::new(toolchain::CARGO.find()?);
        build
            .args(["build", "--locked", "--target-dir"])
            .arg(&target)
            .current_dir(&source)
            .env("CARGO_INCREMENTAL", "0")
            // What the caller wants of its own crates is not meant for these.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET");
        let wrapper = source.join("tools/rustc-wrap.sh");
        if wrapper.exists() {
            // Said here as well: a wrapper in the caller's environment would win over the file's.
            build.env("RUSTC_WRAPPER", wrapper);
        }
        toolchain::run(&mut build)?;
        let binary = target.join("debug").join(self.binary);
        fs::copy(&binary, program).map_err(cache::Error::at(&binary))?;
        fs::remove_dir_all(&target).map_err(cache::Error::at(&target))?;
        Ok(())
    }
}
