//! Image references as hosts repeat them.

/// Whether `shown`, from an inventory, is the image that was asked for as `wanted`.
///
/// Hosts repeat builtin and file references without their scheme, and some of the latter without
/// their first slash; everything else comes back as it was sent.
pub(super) fn same(wanted: &str, shown: &str) -> bool {
    wanted == shown || bare(wanted) == bare(shown)
}

/// Whether the host itself has this provider built in.
pub(super) fn is_builtin(image: &str) -> bool {
    image.starts_with(BUILTIN)
}

const BUILTIN: &str = "wasmcloud+builtin://";
const FILE: &str = "file://";

fn bare(image: &str) -> &str {
    let image = image.strip_prefix(BUILTIN).unwrap_or(image);
    image.strip_prefix(FILE).unwrap_or(image).trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_drops_the_scheme_of_builtin_and_file_references() {
        let cases = [
            ("wasmcloud+builtin://http-server", "http-server", true),
            ("file:///lab/x.par.gz", "/lab/x.par.gz", true),
            ("file://lab/x.par.gz", "lab/x.par.gz", true),
            ("file:///x.par.gz", "x.par.gz", true),
            ("ghcr.io/a/b:1", "ghcr.io/a/b:1", true),
            ("ghcr.io/a/b:1", "ghcr.io/a/b:2", false),
            ("wasmcloud+builtin://http-server", "messaging-nats", false),
        ];
        for (wanted, shown, expected) in cases {
            assert_eq!(same(wanted, shown), expected, "{wanted} shown as {shown}");
        }
    }
}
