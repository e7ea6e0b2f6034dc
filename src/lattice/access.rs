//! How a lattice's NATS is reached, and with what we prove who we are.
use std::{collections::BTreeMap, fmt, io, sync::Arc, time::Duration};

use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions};
use rustls::{
    AlertDescription as Alert, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

use super::fault::Fault;
use crate::model::NameError;

/// Where, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// As `nats://host:4222`; `tls://` asks for TLS.
    pub urls: Vec<String>,
    pub credentials: Credentials,
    /// What the subjects of answers begin with, where the account's permissions are narrow.
    pub inbox_prefix: Option<String>,
}

/// What proves who we are, and who they are; built from a Secret's data, and never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    identity: Identity,
    ca: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Default, PartialEq, Eq)]
enum Identity {
    #[default]
    None,
    Password {
        user: String,
        password: String,
    },
    Token(String),
    /// A user's seed.
    Nkey(String),
    /// A user's JWT and seed, as `nsc` writes them.
    Creds(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = match self.identity {
            Identity::None => "none",
            Identity::Password { .. } => "password",
            Identity::Token(_) => "token",
            Identity::Nkey(_) => "nkey",
            Identity::Creds(_) => "creds",
        };
        f.debug_struct("Credentials")
            .field("identity", &identity)
            .field("ca", &self.ca.is_some())
            .field("client", &self.client.is_some())
            .finish()
    }
}

