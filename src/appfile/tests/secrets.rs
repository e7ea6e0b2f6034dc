use serde_json::{Value, json};

use super::{app, desired::desired, sample};
use crate::{
    appfile::parse_document,
    model::{AskHash, ConfigName, ConfigWanted, Desired},
};

fn hash(desired: &Desired, component: &str) -> AskHash {
    desired.workloads.values().find(|w| *w.component == *component).unwrap().hash.clone()
}

fn links(desired: &Desired) -> Vec<String> {
    let ends = desired.links.values().flat_map(|link| [&link.source_config, &link.target_config]);
    ends.flatten().map(ToString::to_string).collect()
}

#[test]
fn what_a_component_is_started_with_is_in_its_hash_and_a_link_s_in_a_name() {
    let orders = sample("secrets");
    let before = desired(&orders, &["default"]);
    // What is changed, and what of it each of the two is started with.
    let cases = [
        ("key: payments", "key: refunds", (true, false)),
        ("field: token", "field: secret", (true, false)),
        ("field: token", "version: '2'", (true, false)),
        ("backend: nats-kv", "backend: vault", (true, true)),
        ("role: orders", "role: shop", (true, true)),
        ("key: orders-database", "key: shop-database", (false, true)),
    ];
    for (from, to, (component, link)) in cases {
        let after = desired(&orders.replace(from, to), &["default"]);
        let (old, new) = (hash(&before, "api"), hash(&after, "api"));
        assert_eq!(old.start != new.start, component, "{to}");
        assert_eq!(old.config, new.config, "{to}");
        assert_eq!(links(&before) != links(&after), link, "{to}");
        assert_eq!(hash(&before, "postgres"), hash(&after, "postgres"), "{to}");
    }
}

#[test]
fn the_order_of_secrets_starts_nothing_anew() {
    let secret = |name: &str| {
        format!("          - {{name: {name}, properties: {{policy: backend, key: {name}}}}}\n")
    };
    let of = |names: [&str; 2]| {
        let entries: String = names.into_iter().map(secret).collect();
        let list = format!("        secrets:\n{entries}          # The");
        let orders = sample("secrets").replace("        secrets:\n          # The", &list);
        hash(&desired(&orders, &["default"]), "api").start
    };
    assert_eq!(of(["a", "b"]), of(["b", "a"]));
    assert_ne!(of(["a", "b"]), of(["a", "c"]));
}

#[test]
fn a_policy_s_name_is_nothing_that_hosts_see() {
    let orders = sample("secrets");
    let renamed = orders
        .replace("- name: backend", "- name: other")
        .replace("policy: backend", "policy: other");
    assert_ne!(orders, renamed);
    assert_eq!(desired(&orders, &["default"]), desired(&renamed, &["default"]));
}

#[test]
fn references_come_after_configs_and_hold_what_hosts_read() {
    let orders = sample("secrets").replace(
        "        secrets:\n          # The",
        "        config: [{name: own, properties: {a: b}}]\n        secrets:\n          # The",
    );
    let desired = desired(&orders, &["default"]);
    let api = desired.workloads.values().find(|w| *w.component == *"api").unwrap();
    let names: Vec<_> = api.config.iter().map(ConfigName::as_str).collect();
    assert_eq!(names, ["default-orders-own", "SECRET_default-orders-payment_token"]);
    let Some(ConfigWanted::Managed(reference)) = desired.configs.get(names[1]) else {
        panic!("{:?}", desired.configs);
    };
    let expected = json!({
        "name": "payment-token",
        "type": "secret.wasmcloud.dev/v1alpha1",
        "backend": "nats-kv",
        "key": "payments",
        "field": "token",
        "policy": "{\"type\":\"properties.secret.wasmcloud.dev/v1alpha1\",\"properties\":{\"role\":\"orders\"}}",
    });
    assert_eq!(json!(reference), expected);
    let linked = links(&desired);
    assert!(linked[0].starts_with("default-orders-database-"), "{linked:?}");
    assert!(linked[1].starts_with("SECRET_default-orders-postgres_password-"), "{linked:?}");
}

#[test]
fn what_is_passed_to_a_backend_may_be_anything() {
    let orders = sample("secrets").replace("role: orders", "paths: [{b: 1, a: null}]");
    let app = app(&orders);
    let policy = &app.secret_policies["backend"];
    let reference = app.components[0].secrets[0].reference(policy);
    let passed: Value = serde_json::from_str(&reference["policy"]).unwrap();
    assert_eq!(passed["properties"], json!({"paths": [{"a": null, "b": 1}]}));
}

#[test]
fn a_policy_without_a_name_is_named_by_its_type_and_place() {
    let orders = sample("secrets")
        .replace("- name: backend\n      type", "- type")
        .replace("policy: backend", "policy: policy.secret.wasmcloud.dev/v1alpha1-auto-gen-0");
    let document: Value = serde_saphyr::from_str(&orders).unwrap();
    assert!(parse_document(&document, "default").is_ok());
}
