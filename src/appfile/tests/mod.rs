mod desired;
mod robust;
mod scaler;
mod secrets;
mod targets;

use super::{Appfile, parse_document};

/// The Application of a YAML text.
fn app(yaml: &str) -> Appfile {
    parse_document(&serde_saphyr::from_str(yaml).unwrap(), "default").unwrap()
}

/// A sample of `config/samples`.
fn sample(name: &str) -> String {
    read(&format!("config/samples/{name}.yaml"))
}

/// A file of the repository.
fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