/// Why credentials can't be used. None of these quotes a secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("{key} is not text")]
    NotText { key: &'static str },
    #[error("{has} is given without {lacks}")]
    Half { has: &'static str, lacks: &'static str },
    #[error("more than one identity is given: {}", .0.join(", "))]
    Several(Vec<&'static str>),
    #[error("{key} holds no certificate or key that can be read")]
    Pem { key: &'static str, source: Option<pem::Error> },
    #[error("creds is not a user's JWT and seed")]
    Creds(#[source] io::Error),
    #[error("nkey is not a user's seed")]
    Nkey(#[source] nkeys::error::Error),
    #[error("the certificates cannot be used")]
    Tls(#[source] rustls::Error),
}

impl Credentials {
    /// Reads a Secret's data: one of `user` and `password`, `token`, `nkey` and `creds`, and any
    /// of `ca.crt`, `tls.crt` and `tls.key`. Keys with other names are passed over.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, CredentialsError> {
        let text = |key: &'static str| match data.get(key).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => match std::str::from_utf8(value) {
                // An editor's last line break is no part of a password.
                Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(_) => Err(CredentialsError::NotText { key }),
            },
        };
        let password = match (text("user")?, text("password")?) {
            (None, None) => None,
            (Some(user), Some(password)) => Some(Identity::Password { user, password }),
            (Some(_), None) => {
                return Err(CredentialsError::Half { has: "user", lacks: "password" });
            }
            (None, Some(_)) => {
                return Err(CredentialsError::Half { has: "password", lacks: "user" });
            }
        };
        let mut given = [
            ("user", password),
            ("token", text("token")?.map(Identity::Token)),
            ("nkey", text("nkey")?.map(Identity::Nkey)),
            ("creds", text("creds")?.map(Identity::Creds)),
        ]
        .into_iter()
        .filter_map(|(name, identity)| Some((name, identity?)));
        let identity = match (given.next(), given.next()) {
            (None, _) => Identity::None,
            (Some((_, identity)), None) => identity,
            (Some((first, _)), Some((second, _))) => {
                let rest = given.map(|(name, _)| name);
                let names = [first, second].into_iter().chain(rest).collect();
                return Err(CredentialsError::Several(names));
            }
        };
        let bytes = |key: &str| data.get(key).filter(|value| !value.is_empty()).cloned();
        let client = match (bytes("tls.crt"), bytes("tls.key")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => {
                return Err(CredentialsError::Half { has: "tls.crt", lacks: "tls.key" });
            }
            (None, Some(_)) => {
                return Err(CredentialsError::Half { has: "tls.key", lacks: "tls.crt" });
            }
        };
        let credentials = Self { identity, ca: bytes("ca.crt"), client };
        // All that can be wrong is said now, and not at each attempt to connect.
        credentials.options(ConnectOptions::new())?;
        Ok(credentials)
    }

    /// The keys of a Secret that make up what `before` has and this lacks.
    #[must_use]
    pub fn lost(&self, before: &Self) -> Option<&'static str> {
        let lost = [
            (
                self.identity == Identity::None && before.identity != Identity::None,
                "user and password, token, nkey or creds",
            ),
            (self.ca.is_none() && before.ca.is_some(), "ca.crt"),
            (self.client.is_none() && before.client.is_some(), "tls.crt and tls.key"),
        ];
        lost.into_iter().find_map(|(lost, keys)| lost.then_some(keys))
    }

    fn options(&self, options: ConnectOptions) -> Result<ConnectOptions, CredentialsError> {
        let options = match &self.identity {
            Identity::None => options,
            Identity::Password { user, password } => {
                options.user_and_password(user.clone(), password.clone())
            }
            Identity::Token(token) => options.token(token.clone()),
            Identity::Nkey(seed) => {
                // async-nats finds out only when it connects, and then says little.
                nkeys::KeyPair::from_seed(seed).map_err(CredentialsError::Nkey)?;
                options.nkey(seed.clone())
            }
            Identity::Creds(creds) => {
                // The last line counts only with its end.
                let creds = format!("{creds}\n");
                options.credentials(&creds).map_err(CredentialsError::Creds)?
            }
        };
        Ok(match self.tls()? {
            Some(config) => options.tls_client_config(config).require_tls(true),
            None => options,
        })
    }

    /// A TLS setting of our own, from memory: async-nats itself takes only files.
    fn tls(&self) -> Result<Option<ClientConfig>, CredentialsError> {
        if self.ca.is_none() && self.client.is_none() {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        match &self.ca {
            // A CA that is given is the only one that is trusted.
            Some(ca) => {
                for certificate in certificates("ca.crt", ca)? {
                    roots.add(certificate).map_err(CredentialsError::Tls)?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(CredentialsError::Tls)?
            .with_root_certificates(roots);
        let config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| {
                    CredentialsError::Pem { key: "tls.key", source: Some(source) }
                })?;
                builder
                    .with_client_auth_cert(certificates("tls.crt", certificate)?, key)
                    .map_err(CredentialsError::Tls)?
            }
        };
        Ok(Some(config))
    }
}

fn certificates(
    key: &'static str,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let read = read.map_err(|source| CredentialsError::Pem { key, source: Some(source) })?;
    if read.is_empty() {
        return Err(CredentialsError::Pem { key, source: None });
    }
    Ok(read)
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("no NATS address is given")]
    NoAddress,
    #[error("the credentials cannot be used")]
    Credentials(#[source] CredentialsError),
    #[error("the lattice's name or prefix cannot stand in a subject")]
    Subject(#[source] NameError),
    /// Says it all in one line, its cause included.
    #[error("{}", said(.url, .error))]
    Connect { url: String, error: ConnectError },
    #[error("{url}: could not subscribe")]
    Subscribe {
        url: String,
        #[source]
        source: async_nats::SubscribeError,
    },
}

impl AccessError {
    /// What kind of fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoAddress | Self::Credentials(_) | Self::Subject(_) | Self::Subscribe { .. } => {
                Fault::Other
            }
            Self::Connect { url: _, error } => match error.kind() {
                ConnectErrorKind::Dns => Fault::NameUnknown,
                ConnectErrorKind::TimedOut => Fault::Unreachable,
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    Fault::Refused
                }
                ConnectErrorKind::Tls | ConnectErrorKind::Io => broken(error),
                ConnectErrorKind::ServerParse | ConnectErrorKind::MaxReconnects => Fault::Other,
            },
        }
    }
}

/// What stands behind an error of a connection that broke before it was one.
fn broken(error: &ConnectError) -> Fault {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = cause {
        // What an `io::Error` wraps is not its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = inner.map_or_else(|| error.downcast_ref(), |inner| inner.downcast_ref());
        if let Some(tls) = tls {
            return of_tls(tls);
        }
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.raw_os_error().is_some()
        {
            return Fault::Unreachable;
        }
        cause = error.source();
    }
    let text = chain(error).to_lowercase();
    if text.contains("authentication") || text.contains("authorization") {
        Fault::Refused
    } else if text.contains("expected info") || text.contains("invalid server operation") {
        Fault::NotNats
    } else {
        Fault::Other
    }
}

