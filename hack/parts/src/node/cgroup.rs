//! Control groups for the Pods of one node, on either version of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use crate::{
    clock,
    watchdog::{self, Charge},
};

const ROOT: &str = "/sys/fs/cgroup";
const PREFIX: &str = "trellis-node-";
/// What a kubelet limits and measures Pods with.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];
/// How long the kernel may take to empty the group of processes that were killed.
const EMPTYING: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there are no control groups in {ROOT}: mount them")]
    None,

    #[error("could not make a control group at {path}: are control groups writable?")]
    Make { path: PathBuf, source: io::Error },

    #[error(
        "could not have the control groups below {ROOT} control {controllers}: the first control \
         group of a container must have no processes of its own for that"
    )]
    Delegate { controllers: String, source: io::Error },

    #[error("could not have the watchdog remove the control groups")]
    Guard(#[source] io::Error),
}

/// An empty control group in every hierarchy; removed with all below it when dropped.
#[derive(Debug)]
pub(super) struct Cgroup {
    name: String,
    folders: Vec<PathBuf>,
}

impl Cgroup {
    pub(super) fn new() -> Result<Self, Error> {
        let hierarchies = hierarchies()?;
        sweep(&hierarchies);
        let mut cgroup = Self { name: format!("{PREFIX}{}", process::id()), folders: Vec::new() };
        for hierarchy in hierarchies {
            cgroup.make(&hierarchy)?;
        }
        Ok(cgroup)
    }

    /// As kubelet wants to be told, but for the slash that it begins with.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn make(&mut self, hierarchy: &Path) -> Result<(), Error> {
        let path = hierarchy.join(&self.name);
        let failed = |source| Error::Make { path: path.clone(), source };
        match fs::create_dir(&path) {
            // Two controllers of version 1 may share a hierarchy under two names.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(failed)?,
        }
        self.folders.push(path.clone());
        watchdog::guard(Charge::Cgroup(&path)).map_err(Error::Guard)?;
        // Version 1 gives a new group no processors, which keeps processes out.
        for knob in ["cpuset.cpus", "cpuset.mems"] {
            let from = hierarchy.join(knob);
            if from.exists() {
                let value = fs::read(&from).map_err(failed)?;
                fs::write(path.join(knob), value).map_err(failed)?;
            }
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            let gone = clock::poll(EMPTYING, || {
                remove(folder);
                (!folder.exists()).then_some(())
            });
            // What stays is left to the watchdog.
            if gone.is_some() {
                watchdog::release(Charge::Cgroup(folder)).ok();
            }
        }
    }
}

/// Why there can be no control groups here, if so.
pub(super) fn obstacle() -> Option<Error> {
    Cgroup::new().err()
}

/// The folders that have a control group each for one node: one of version 2, or one a controller.
fn hierarchies() -> Result<Vec<PathBuf>, Error> {
    let root = Path::new(ROOT);
    let unified = root.join("cgroup.controllers");
    if let Ok(available) = fs::read_to_string(unified) {
        delegate(root, &available)?;
        return Ok(vec![root.to_owned()]);
    }
    let entries = fs::read_dir(root).map_err(|_| Error::None)?;
    let mut hierarchies: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("cgroup.procs").exists())
        .collect();
    hierarchies.sort();
    if hierarchies.is_empty() { Err(Error::None) } else { Ok(hierarchies) }
}

/// Version 2 has groups control only what the group above hands down.
fn delegate(root: &Path, available: &str) -> Result<(), Error> {
    let path = root.join("cgroup.subtree_control");
    let handed = fs::read_to_string(&path).unwrap_or_default();
    let wanted: Vec<_> = CONTROLLERS
        .iter()
        .filter(|name| available.split_whitespace().any(|available| available == **name))
        .filter(|name| !handed.split_whitespace().any(|handed| handed == **name))
        .map(|name| format!("+{name}"))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let controllers = wanted.join(" ");
    fs::write(&path, &controllers).map_err(|source| Error::Delegate { controllers, source })
}

/// Removes what runs left behind whose watchdog was killed as well.
fn sweep(hierarchies: &[PathBuf]) {
    for entry in hierarchies.iter().filter_map(|path| fs::read_dir(path).ok()).flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            remove(&entry.path());
        }
    }
}

/// Removes a control group and those below it; those with processes stay.
fn remove(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    fs::remove_dir(cgroup).ok();
}
