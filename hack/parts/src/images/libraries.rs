//! What a program is linked with.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::Error;
use crate::toolchain;

/// The architecture that `program` is for, as images name it.
///
/// `path` is only for the error. The two bytes are the machine of an ELF header.
pub(super) fn architecture(path: &Path, program: &[u8]) -> Result<&'static str, Error> {
    match (program.get(..4), program.get(18..20)) {
        (Some(b"\x7fELF"), Some([62, 0])) => Ok("amd64"),
        (Some(b"\x7fELF"), Some([183, 0])) => Ok("arm64"),
        _ => Err(Error::NotLinux(path.to_owned())),
    }
}

/// The shared libraries of `program` and its loader, where this machine has them. None if it is
/// linked statically.
pub(super) fn of(program: &Path, architecture: &'static str) -> Result<Vec<PathBuf>, Error> {
    let here = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if architecture != here {
        return Err(Error::OtherMachine { program: program.to_owned(), architecture });
    }
    let mut ldd = Command::new(toolchain::LDD.find()?);
    ldd.arg(program)
        .env("LC_ALL", "C")
        // In the image nothing points to other places.
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("LD_PRELOAD");
    match toolchain::run(&mut ldd) {
        Ok(said) => parse(program, &said),
        Err(toolchain::Error::Failed { output, .. })
            if output.contains("not a dynamic executable") =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
    }
}

/// The paths in what `ldd` says, a line `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)` for the
/// loader; what has no path is the kernel's.
fn parse(program: &Path, said: &str) -> Result<Vec<PathBuf>, Error> {
    let lines = said.lines().filter_map(|line| {
        let line = line.trim();
        if let Some(library) = line.strip_suffix(" => not found") {
            return Some(Err(Error::NoLibrary {
                program: program.to_owned(),
                library: library.to_owned(),
            }));
        }
        let (name, _address) = line.rsplit_once(" (")?;
        let path = name.split_once(" => ").map_or(name, |(_, path)| path);
        path.starts_with('/').then(|| Ok(path.into()))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_found_in_what_ldd_says() {
        let said = "\tlinux-vdso.so.1 (0x00007f84a842b000)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f84a253e000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f84a842d000)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        let program = Path::new("program");
        assert_eq!(parse(program, said).unwrap(), expected.map(PathBuf::from));
        assert_eq!(parse(program, "\tstatically linked\n").unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_library_that_is_lacking_is_named() {
        let error = parse(Path::new("/bin/x"), "\tlibfoo.so.1 => not found\n").unwrap_err();
        assert_eq!(error.to_string(), "/bin/x needs libfoo.so.1, which this machine doesn't have");
    }
}
