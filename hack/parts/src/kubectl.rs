//! `kubectl` against one cluster.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use crate::programs;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not get kubectl")]
    Program(#[from] programs::Error),

    #[error("could not run kubectl {arguments}")]
    Run { arguments: String, source: io::Error },

    #[error("kubectl {arguments} failed: {stderr}")]
    Failed { arguments: String, stderr: String },
}

/// A way to one cluster, as one user.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    /// `cache` is a folder for what it learns of the cluster's types; never the user's own.
    pub fn new(kubeconfig: &Path, cache: &Path) -> Result<Self, Error> {
        Ok(Self {
            program: programs::kubectl()?,
            kubeconfig: kubeconfig.to_owned(),
            cache: cache.to_owned(),
        })
    }

    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs `kubectl` with `arguments`, gives it `stdin`, and returns what it prints. An exit
    /// status other than 0 is an error that quotes its standard error.
    pub fn run(&self, arguments: &[&str], stdin: Option<&str>) -> Result<String, Error> {
        let ran = |source| Error::Run { arguments: arguments.join(" "), source };
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(ran)?;
        let pipe = child.stdin.take();
        let output = thread::scope(|scope| {
            // Aside, so that neither of the two waits for the other with a full pipe.
            scope.spawn(move || {
                if let (Some(mut pipe), Some(text)) = (pipe, stdin) {
                    // A kubectl that ends early says why on its standard error.
                    pipe.write_all(text.as_bytes()).ok();
                }
            });
            child.wait_with_output()
        })
        .map_err(ran)?;
        if !output.status.success() {
            return Err(Error::Failed {
                arguments: arguments.join(" "),
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
