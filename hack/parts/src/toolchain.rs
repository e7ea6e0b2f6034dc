//! The compilers that a machine is expected to have.

use std::{
    env, io,
    path::PathBuf,
    process::{Command, Stdio},
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{tool} was not found: install {install}")]
    Missing { tool: &'static str, install: &'static str },

    #[error("could not run {command}")]
    Run { command: String, source: io::Error },

    #[error("{command} failed:\n{output}")]
    Failed { command: String, output: String },
}

/// How many lines of a failed compiler's output say what went wrong.
const TAIL: usize = 40;

/// A tool and the words that get it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    name: &'static str,
    install: &'static str,
}

pub(crate) const GO: Tool = Tool { name: "go", install: "Go 1.26 or newer" };
pub(crate) const CARGO: Tool = Tool { name: "cargo", install: "Rust 1.95 or newer" };
pub(crate) const RUSTC: Tool = Tool { name: "rustc", install: "Rust 1.95 or newer" };
/// Comes with the C library.
pub(crate) const LDD: Tool = Tool { name: "ldd", install: "a Linux with glibc, to make images on" };
/// Crates of the host compile a little C.
pub(crate) const CC: Tool = Tool { name: "cc", install: "a C compiler, such as gcc or clang" };

impl Tool {
    /// Where it is on the `PATH`.
    pub(crate) fn find(self) -> Result<PathBuf, Error> {
        find(self.name).ok_or(Error::Missing { tool: self.name, install: self.install })
    }

    /// What identifies its version, for cache keys.
    pub(crate) fn version(self, argument: &str) -> Result<String, Error> {
        run(Command::new(self.find()?).arg(argument))
    }
}

/// The first program called `name` on the `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Runs `command` to its end; what it printed on standard output.
pub fn run(command: &mut Command) -> Result<String, Error> {
    let text = format!("{command:?}");
    match command.stdin(Stdio::null()).output() {
        Err(source) => Err(Error::Run { command: text, source }),
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            let printed = String::from_utf8_lossy(&output.stderr).into_owned();
            let lines: Vec<_> = printed.lines().collect();
            let output = lines[lines.len().saturating_sub(TAIL)..].join("\n");
            Err(Error::Failed { command: text, output })
        }
    }
}
