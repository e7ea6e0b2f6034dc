//! Names that look like the real ones: host keys, provider keys and event ids.

use crate::rng::Rng;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The prefix bytes of nkeys: what makes a host's key start with `N`, a provider's with `V`.
const HOST_KEY: u8 = 13 << 3;
const PROVIDER_KEY: u8 = 21 << 3;
const COMPONENT_KEY: u8 = 12 << 3;
const ACCOUNT_KEY: u8 = 0;

/// A host id: a public nkey, `N` and 55 more characters, with a checksum that holds.
pub(crate) fn host_id(rng: &mut Rng) -> String {
    nkey(HOST_KEY, rng)
}

/// The key that signed a provider's archive is asked for by claims only.
pub(crate) fn provider_key(rng: &mut Rng) -> String {
    nkey(PROVIDER_KEY, rng)
}

/// The key of a signed component, `M…`.
pub(crate) fn component_key(rng: &mut Rng) -> String {
    nkey(COMPONENT_KEY, rng)
}

pub(crate) fn account_key(rng: &mut Rng) -> String {
    nkey(ACCOUNT_KEY, rng)
}

fn nkey(prefix: u8, rng: &mut Rng) -> String {
    let mut bytes = vec![prefix];
    for _ in 0..4 {
        bytes.extend(rng.next().to_le_bytes());
    }
    bytes.extend(crc16(&bytes).to_le_bytes());
    base32(&bytes)
}

/// 35 bytes are 280 bits are 56 characters: no padding is ever needed.
fn base32(bytes: &[u8]) -> String {
    let (mut text, mut bits, mut held) = (String::with_capacity(56), 0_u16, 0_u8);
    for byte in bytes {
        bits = (bits << 8) | u16::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(char::from(BASE32[usize::from((bits >> held) & 31)]));
        }
    }
    text
}

/// CRC-16/XMODEM, the checksum of nkeys.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// An event id: a number unique in the lattice, in the form of a UUID.
pub(crate) fn event_id(rng: &mut Rng) -> String {
    let (high, low) = (rng.next(), rng.next());
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::{base32, crc16, event_id, host_id};
    use crate::rng::Rng;

    #[test]
    fn a_host_id_has_the_length_and_letter_of_a_server_key() {
        let id = host_id(&mut Rng::fork(3, "test"));
        assert_eq!(id.len(), 56);
        assert!(id.starts_with('N'), "{id}");
        assert!(id.bytes().all(|byte| super::BASE32.contains(&byte)), "{id}");
    }

    #[test]
    fn checksum_and_alphabet_are_the_published_ones() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(base32(b"fooba"), "MZXW6YTB");
    }

    #[test]
    fn an_event_id_has_the_form_of_a_uuid() {
        let id = event_id(&mut Rng::fork(3, "test"));
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
