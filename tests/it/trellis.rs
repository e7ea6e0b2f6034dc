//! The binary under test.
use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// How a run of `trellis` ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `trellis` in `folder`, with `stdin` as its standard input.
pub(crate) fn trellis(folder: &Path, args: &[&str], stdin: &str) -> Ended {
    trellis_with(folder, args, stdin, &[])
}

/// As [`trellis`], with these variables in its environment.
pub(crate) fn trellis_with(
    folder: &Path,
    args: &[&str],
    stdin: &str,
    variables: &[(&str, &Path)],
) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trellis"))
        .args(args)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who doesn't read its input may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
