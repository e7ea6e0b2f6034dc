//! Reading manifests: YAML, several documents a file.
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    api::{Lattice, LatticeSpec},
    appfile::{self, Appfile, MAX_BYTES},
    cli::Failure,
    model::LatticeName,
};

/// What an Application without a namespace is in, as with `kubectl`.
const NAMESPACE: &str = "default";
/// The largest file that is read: eight of the largest Applications.
const MAX_FILE: usize = 8 * MAX_BYTES;
/// Deeper than any Application may be, so that it is `appfile` that says so with its path.
const MAX_YAML_DEPTH: usize = 100;

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
    if path == Path::new("-") { "standard input".into() } else { path.display().to_string() }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    read.map_err(|error| Failure::because(display(path), error))
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
        let documents: Vec<Value> = match serde_saphyr::from_multiple_with_options(text, options())
        {
            Ok(documents) => documents,
            Err(error) => return self.not_yaml(&error),
        };
        let mut documents = documents.into_iter().filter(|document| !document.is_null()).peekable();
        if documents.peek().is_none() {
            self.refuse("file", "is empty", "write an Application");
        }
        for document in documents {
            self.document(&document);
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
        let spec: LatticeSpec = match serde_path_to_error::deserialize(spec) {
            Ok(spec) => spec,
            Err(error) => {
                let path = format!("spec.{}", error.path());
                let wrong = error.inner().to_string();
                let todo = "compare it with what `trellis crds` prints";
                return self.refuse(path.trim_end_matches('.'), &wrong, todo);
            }
        };
        let mut lattice = Lattice::new(name.as_str(), spec);
        let labels = document.pointer("/metadata/labels").cloned();
        lattice.metadata.labels = labels.and_then(|labels| serde_json::from_value(labels).ok());
        if self.documents.lattices.insert(name, lattice).is_some() {
            self.refuse("metadata.name", "is the name of an earlier Lattice", "remove one");
        }
    }

    fn not_yaml(&mut self, error: &serde_saphyr::Error) {
        let path = match error.location() {
            Some(at) => format!("line {}, column {}", at.line(), at.column()),
            None => "file".into(),
        };
        let (wrong, todo) = why_not_yaml(error);
        self.refuse(&path, &wrong, todo);
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

/// What is wrong with the YAML, without the library's own terms, and what to do.
fn why_not_yaml(error: &serde_saphyr::Error) -> (String, &'static str) {
    use serde_saphyr::{Error, budget::BudgetBreach};
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => why_not_yaml(error),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            ("is nested too deeply to be read".into(), "write it flatter")
        }
        Error::Budget { .. } => {
            ("has too many values or aliases to be read".into(), "split it into several files")
        }
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("has the key {key} twice"), "remove one")
        }
        other => {
            let text = other.to_string();
            let text = text.split(" at line ").next().unwrap_or_default();
            let text = text.lines().next().unwrap_or_default();
            (format!("is not YAML: {text}"), "check indentation, quotes and brackets there")
        }
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_YAML_DEPTH,
            max_total_scalar_bytes: MAX_FILE,
        },
    }
}