fn of_tls(error: &rustls::Error) -> Fault {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Fault::Untrusted
        }
        // What the server says of our certificate, or of our having none.
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError,
        ) => Fault::ClientCertificate,
        // Whatever came was no TLS.
        rustls::Error::InvalidMessage(_) => Fault::NoTls,
        _ => Fault::Other,
    }
}

/// The address and the reason in one line, as `nats://…: authorization violation`.
fn said(url: &str, error: &ConnectError) -> String {
    let reason = match error.kind() {
        ConnectErrorKind::AuthorizationViolation => "authorization violation".to_owned(),
        ConnectErrorKind::TimedOut => "timed out".to_owned(),
        // What it said instead may be another thing each time.
        ConnectErrorKind::Io if broken(error) == Fault::NotNats => {
            "does not answer as NATS does".to_owned()
        }
        ConnectErrorKind::ServerParse
        | ConnectErrorKind::Dns
        | ConnectErrorKind::Authentication
        | ConnectErrorKind::Tls
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => chain(error),
    };
    format!("{url}: {reason}")
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some of these print their cause themselves.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// How long one attempt may take; the next attempt is another's.
const CONNECT: Duration = Duration::from_secs(5);
/// After a lost connection, the longest pause between attempts of async-nats; the first that fails
/// ends them, and ours go on.
const RECONNECT: Duration = Duration::from_secs(4);

/// How often the server itself is asked whether it lives. After two that it leaves unanswered the
/// connection counts as lost: before any host would be given up for a silence that isn't its own.
const PING: Duration = Duration::from_secs(2);

impl Access {
    /// The options of a connection, but for what it reports.
    pub(super) fn options(&self, request: Duration) -> Result<ConnectOptions, AccessError> {
        let mut options = ConnectOptions::new()
            .name("trellis")
            .connection_timeout(CONNECT)
            .request_timeout(Some(request))
            .ping_interval(PING)
            .reconnect_delay_callback(|attempt| {
                let step = Duration::from_millis(100);
                step.saturating_mul(1 << attempt.min(6)).min(RECONNECT)
            });
        if let Some(prefix) = &self.inbox_prefix {
            options = options.custom_inbox_prefix(prefix);
        }
        self.credentials.options(options).map_err(AccessError::Credentials)
    }

    /// Connects once. The retries are the caller's: async-nats, doing its own, forgets why.
    pub(super) async fn connect(
        &self,
        options: ConnectOptions,
    ) -> Result<async_nats::Client, AccessError> {
        if self.urls.is_empty() {
            return Err(AccessError::NoAddress);
        }
        let connect = options.connect(self.urls.clone());
        connect.await.map_err(|error| AccessError::Connect { url: self.urls.join(","), error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(entries: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_cannot_be_used_is_said_without_quoting_it() {
        let cases: [(&[(&str, &str)], &str); 8] = [
            (&[("nkey", "SUNONSENSE")], "nkey is not a user's seed"),
            (&[("user", "u")], "user is given without password"),
            (&[("password", "u")], "password is given without user"),
            (&[("token", "t"), ("nkey", "n")], "more than one identity is given: token, nkey"),
            (&[("tls.crt", "x")], "tls.crt is given without tls.key"),
            (&[("ca.crt", "x")], "ca.crt holds no certificate or key that can be read"),
            (&[("creds", "hush")], "creds is not a user's JWT and seed"),
            (
                &[("tls.crt", "a"), ("tls.key", "b")],
                "tls.key holds no certificate or key that can be read",
            ),
        ];
        for (entries, expected) in cases {
            let error = Credentials::from_secret(&secret(entries)).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn credentials_print_without_what_they_hold() {
        let credentials = Credentials::from_secret(&secret(&[("token", "hush\n")])).unwrap();
        assert!(!format!("{credentials:?}").contains("hush"));
        assert_eq!(credentials.identity, Identity::Token("hush".into()));
    }

    impl fmt::Debug for Identity {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an identity")
        }
    }
}
