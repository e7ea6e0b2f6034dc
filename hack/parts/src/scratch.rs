//! Temporary folders that are removed on every exit path.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::watchdog::{self, Charge};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder of its own for one part: its data, its log, its `TMPDIR`. Removed when dropped, and by
/// the watchdog when this process ends without dropping it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty folder whose name starts with `trellis-` and names its `purpose`.
    pub fn new(purpose: &str) -> io::Result<Self> {
        // Resolved, so that what a part says of its files can be compared with what we say.
        let parent = fs::canonicalize(env::temp_dir())?;
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("trellis-{purpose}-{}-{number}", process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let scratch = Self(path);
                    watchdog::guard(Charge::Folder(scratch.path()))?;
                    return Ok(scratch);
                }
                // Of a process with the same id, long gone or in another PID namespace: not ours.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into the folder; returns its path.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, contents)?;
        Ok(path)
    }

    /// Makes a folder in the folder; returns its path.
    pub fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What fails here is left to the watchdog.
        if fs::remove_dir_all(&self.0).is_ok() {
            watchdog::release(Charge::Folder(&self.0)).ok();
        }
    }
}
