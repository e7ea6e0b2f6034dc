//! What keeps a lattice from being used → the reason of its conditions, and what to do. Pure.
use super::settings::SettingsError;
use crate::{
    api::Lattice,
    controller::chain,
    lattice::{
        fault::{Fault, Permission},
        inventory::Health,
    },
};

/// So many permissions are listed; a server that refuses more lacks them all.
const LISTED: usize = 20;
/// What NATS has to grant us, and why.
const PERMISSIONS: &str = "docs/nats-permissions.md";

/// A cause with a name of its own, and a sentence that says what is, where, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub reason: &'static str,
    pub message: String,
}

impl Trouble {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// A `Lattice` that nobody can watch as it is written.
#[must_use]
pub(super) fn of_settings(error: &SettingsError) -> Trouble {
    let reason = match error {
        SettingsError::Name(_) => "NameInvalid",
        SettingsError::Duration { .. } => "DurationInvalid",
        SettingsError::Twin { .. } => "DuplicateLattice",
        SettingsError::Credentials { .. } => "CredentialsUnusable",
        SettingsError::NoSecret { .. } => "SecretNotFound",
        SettingsError::ForbiddenSecret { .. } => "SecretForbidden",
        SettingsError::LostKeys { .. } => "SecretIncomplete",
    };
    Trouble::new(reason, chain(error))
}

/// No connection, and `why` in the connection's own words.
#[must_use]
pub(super) fn of_connection(lattice: &Lattice, fault: Fault, why: &str) -> Trouble {
    let secret = lattice.spec.nats.credentials_secret.as_ref().map(|secret| secret.name.as_str());
    let (reason, advice) = match (fault, secret) {
        (Fault::NameUnknown, _) => {
            ("ServerNotFound", "the name does not resolve; mend spec.nats.urls".into())
        }
        (Fault::Unreachable, _) => (
            "ServerUnreachable",
            "nobody answers there; start NATS, mend spec.nats.urls, or let the operator through \
             what filters its traffic"
                .into(),
        ),
        (Fault::NotNats, _) => (
            "NotNats",
            "this is not the clients' port of a NATS server; mend spec.nats.urls".into(),
        ),
        (Fault::Untrusted, Some(secret)) => (
            "CertificateNotTrusted",
            format!(
                "put the certificate of the authority that signed the server's into ca.crt of \
                 Secret {secret}, and a name into spec.nats.urls that the server's certificate has"
            ),
        ),
        (Fault::Untrusted, None) => (
            "CertificateNotTrusted",
            "put the certificate of the authority that signed the server's into ca.crt of a \
             Secret, and name that in spec.nats.credentialsSecret"
                .into(),
        ),
        (Fault::NoTls, _) => (
            "TlsNotOffered",
            "the server has no TLS there; give it a certificate, or ask for none: no tls:// \
             address, no spec.nats.tls.required, no ca.crt, tls.crt or tls.key"
                .into(),
        ),
        (Fault::ClientCertificate, secret) => (
            "ClientCertificateRejected",
            format!(
                "the server asks for a client certificate that it trusts; put one into tls.crt \
                 and tls.key of {}",
                secret_or_new(secret)
            ),
        ),
        (Fault::Refused, Some(secret)) => (
            "CredentialsRejected",
            format!("the server does not know who Secret {secret} says we are; mend that"),
        ),
        (Fault::Refused, None) => (
            "CredentialsMissing",
            "the server asks who we are; put credentials into a Secret, and name that in \
             spec.nats.credentialsSecret"
                .into(),
        ),
        (Fault::Untried, _) => return Trouble::new("Connecting", why),
        (Fault::Other, _) => return Trouble::new("Disconnected", why),
    };
    Trouble::new(reason, format!("{why}: {advice}"))
}

fn secret_or_new(secret: Option<&str>) -> String {
    match secret {
        Some(secret) => format!("Secret {secret}"),
        None => "a Secret, and name that in spec.nats.credentialsSecret".into(),
    }
}

/// Connected, and NATS keeps from us what we need.
#[must_use]
pub(super) fn of_permissions(health: &Health) -> Option<Trouble> {
    if health.refused.is_empty() {
        return None;
    }
    let listed = health.refused.iter().take(LISTED).map(Permission::to_string);
    let message = format!(
        "the NATS user may not {}; grant that, as {PERMISSIONS} says",
        listed.collect::<Vec<_>>().join(", ")
    );
    Some(Trouble::new("PermissionDenied", message))
}

/// Connected, and nobody there to run anything.
#[must_use]
pub(super) fn of_hosts(lattice: &Lattice, health: &Health) -> Option<Trouble> {
    if !health.hosts.is_empty() {
        return None;
    }
    if !health.unsupported.is_empty() {
        let message = "all hosts are older than 1.0 and are not commanded; upgrade them";
        return Some(Trouble::new("HostsTooOld", message));
    }
    if !health.jetstream {
        let message = "no host answers, and the NATS server has no JetStream, without which no \
                       host can start; turn JetStream on, or mend spec.nats.urls";
        return Some(Trouble::new("JetStreamMissing", message));
    }
    let (name, prefix) = (&lattice.spec.lattice, &lattice.spec.control_prefix);
    let message = format!(
        "no host answers on {prefix}.v1.{name}.host.ping; start wasmCloud hosts of lattice {name} \
         on this NATS account, or mend spec.lattice and spec.controlPrefix"
    );
    Some(Trouble::new("NoHosts", message))
}
