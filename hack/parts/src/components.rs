//! Small Wasm components, made from `hack/components` in a few milliseconds.
//!
//! Each is a core module in WebAssembly text that speaks the canonical ABI by hand, and the WIT of
//! what it imports and exports. They are a few KB, so that a host that was built without
//! optimization loads them at once.

use data_encoding::HEXUPPER;
use nkeys::KeyPair;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

use crate::token;

#[derive(Debug, thiserror::Error)]
#[error("could not make the component {name}: {reason}")]
pub struct Error {
    name: &'static str,
    reason: String,
}

/// Shared by all modules that are handed strings or bytes.
const ALLOCATOR: &str = include_str!("../../components/allocator.wat");

/// Answers HTTP requests with `hello from trellis VERSION`, or with `GREETING VERSION` when it has a
/// secret `greeting`, or its configuration a value of that name; a line feed follows.
pub fn hello(version: &str) -> Result<Vec<u8>, Error> {
    // Goes into a string literal, and into the memory before the first allocation.
    let fits = version.len() <= 512;
    if !fits || !version.bytes().all(|byte| byte.is_ascii_graphic() && !br#"\""#.contains(&byte)) {
        let reason = format!("{version:?} is no version");
        return Err(Error { name: "hello", reason });
    }
    let text = include_str!("../../components/hello.wat")
        // A space before it and a line feed after it.
        .replace("{version-length}", &(version.len() + 2).to_string())
        .replace("{version}", version);
    component("hello", &text, include_str!("../../components/hello.wit"))
}

/// Publishes the body of each message back to its reply subject, if it has one.
pub fn echo() -> Result<Vec<u8>, Error> {
    let text = include_str!("../../components/echo.wat");
    component("echo", text, include_str!("../../components/echo.wit"))
}

/// Exports one function that nobody calls and imports nothing: for counting instances.
pub fn tiny() -> Result<Vec<u8>, Error> {
    let text = include_str!("../../components/tiny.wat");
    component("tiny", text, include_str!("../../components/tiny.wit"))
}

/// `component` with a signature embedded: hosts give secrets to no other. The keys are made for it and
/// thrown away: hosts check that the signature fits, not whose it is.
pub fn signed(component: &[u8]) -> Result<Vec<u8>, nkeys::error::Error> {
    const SECTION: &str = "wasmcloud_jwt";
    /// The number of sections that have a name.
    const CUSTOM: u8 = 0;
    let (account, module) = (KeyPair::new_account(), KeyPair::new_module());
    let claims = json!({
        "jti": module.public_key(),
        "iat": token::ISSUED_AT,
        "iss": account.public_key(),
        "sub": module.public_key(),
        "wascap": { "hash": HEXUPPER.encode(&Sha256::digest(component)), "prov": false },
        // From this one on, hosts compare the hash.
        "wascap_revision": 3,
    });
    let token = token::sign(&account, &json!({ "typ": "jwt", "alg": "Ed25519" }), &claims)?;
    let mut content = leb128(SECTION.len());
    content.extend_from_slice(SECTION.as_bytes());
    content.extend_from_slice(token.as_bytes());
    Ok([component, &[CUSTOM], &leb128(content.len()), &content].concat())
}

/// How WebAssembly writes sizes.
fn leb128(mut size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(size & 0x7f).unwrap_or_default();
        size >>= 7;
        if size == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The component that `module` is when seen through the world `name` in `wit`.
fn component(name: &'static str, module: &str, wit: &str) -> Result<Vec<u8>, Error> {
    let encode = || {
        let mut resolve = Resolve::new();
        let package = resolve.push_str(format!("{name}.wit"), wit)?;
        let world = resolve.select_world(&[package], Some(name))?;
        let mut module = wat::parse_str(module.replace("{allocator}", ALLOCATOR))?;
        let canonical_names = false;
        wit_component::embed_component_metadata(
            &mut module,
            &resolve,
            world,
            StringEncoding::UTF8,
            canonical_names,
        )?;
        ComponentEncoder::default().module(&module)?.validate(true).encode()
    };
    encode().map_err(|error| Error { name, reason: format!("{error:#}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_made_and_small() {
        for bytes in [hello("v1").unwrap(), echo().unwrap(), tiny().unwrap()] {
            assert!(bytes.len() < 10 * 1024, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn sizes_are_written_in_groups_of_seven_bits() {
        assert_eq!(leb128(0), [0]);
        assert_eq!(leb128(127), [127]);
        assert_eq!(leb128(300), [0xac, 2]);
    }

    #[test]
    fn versions_of_hello_differ() {
        assert_ne!(hello("v1").unwrap(), hello("v2").unwrap());
    }

    #[test]
    fn a_version_that_would_end_the_literal_is_refused() {
        assert!(hello("\"").is_err());
    }
}
