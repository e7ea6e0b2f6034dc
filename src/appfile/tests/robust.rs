//! Whatever is written, reading it ends with an Appfile or with problems.
use proptest::prelude::*;
use serde_json::{Value, json};

use super::read;
use crate::{
    appfile::{Stamp, TargetFacts, parse_document},
    model::Owner,
};

/// Values that users and broken templates put where others belong.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!("")),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null])),
        Just(json!({"": null})),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,80}".prop_map(Value::from),
    ]
}

/// How many values there are in `value`, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Puts `odd` in the place of the value at `index`, counted in depth-first order.
fn replace(value: &mut Value, index: &mut usize, odd: &Value) {
    if *index == 0 {
        *value = odd.clone();
        *index = usize::MAX;
        return;
    }
    *index -= 1;
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, index, odd)),
        Value::Object(map) => map.values_mut().for_each(|value| replace(value, index, odd)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #[test]
    fn a_spoiled_manifest_is_read_or_refused_by_path(
        file in prop::sample::select(vec![
            "config/samples/hello-world.yaml",
            "config/samples/go-data-stream.yaml",
            "config/samples/log-shipper.yaml",
            "config/samples/two-lattices.yaml",
            "config/samples/secrets.yaml",
            "tests/manifests/wadm/messaging-0.4.yaml",
        ]),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), odd()), 1..4),
    ) {
        let mut document: Value = serde_saphyr::from_str(&read(file)).unwrap();
        for (index, odd) in &spoils {
            let mut index = index.index(count(&document));
            replace(&mut document, &mut index, odd);
        }
        match parse_document(&document, "default") {
            Ok(app) => {
                let _ = app.targets(&TargetFacts::default());
                let owner = Owner { installation: "i".into(), application: app.key.clone() };
                let stamp = Stamp { owner, uid: "".into(), revision: "".into(), shared: Vec::new() };
                let desired = app.desired(&stamp, &["default".into()]);
                prop_assert_eq!(desired.workloads.len(), app.components.len());
            }
            Err(problems) => {
                for problem in problems.iter() {
                    prop_assert!(!problem.path.is_empty() && !problem.todo.is_empty());
                    prop_assert!(!problem.to_string().contains('\n'), "{problem}");
                    prop_assert!(problem.path != "spec" || problem.wrong != "could not be read");
                }
            }
        }
    }
}
