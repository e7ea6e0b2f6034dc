//! JSON web tokens, as NATS and wasmCloud sign them.

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::Value;

/// When all tokens say they were issued. Who reads them only checks when they expire, and ours don't.
pub(crate) const ISSUED_AT: u64 = 1_700_000_000;

/// `body` with the signature of `issuer`.
pub(crate) fn sign(
    issuer: &KeyPair,
    header: &Value,
    body: &Value,
) -> Result<String, nkeys::error::Error> {
    let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(header), encode(body));
    let signature = BASE64URL_NOPAD.encode(&issuer.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}
