//! Programs from packages of the machine's own Debian or Ubuntu, which is left as it is: they are
//! unpacked into the cache, with the libraries that they need beyond what is installed.
//!
//! ```text
//! on the machine? ── yes ─▶ used as it is
//!       └── no ─▶ apt-get says which packages are lacking ─▶ fetched, unpacked, keyed by their versions
//! ```

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    cache::{self, Key, Thing},
    toolchain,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Cache(#[from] cache::Error),

    #[error("could not get {packages} with apt-get")]
    Apt { packages: String, source: toolchain::Error },

    #[error(
        "{programs}: not found, and there is no apt-get to get them with: install what this \
         system calls {packages}"
    )]
    NoApt { programs: String, packages: String },

    #[error("the package {package} has no {program}")]
    NotInPackage { program: &'static str, package: &'static str },
}

/// A program, and the package that has it.
#[derive(Clone, Copy, Debug)]
pub struct Packaged {
    /// The name of a program, or with a slash the path of any file from the root on.
    pub program: &'static str,
    pub package: &'static str,
}

/// Where programs are in a package; not everybody's `PATH` has those of the administrator.
const PROGRAM_FOLDERS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];

/// Programs of the machine, and those that were unpacked for want of them.
#[derive(Clone, Debug)]
pub struct Programs {
    /// What was unpacked, if anything had to be.
    unpacked: Option<PathBuf>,
    found: Vec<(&'static str, PathBuf)>,
}

impl Programs {
    /// Finds all of `wanted`; the packages of those that the machine lacks are fetched, with all
    /// that they depend on. `name` is what the cache calls them together.
    pub fn find(name: &str, wanted: &[Packaged]) -> Result<Self, Error> {
        let lacking: Vec<_> =
            wanted.iter().filter(|wanted| on_machine(wanted.program).is_none()).copied().collect();
        let unpacked = if lacking.is_empty() { None } else { Some(unpack(name, &lacking)?) };
        let found = wanted.iter().map(|&Packaged { program, package }| {
            let path = on_machine(program)
                .or_else(|| below(unpacked.as_deref()?, program))
                .ok_or(Error::NotInPackage { program, package })?;
            Ok((program, path))
        });
        let found = found.collect::<Result<_, Error>>()?;
        Ok(Self { unpacked, found })
    }

    /// Where `program` is, which was among those wanted; else its bare name.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        let found = self.found.iter().find(|(name, _)| *name == program);
        found.map_or_else(|| program.into(), |(_, path)| path.clone())
    }

    /// What the programs need in their environment, to find each other and their libraries.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let root = self.unpacked.as_deref();
        let mut search: Vec<_> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
        search.extend(root.into_iter().flat_map(|root| PROGRAM_FOLDERS.map(|at| root.join(at))));
        search.extend(PROGRAM_FOLDERS.map(|at| Path::new("/").join(at)));
        let libraries = root.map(library_folders).unwrap_or_default();
        [("PATH", search), ("LD_LIBRARY_PATH", libraries)]
            .into_iter()
            .filter(|(_, folders)| !folders.is_empty())
            // No folder here has a colon in its name but by the user's own wish.
            .filter_map(|(name, folders)| Some((name, env::join_paths(folders).ok()?)))
            .collect()
    }
}

fn on_machine(program: &str) -> Option<PathBuf> {
    let on_path = if program.contains('/') { None } else { toolchain::find(program) };
    on_path.or_else(|| below(Path::new("/"), program))
}

fn below(root: &Path, program: &str) -> Option<PathBuf> {
    let paths: Vec<_> = if program.contains('/') {
        vec![root.join(program)]
    } else {
        PROGRAM_FOLDERS.iter().map(|folder| root.join(folder).join(program)).collect()
    };
    paths.into_iter().find(|path| path.is_file())
}

/// `usr/lib/x86_64-linux-gnu` and its like, below `root`.
fn library_folders(root: &Path) -> Vec<PathBuf> {
    let is_libraries = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-gnu"))
    };
    ["usr/lib", "lib"]
        .iter()
        .filter_map(|folder| fs::read_dir(root.join(folder)).ok())
        .flat_map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())))
        .filter(is_libraries)
        .collect()
}

