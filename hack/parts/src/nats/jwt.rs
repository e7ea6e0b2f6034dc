//! Decentralized authentication: an operator signs an account, the account signs its users.

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::Error;
use crate::token::{self, ISSUED_AT};

/// An operator with one account that may use JetStream, and one user of it.
pub(super) struct Trust {
    /// The server's part of its configuration.
    pub(super) server: Value,
    /// The contents of the user's credentials file.
    pub(super) credentials: String,
}

impl Trust {
    pub(super) fn new() -> Result<Self, Error> {
        let operator = KeyPair::new_operator();
        let system = KeyPair::new_account();
        let account = KeyPair::new_account();
        let user = KeyPair::new_user();

        let operator_token = sign(
            &operator,
            &operator,
            "operator",
            json!({ "type": "operator", "system_account": system.public_key() }),
        )?;
        let system_token = sign(&operator, &system, "system", account_claims(false))?;
        let account_token = sign(&operator, &account, "lattices", account_claims(true))?;
        let user_token = sign(
            &account,
            &user,
            "user",
            // -1 is no limit; left out would be 0.
            json!({ "type": "user", "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {} }),
        )?;

        Ok(Self {
            server: json!({
                "operator": operator_token,
                "system_account": system.public_key(),
                "resolver": "MEMORY",
                "resolver_preload": {
                    system.public_key(): system_token,
                    account.public_key(): account_token,
                },
            }),
            credentials: credentials(&user_token, &user.seed()?),
        })
    }
}

fn account_claims(jetstream: bool) -> Value {
    let mut limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
        "wildcards": true, "conn": -1, "leaf": -1,
    });
    if jetstream {
        for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
            limits[limit] = json!(-1);
        }
    }
    json!({ "type": "account", "limits": limits, "default_permissions": { "pub": {}, "sub": {} } })
}

/// A token in which `issuer` says that `subject` is what `claims` tell.
fn sign(
    issuer: &KeyPair,
    subject: &KeyPair,
    name: &str,
    mut claims: Value,
) -> Result<String, Error> {
    claims["version"] = json!(2);
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let body = json!({
        // Has to be there and unlike others; subjects are both.
        "jti": subject.public_key(),
        "iat": ISSUED_AT,
        "iss": issuer.public_key(),
        "sub": subject.public_key(),
        "name": name,
        "nats": claims,
    });
    Ok(token::sign(issuer, &header, &body)?)
}

fn credentials(token: &str, seed: &str) -> String {
    // Five dashes open a section and six end it.
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}
