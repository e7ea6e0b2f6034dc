use std::sync::Arc;

use super::{cursor::At, suggest::quote};
use crate::model::WorkloadKind;

const BUILTIN: &str = "wasmcloud+builtin://";
const FILE: &str = "file://";
const EXAMPLE: &str = "write it as registry/path:tag or registry/path@sha256:digest";

/// A reference that hosts can fetch: OCI, a file on the host, or a provider built into it.
pub(super) fn parse(at: &At, kind: WorkloadKind) -> Option<Arc<str>> {
    let text = at.text()?;
    if let Some((wrong, todo)) = wrong(text, kind) {
        at.problem(format!("{} {wrong}", quote(text)), todo);
        return None;
    }
    if names_no_version(text) {
        at.warning(
            format!("{} names no version", quote(text)),
            "add a tag or a digest (hosts refuse latest unless they are told to allow it)",
        );
    }
    Some(text.into())
}

fn wrong(text: &str, kind: WorkloadKind) -> Option<(String, &'static str)> {
    if let Some(builtin) = text.strip_prefix(BUILTIN) {
        return match kind {
            WorkloadKind::Component => {
                Some(("is a provider of the host".into(), "use it in a capability"))
            }
            WorkloadKind::Provider if builtin.is_empty() => {
                Some(("names no builtin provider".into(), "write wasmcloud+builtin://http-server"))
            }
            WorkloadKind::Provider => None,
        };
    }
    if let Some(path) = text.strip_prefix(FILE) {
        return (!path.starts_with('/') || path.len() < 2).then(|| {
            ("is not an absolute path".into(), "write file:/// and the path on the host")
        });
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Some((format!("begins with {}", quote(scheme)), "leave out the scheme and ://"));
    }
    not_oci(text).map(|wrong| (format!("is not an image reference: {wrong}"), EXAMPLE))
}

/// Whether it is a provider that is part of the host.
pub(super) fn is_builtin(image: &str) -> bool {
    image.starts_with(BUILTIN)
}

/// Checks against the grammar of references that registries share
/// (<https://github.com/distribution/reference>, `reference.go`).
fn not_oci(text: &str) -> Option<&'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Some("after @ there must be an algorithm, a colon and hexadecimal digits");
    }
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (path, tag) = match rest[last..].find(':') {
        Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
        None => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Some("its tag must be letters, digits, - _ and ., at most 128");
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    if parts.len() > 1 && is_registry(parts[0]) {
        parts.remove(0);
    }
    if parts.iter().any(|part| part.is_empty()) {
        return Some("a part of its path is empty");
    }
    if path.chars().any(|c| c.is_ascii_uppercase()) && parts.iter().any(|part| !is_path(part)) {
        return Some("its path must be in lower case");
    }
    (!parts.iter().all(|part| is_path(part)))
        .then_some("its path must be lower-case letters, digits, - _ and . between them")
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty()
            && algorithm.chars().all(|c| c.is_ascii_alphanumeric() || "+._-".contains(c))
            && hex.len() >= 32
            && hex.chars().all(|c| c.is_ascii_hexdigit())
    })
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Whether the first part of a path is a registry, as all clients tell it: it has a dot or a port,
/// or is `localhost`.
fn is_registry(first: &str) -> bool {
    let (host, port) = match first.rsplit_once(':') {
        Some((host, digits)) => (host, Some(digits)),
        None => (first, None),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-[]:".contains(c);
    !host.is_empty()
        && host.chars().all(plain)
        && port.is_none_or(|port| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()))
        && (port.is_some() || host.contains('.') || host == "localhost")
}

fn is_path(part: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(edge)
        && part.ends_with(edge)
        && part.chars().all(|c| edge(c) || "._-".contains(c))
}

fn names_no_version(text: &str) -> bool {
    if is_builtin(text) || text.starts_with(FILE) || text.contains('@') {
        return false;
    }
    let last = text.rfind('/').map_or(text, |slash| &text[slash + 1..]);
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_hosts_can_fetch_are_taken() {
        for text in [
            "ghcr.io/wasmcloud/components/http-hello-world-rust:0.1.0",
            "localhost:5000/hello:v1",
            "10.0.0.1:5000/a_b/c.d:V1-RC",
            "hello:1",
            "registry.example.com/a/b@sha256:0123456789abcdef0123456789abcdef",
            "registry.example.com/a:1@sha256:0123456789abcdef0123456789abcdef",
            "file:///opt/hello.wasm",
        ] {
            assert_eq!(wrong(text, WorkloadKind::Component), None, "{text}");
        }
        assert_eq!(wrong("wasmcloud+builtin://http-server", WorkloadKind::Provider), None);
    }

    #[test]
    fn what_no_host_can_fetch_is_refused() {
        for text in [
            "oci://ghcr.io/a/b:1",
            "https://example.com/a.wasm",
            "file://relative.wasm",
            "ghcr.io/Upper/case:1",
            "ghcr.io//a:1",
            "ghcr.io/a:",
            "ghcr.io/a b:1",
            "ghcr.io/a:1@sha256:short",
            "wasmcloud+builtin://http-server",
        ] {
            assert!(wrong(text, WorkloadKind::Component).is_some(), "{text}");
        }
    }

    #[test]
    fn a_reference_without_a_version_is_told_from_one_with_a_port() {
        assert!(names_no_version("localhost:5000/hello"));
        assert!(names_no_version("ghcr.io/a/hello:latest"));
        assert!(!names_no_version("localhost:5000/hello:1"));
        assert!(!names_no_version("hello@sha256:0123456789abcdef0123456789abcdef"));
    }
}
