//! `generate TRELLIS` writes the files that are made from others; `generate --check TRELLIS` fails
//! where one is not what would be written. `TRELLIS` is the operator's program.
//!
//! ```text
//! src/api ──trellis crds──▶ config/crds, charts/trellis/files
//! charts/trellis ──helm template──▶ config/rbac, config/manager
//!                └─values and their schema──▶ the table in docs/install.md
//! ```

mod values;

use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use parts::{chain, programs, toolchain};

const CRDS: [&str; 2] = ["config/crds/trellis.yaml", "charts/trellis/files/crds.yaml"];
/// Which templates of the chart each file for kustomize is made of.
const RENDERED: [(&str, &[&str]); 2] = [
    ("config/rbac/rbac.yaml", &["serviceaccount", "rbac", "users"]),
    ("config/manager/manager.yaml", &["deployment", "disruption"]),
];
const INSTALL: &str = "docs/install.md";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("usage: generate [--check] TRELLIS")]
    Usage,
    #[error(transparent)]
    Programs(#[from] programs::Error),
    #[error(transparent)]
    Ran(#[from] toolchain::Error),
    #[error("{}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("charts/trellis")]
    Values(#[from] values::Error),
    #[error("not what is made from the code and the chart; run make generate:{0}")]
    Differs(Differences),
}

#[derive(Debug)]
struct Differences(Vec<&'static str>);

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|path| write!(f, "\n  {path}"))
    }
}

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Error> {
    let (check, trellis) = match arguments {
        [trellis] => (false, trellis),
        [flag, trellis] if flag == "--check" => (true, trellis),
        _ => return Err(Error::Usage),
    };
    let mut differ = Vec::new();
    for (path, made) in made(Path::new(trellis))? {
        if read(path).ok().as_ref() == Some(&made) {
            continue;
        }
        differ.push(path);
        if !check {
            write(path, &made)?;
        }
    }
    if check && !differ.is_empty() {
        return Err(Error::Differs(Differences(differ)));
    }
    Ok(())
}

/// Each file with what belongs there.
fn made(trellis: &Path) -> Result<Vec<(&'static str, String)>, Error> {
    let crds = toolchain::run(Command::new(trellis).arg("crds"))?;
    let mut made: Vec<_> = CRDS.map(|path| (path, crds.clone())).into();
    for (path, templates) in RENDERED {
        made.push((path, rendered(templates)?));
    }
    let table = values::table(
        &read("charts/trellis/values.schema.json")?,
        &read("charts/trellis/values.yaml")?,
    )?;
    made.push((INSTALL, values::put_table(&read(INSTALL)?, &table)?));
    Ok(made)
}

/// What the chart is without any values but for the image's name, which kustomize replaces.
fn rendered(templates: &[&str]) -> Result<String, Error> {
    let mut helm = Command::new(programs::helm()?);
    helm.args(["template", "trellis"]).arg(root().join("charts/trellis")).args([
        "--namespace",
        "trellis-system",
        "--set",
        "image.repository=trellis",
    ]);
    for template in templates {
        helm.args(["--show-only", &format!("templates/{template}.yaml")]);
    }
    Ok(toolchain::run(&mut helm)?)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> Result<String, Error> {
    let path = root().join(path);
    fs::read_to_string(&path).map_err(|source| Error::File { path, source })
}

fn write(path: &str, text: &str) -> Result<(), Error> {
    let path = root().join(path);
    fs::write(&path, text).map_err(|source| Error::File { path, source })
}