/// A folder with what the packages of `lacking` have, and those that they depend on.
fn unpack(name: &str, lacking: &[Packaged]) -> Result<PathBuf, Error> {
    let mut packages: Vec<_> = lacking.iter().map(|wanted| wanted.package).collect();
    packages.sort_unstable();
    packages.dedup();
    if toolchain::find("apt-get").is_none() {
        let programs: Vec<_> = lacking.iter().map(|wanted| wanted.program).collect();
        return Err(Error::NoApt { programs: programs.join(", "), packages: packages.join(", ") });
    }
    let failed = |source| Error::Apt { packages: packages.join(", "), source };

    let plan = || toolchain::run(install(&packages).arg("--print-uris"));
    let plan = plan()
        .or_else(|_| {
            // A fresh machine has no lists of packages.
            update().and_then(|()| plan())
        })
        .map_err(failed)?;
    let mut key = Key::default();
    for archive in archives(&plan) {
        key = key.and(archive);
    }
    cache::ensure(Thing { name, about: "10 seconds" }, key, |folder| {
        let fetch = folder.join("archives");
        let partial = fetch.join("partial");
        fs::create_dir_all(&partial).map_err(cache::Error::at(&partial))?;
        let mut archives = OsString::from("Dir::Cache::archives=");
        archives.push(&fetch);
        let download =
            || toolchain::run(install(&packages).arg("--download-only").arg("-o").arg(&archives));
        download()
            .or_else(|_| {
                // Lists age: what they name may have been replaced by a newer version.
                update().and_then(|()| download())
            })
            .map_err(failed)?;
        for archive in fs::read_dir(&fetch).map_err(cache::Error::at(&fetch))? {
            let archive = archive.map_err(cache::Error::at(&fetch))?.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                let mut dpkg = Command::new("dpkg");
                toolchain::run(dpkg.arg("-x").arg(archive).arg(folder)).map_err(failed)?;
            }
        }
        fs::remove_dir_all(&fetch).map_err(cache::Error::at(&fetch))?;
        Ok(())
    })
}

/// `apt-get` that would install `packages`, were it not told to do less.
fn install(packages: &[&str]) -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "-qq", "--no-install-recommends", "--no-remove"])
        // The system stays as it is, so nobody else's apt has to wait for this one.
        .args(["-o", "Debug::NoLocking=1"])
        .args(packages);
    apt
}

fn update() -> Result<(), toolchain::Error> {
    toolchain::run(Command::new("apt-get").args(["update", "-qq"])).map(drop)
}

/// The archive and its checksum, a line `'URL' ARCHIVE SIZE CHECKSUM` of a plan, in order.
fn archives(plan: &str) -> Vec<String> {
    let mut archives: Vec<_> = plan
        .lines()
        .filter(|line| line.starts_with('\''))
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            [words.get(1), words.get(3)]
                .into_iter()
                .flatten()
                .copied()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    archives.sort();
    archives
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_known_by_its_archives_whatever_their_order_and_mirror() {
        let one = "'http://a/r.deb' runc_1.1_amd64.deb 27 SHA256:aa\nE: no line of ours\n\
                   'http://a/c.deb' containerd_1%3a6_amd64.deb 259 SHA256:bb\n";
        let other = "'http://b/c.deb' containerd_1%3a6_amd64.deb 259 SHA256:bb\n\
                     'http://b/r.deb' runc_1.1_amd64.deb 27 SHA256:aa\n";
        assert_eq!(archives(one), archives(other));
        assert_eq!(
            archives(one),
            ["containerd_1%3a6_amd64.deb SHA256:bb", "runc_1.1_amd64.deb SHA256:aa"]
        );
    }

    #[test]
    fn what_the_machine_has_is_used_as_it_is() {
        let shell = Packaged { program: "sh", package: "no-such-package" };
        let programs = Programs::find("shell", &[shell]).unwrap();
        assert_eq!(programs.path("sh"), on_machine("sh").unwrap());
        assert!(programs.environment().iter().all(|(name, _)| *name != "LD_LIBRARY_PATH"));
    }
}
