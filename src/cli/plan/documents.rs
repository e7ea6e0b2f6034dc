//! Reading manifests: YAML, several documents a file.
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::yaml;
use crate::{
    api::{Lattice, LatticeSpec},
    appfile::{self, Appfile, MAX_BYTES},
    cli::Failure,
    model::LatticeName,
};

/// What an Application without a namespace is in, as with `kubectl`.
const NAMESPACE: &str = "default";
/// The largest file that is read: eight of the largest Applications.
pub(super) const MAX_FILE: usize = 8 * MAX_BYTES;

/// What the files hold.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// In order, each with its file.
    pub(super) applications: Vec<(String, Appfile)>,
    pub(super) lattices: BTreeMap<LatticeName, Lattice>,
}

impl Documents {
    /// What to mind about the Applications, with their files.
    pub(super) fn warnings(&self) -> Vec<String> {
        let of = |(file, app): &(String, Appfile)| -> Vec<String> {
            app.warnings.iter().map(|warning| format!("{file}: warning: {warning}")).collect()
        };
        self.applications.iter().flat_map(of).collect()
    }
}

/// Reads all files, and refuses them with everything that is wrong in any.
pub(super) fn read(files: &[PathBuf]) -> Result<Documents, Failure> {
    if files.iter().filter(|path| is_standard_input(path)).count() > 1 {
        return Err(Failure::Failed("standard input can be read once: give - once".into()));
    }
    let mut documents = Documents::default();
    let mut refused = Vec::new();
    for path in files {
        let text = read_file(path)?;
        let mut file =
            File { name: display(path), documents: &mut documents, refused: &mut refused };
        file.read(&text);
    }
    if !refused.is_empty() {
        return Err(Failure::Refused(refused));
    }
    if documents.applications.is_empty() {
        return Err(Failure::Failed("there is no Application in these files".into()));
    }
    Ok(documents)
}

fn display(path: &Path) -> String {
    if is_standard_input(path) { "standard input".into() } else { path.display().to_string() }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    // One byte more tells that it is too large; more than that is never held.
    let most = MAX_FILE as u64 + 1;
    let mut bytes = Vec::new();
    let read = if is_standard_input(path) {
        io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map(|_| bytes).map_err(|error| Failure::because(display(path), error))
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

struct File<'a> {
    name: String,
    documents: &'a mut Documents,
    refused: &'a mut Vec<String>,
}

impl File<'_> {
    fn read(&mut self, bytes: &[u8]) {
        if bytes.len() > MAX_FILE {
            return self.refuse(
                "file",
                &format!("is larger than {} MiB", MAX_FILE / (1024 * 1024)),
                "split it into several",
            );
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.refuse("file", "is not UTF-8", "write it as YAML or JSON in UTF-8");
        };
        let documents = match yaml::read(text) {
            Ok(documents) => documents,
            Err(error) => return self.refuse(&error.at, &error.wrong, error.todo),
        };
        if documents.is_empty() {
            self.refuse("file", "is empty", "write an Application");
        }
        for document in &documents {
            self.document(document);
        }
    }

    fn document(&mut self, document: &Value) {
        match document.get("kind").and_then(Value::as_str) {
            Some("Lattice") => self.lattice(document),
            Some("Application") | None => self.application(document),
            Some(kind) => self.refuse(
                "kind",
                &format!("{kind:?} is not read here"),
                "leave out all but Applications and Lattices",
            ),
        }
    }

    fn application(&mut self, document: &Value) {
        match appfile::parse_document(document, NAMESPACE) {
            Ok(app) => self.documents.applications.push((self.name.clone(), app)),
            Err(problems) => self.refuse_all(&problems),
        }
    }

    fn lattice(&mut self, document: &Value) {
        let name = document.pointer("/metadata/name").and_then(Value::as_str);
        let name: LatticeName = match name.map(str::parse) {
            Some(Ok(name)) => name,
            Some(Err(error)) => {
                return self.refuse("metadata.name", &error.to_string(), "use letters and digits");
            }
            None => return self.refuse("metadata.name", "is missing", "give it a name"),
        };
        if name.as_str() == "local" {
            let wrong = "local is the default lattice's other name";
            return self.refuse("metadata.name", wrong, "choose another");
        }
        let spec = document.get("spec").cloned().unwrap_or_default();
        let mut unknown = Vec::new();
        let mut note = |path: serde_ignored::Path<'_>| unknown.push(format!("spec.{path}"));
        let spec = serde_ignored::Deserializer::new(spec, &mut note);
        let spec: LatticeSpec = match serde_path_to_error::deserialize(spec) {
            Ok(spec) => spec,
            Err(error) => {
                let path = format!("spec.{}", error.path());
                let wrong = error.inner().to_string();
                let todo = "compare it with what `trellis crds` prints";
                return self.refuse(path.trim_end_matches('.'), &wrong, todo);
            }
        };
        for path in unknown {
            // As kubectl does, which asks the API server to refuse what it would drop.
            self.refuse(&path, "is an unknown field", "compare it with what `trellis crds` prints");
        }
        let mut lattice = Lattice::new(name.as_str(), spec);
        let labels = document.pointer("/metadata/labels").cloned();
        lattice.metadata.labels = labels.and_then(|labels| serde_json::from_value(labels).ok());
        if self.documents.lattices.insert(name, lattice).is_some() {
            self.refuse("metadata.name", "is the name of an earlier Lattice", "remove one");
        }
    }

    fn refuse(&mut self, path: &str, wrong: &str, todo: &str) {
        self.refused.push(format!("{}: {path}: {wrong}; {todo}", self.name));
    }

    fn refuse_all(&mut self, problems: &appfile::Problems) {
        for problem in problems.iter() {
            self.refused.push(format!("{}: {problem}", self.name));
        }
        if problems.omitted() > 0 {
            let wrong = format!("{} more problems", problems.omitted());
            self.refuse("file", &wrong, "mend those above first");
        }
    }
}
