//! Things that take long to make, made once a machine.
//!
//! A cached thing is a folder `NAME-KEY`, where the key is a hash of all that it was made from: a
//! change of an input makes another folder, and nothing is ever updated in place. Deleting any of
//! it is safe at any time when nothing runs from it.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process,
};

use sha2::{Digest, Sha256};

use crate::{clock::Stopwatch, progress};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no place for the cache: set TRELLIS_CACHE or HOME")]
    NoHome,

    #[error("could not use {path}")]
    Io { path: PathBuf, source: io::Error },
}

impl Error {
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// `$TRELLIS_CACHE`, else `trellis` in the user's cache folder.
pub fn root() -> Result<PathBuf, Error> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("TRELLIS_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|caches| caches.join("trellis")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/trellis")))
        .ok_or(Error::NoHome)
}

/// A hash of everything a cached thing is made from.
#[derive(Clone, Default)]
pub struct Key(Sha256);

impl Key {
    /// Adds an input. Lengths go in as well, so that no two lists of inputs look alike.
    #[must_use]
    pub fn and(mut self, input: impl AsRef<OsStr>) -> Self {
        let bytes = input.as_ref().as_encoded_bytes();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a file's contents, or those of all files below a folder with their names.
    pub fn and_files(mut self, path: &Path) -> Result<Self, Error> {
        if !path.is_dir() {
            let contents = fs::read(path).map_err(Error::at(path))?;
            self.0.update((contents.len() as u64).to_le_bytes());
            self.0.update(contents);
            return Ok(self);
        }
        let entries = fs::read_dir(path).map_err(Error::at(path))?;
        let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(Error::at(path))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self = self.and(entry.file_name()).and_files(&entry.path())?;
        }
        Ok(self)
    }

    /// Sixteen hexadecimal digits: enough, for a handful of things that nobody forges.
    fn digits(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0.finalize()[..8])
    }
}

/// What is made, and what a person who waits for it is told.
#[derive(Clone, Copy, Debug)]
pub struct Thing<'a> {
    /// The folder's name without the key.
    pub name: &'a str,
    /// How long making it takes on two cores, such as "4 minutes".
    pub about: &'a str,
}

/// The folder with `thing`, made now unless it is there already.
///
/// `make` fills an empty folder, which is renamed into place when it succeeds; what other
/// processes see is therefore always whole. Of processes that want the same thing at the same
/// time, one makes it and the others wait.
pub fn ensure<E: From<Error>>(
    thing: Thing<'_>,
    key: Key,
    make: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    let root = root()?;
    let entry = format!("{}-{}", thing.name, key.digits());
    let done = root.join(&entry);
    if done.exists() {
        return Ok(done);
    }
    let locks = root.join("locks");
    fs::create_dir_all(&locks).map_err(Error::at(&locks))?;
    // One for all keys of a name: they may share what a compiler leaves between builds.
    let _lock = lock(&locks.join(thing.name), thing)?;
    if done.exists() {
        return Ok(done);
    }

    let unfinished = root.join(format!("{entry}.{}.part", process::id()));
    fs::create_dir_all(&unfinished).map_err(Error::at(&unfinished))?;
    let watch = Stopwatch::start();
    progress::say(&format!("building {} (once, about {})", thing.name, thing.about));
    let outcome = make(&unfinished)
        .and_then(|()| fs::rename(&unfinished, &done).map_err(|e| Error::at(&done)(e).into()));
    if let Err(error) = outcome {
        fs::remove_dir_all(&unfinished).ok();
        return Err(error);
    }
    progress::say(&format!("built {} in {} s", thing.name, watch.elapsed().as_secs()));
    Ok(done)
}

/// Held until the file is dropped, or its process ends.
fn lock(path: &Path, thing: Thing<'_>) -> Result<File, Error> {
    let file = File::create(path).map_err(Error::at(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            progress::say(&format!("waiting for another process that builds {}", thing.name));
            file.lock().map_err(Error::at(path))?;
        }
        Err(fs::TryLockError::Error(error)) => return Err(Error::at(path)(error)),
    }
    Ok(file)
}
