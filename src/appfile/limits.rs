//! `limits`: what each instance of a component may take.
use super::{
    cursor::{At, Fields, Shape, is_empty},
    suggest::quote,
};
use crate::model::WorkloadKind;

const LIMITS: Shape = Shape {
    known: &["maxMemory"],
    not_yet: &[],
    elsewhere: &[
        ("memory", "unknown field", "call it maxMemory"),
        ("cpu", "hosts can't limit it", "remove it"),
    ],
};

/// A page of Wasm memory, without which nothing starts.
const PAGE: u64 = 64 * 1024;

const UNITS: &[(&str, u64)] = &[
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
];
const EXAMPLE: &str = "write it as 64Mi, 1Gi or a number of bytes";

/// Bytes that each instance may take, if there is a limit; an error if it is wrong, which is among
/// the problems.
pub(super) fn max_memory(
    properties: &Fields,
    kind: Option<WorkloadKind>,
) -> Result<Option<u64>, Wrong> {
    // Typed clients write empty maps for what nobody asked for.
    let Some(at) = properties.get("limits").filter(|at| !is_empty(at.value)) else {
        return Ok(None);
    };
    if kind == Some(WorkloadKind::Provider) {
        at.problem("hosts can't limit a capability", "remove it");
        return Err(Wrong);
    }
    let fields = at.object(&LIMITS).ok_or(Wrong)?;
    match fields.get("maxMemory") {
        None => Ok(None),
        Some(at) => bytes(&at).map(Some).ok_or(Wrong),
    }
}

/// What was found is among the problems.
pub(super) struct Wrong;

fn bytes(at: &At) -> Option<u64> {
    let text = match at.value {
        serde_json::Value::Number(number) => number.to_string(),
        _ => at.text()?.to_owned(),
    };
    let Some(bytes) = quantity(&text) else {
        at.problem(format!("{} is no amount of memory", quote(&text)), EXAMPLE);
        return None;
    };
    if bytes < PAGE {
        at.problem(
            format!("{} is less than the 64Ki that every component takes", quote(&text)),
            EXAMPLE,
        );
        return None;
    }
    Some(bytes)
}

/// A whole number with a unit, as Kubernetes writes it.
fn quantity(text: &str) -> Option<u64> {
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((text, 1));
    // `parse` would take a sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_are_read_as_kubernetes_users_write_them() {
        let cases = [
            ("67108864", Some(67_108_864)),
            ("64Mi", Some(67_108_864)),
            ("1Gi", Some(1_073_741_824)),
            ("500M", Some(500_000_000)),
            ("64k", Some(64_000)),
            ("+64", None),
            ("1.5Gi", None),
            ("Mi", None),
            ("64MB", None),
            ("99999999999999999999", None),
            ("99999999999999Gi", None),
        ];
        for (text, expected) in cases {
            assert_eq!(quantity(text), expected, "{text}");
        }
    }
}
