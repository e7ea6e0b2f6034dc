//! The ways in which a server can ask who connects, set up on both sides.

use std::path::PathBuf;

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{Error, jwt};
use crate::{
    Scratch,
    pki::{Authority, Identity},
};

/// How the server knows its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Everybody may connect.
    #[default]
    None,
    /// One user with a password.
    Password,
    /// One token that all share.
    Token,
    /// One user who proves to have a key.
    NKey,
    /// An operator with one account, whose users have a token signed by it.
    Jwt,
    /// Everybody may connect, encrypted; the server's certificate is of an authority of its own.
    Tls,
    /// As [`Auth::Tls`], for clients with a certificate of the same authority.
    MutualTls,
}

/// What a client needs to be let in. `None` where the server doesn't ask for it.
#[derive(Clone, Debug, Default)]
pub struct Client {
    pub url: String,
    pub user: Option<String>,
    pub password: Option<String>,
    pub token: Option<String>,
    /// The seed of the user's key, `SU…`.
    pub nkey_seed: Option<String>,
    /// A file with the user's token and seed, as `nsc` writes it.
    pub credentials: Option<PathBuf>,
    /// The certificate of the authority that signed the server's.
    pub authority: Option<PathBuf>,
    pub identity: Option<Identity>,
}

/// A user with a password who may publish and subscribe only to these subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: String,
    pub publish: Vec<String>,
    pub subscribe: Vec<String>,
}

/// Who shows nothing is this one, and may do all.
const EVERYBODY: &str = "everybody";

/// Lets in `users`, with what each may do, and everybody else as one who may do all.
pub(super) fn limit(config: &mut Value, users: &[User]) {
    let limited = |user: &User| {
        json!({
            "user": user.name,
            "password": user.password,
            "permissions": { "publish": user.publish, "subscribe": user.subscribe },
        })
    };
    let everybody = json!({ "user": EVERYBODY, "password": EVERYBODY });
    let users: Vec<_> = users.iter().map(limited).chain([everybody]).collect();
    config["authorization"] = json!({ "users": users });
    config["no_auth_user"] = json!(EVERYBODY);
}

impl Auth {
    /// The server's part of the configuration, and the client's; files go to `scratch`.
    pub(super) fn set_up(self, scratch: &Scratch) -> Result<(Value, Client), Error> {
        let nobody = Client::default();
        Ok(match self {
            Self::None => (json!({}), nobody),
            Self::Password => {
                let (user, password) = ("trellis", "a-password");
                let config = json!({ "authorization": { "user": user, "password": password } });
                let (user, password) = (Some(user.to_owned()), Some(password.to_owned()));
                (config, Client { user, password, ..nobody })
            }
            Self::Token => {
                let token = "a-token";
                let config = json!({ "authorization": { "token": token } });
                (config, Client { token: Some(token.to_owned()), ..nobody })
            }
            Self::NKey => {
                let user = KeyPair::new_user();
                let users = json!([{ "nkey": user.public_key() }]);
                let config = json!({ "authorization": { "users": users } });
                (config, Client { nkey_seed: Some(user.seed()?), ..nobody })
            }
            Self::Jwt => {
                let trust = jwt::Trust::new()?;
                let credentials = scratch.write("user.creds", &trust.credentials)?;
                (trust.server, Client { credentials: Some(credentials), ..nobody })
            }
            Self::Tls => {
                let (config, authority) = encrypt(scratch, false)?;
                (config, Client { authority: Some(authority.certificate), ..nobody })
            }
            Self::MutualTls => {
                let (config, authority) = encrypt(scratch, true)?;
                let identity = authority.client(scratch, "client", "trellis")?;
                let authority = Some(authority.certificate);
                (config, Client { authority, identity: Some(identity), ..nobody })
            }
        })
    }
}

fn encrypt(scratch: &Scratch, verify_clients: bool) -> Result<(Value, Authority), Error> {
    let authority = Authority::new(scratch)?;
    let server = authority.server(scratch, "server")?;
    let config = json!({ "tls": {
        "cert_file": server.certificate,
        "key_file": server.key,
        "ca_file": authority.certificate,
        "verify": verify_clients,
    }});
    Ok((config, authority))
}
