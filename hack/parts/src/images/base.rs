//! What every image of ours has beside its program.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{Error, Root};

/// Where programs look for the certificates of authorities first.
pub(super) const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Where distributions keep them: Debian and Alpine, Fedora, SUSE, others.
const CERTIFICATES_OF_MACHINES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// One user, so that a process has a name, and where host names are looked up: older C libraries
/// would ask DNS before `/etc/hosts` without being told.
pub(super) fn root() -> Root {
    Root::default()
        .and_file("etc/passwd", 0o644, "nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")
        .and_file("etc/group", 0o644, "nonroot:x:65532:\n")
        .and_file("etc/nsswitch.conf", 0o644, "hosts: files dns\n")
}

/// The authorities that this machine trusts, which are then trusted in the image.
pub(super) fn certificates() -> Result<Vec<u8>, Error> {
    let file = match env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        Some(file) => PathBuf::from(file),
        None => CERTIFICATES_OF_MACHINES
            .iter()
            .map(Path::new)
            .find(|path| path.is_file())
            .ok_or(Error::NoCertificates)?
            .to_owned(),
    };
    fs::read(&file).map_err(Error::at(&file))
}
