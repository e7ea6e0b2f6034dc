//! The interfaces of well-known packages, to warn of typing mistakes.

/// Namespace, package, interfaces. A namespace that isn't here is somebody's own.
const KNOWN: &[(&str, &str, &[&str])] = &[
    ("wasi", "blobstore", &["blobstore", "container", "types"]),
    ("wasi", "config", &["runtime", "store"]),
    ("wasi", "http", &["incoming-handler", "outgoing-handler"]),
    ("wasi", "keyvalue", &["atomics", "batch", "store", "watch"]),
    ("wasi", "logging", &["logging"]),
    ("wasmcloud", "messaging", &["consumer", "handler", "types"]),
    ("wasmcloud", "postgres", &["managed-query", "prepared", "query", "types"]),
    ("wrpc", "blobstore", &["blobstore"]),
    ("wrpc", "http", &["incoming-handler", "outgoing-handler"]),
    ("wrpc", "keyvalue", &["atomics", "batch", "store"]),
];

/// What is known instead, if the package is known and the interface isn't, or the namespace is
/// WASI's and the package isn't.
pub(super) fn unknown(namespace: &str, package: &str, interface: &str) -> Option<String> {
    let of_namespace: Vec<_> = KNOWN.iter().filter(|(name, ..)| *name == namespace).collect();
    match of_namespace.iter().find(|(_, name, _)| *name == package) {
        Some((.., interfaces)) if interfaces.contains(&interface) => None,
        Some((.., interfaces)) => Some(interfaces.join(", ")),
        None if namespace != "wasi" => None,
        None => {
            let packages: Vec<_> =
                of_namespace.iter().map(|(_, package, _)| format!("wasi:{package}")).collect();
            Some(packages.join(", "))
        }
    }
}
