mod desired;
mod robust;
mod scaler;
mod targets;

use super::{Appfile, parse_document};

/// The Application of a YAML text.
fn app(yaml: &str) -> Appfile {
    parse_document(&serde_saphyr::from_str(yaml).unwrap(), "default").unwrap()
}

/// A sample of `config/samples`.
fn sample(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/samples");
    std::fs::read_to_string(format!("{folder}/{name}.yaml")).unwrap()
}
