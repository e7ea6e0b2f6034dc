//! Texts of a running host, word by word, and what is made of them.
use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::model::{Annotations, Command, ConfigName, FewOf, HostId, Link, LinkKey, WorkloadId};

/// Whole events of a wasmCloud 1.9.2 host, one a line.
const EVENTS: &str = include_str!("tests/events.jsonl");

fn event(name: &str) -> Hint {
    let wanted = format!("com.wasmcloud.lattice.{name}");
    let line = EVENTS.lines().find(|line| line.contains(&wanted)).unwrap();
    let subject = format!("wasmbus.evt.default.{name}");
    decode_event(&subject, line.as_bytes()).unwrap().unwrap().hint
}

fn hint(name: &str, data: &str) -> Option<Hint> {
    let text = format!(r#"{{"specversion":"1.0","source":"N1","data":{data}}}"#);
    let subject = format!("account.wasmbus.evt.default.{name}");
    decode_event(&subject, text.as_bytes()).unwrap().map(|event| event.hint)
}

#[test]
fn a_heartbeat_is_an_inventory() {
    let Hint::Heartbeat(host) = event("host_heartbeat") else { panic!("no heartbeat") };
    assert_eq!(host.uptime.as_secs(), 240);
    assert_eq!(host.labels["zone"], "b");
    let hello = &host.inventory.components[&"hello_bi-hello".parse::<WorkloadId>().unwrap()];
    assert_eq!((hello.instances, &*hello.image), (2, "file://lab/wasm/hello.wasm"));
    assert_eq!(hello.annotations.get("wasmcloud.dev/appspec"), Some("hello-bi"));
    let http = &host.inventory.providers[&"hello_bi-httpserver".parse::<WorkloadId>().unwrap()];
    assert_eq!(&*http.image, "http-server");
}

#[test]
fn events_of_a_running_host_are_read() {
    assert_eq!(event("host_started"), Hint::Started);
    assert_eq!(event("host_stopped"), Hint::Stopped);
    let Hint::Scaled { id, instances, annotations, .. } = event("component_scaled") else {
        panic!("not scaled")
    };
    assert_eq!((id.as_str(), instances, annotations.iter().count()), ("hello", 0, 1));
}

#[test]
fn each_kind_of_event_is_told_from_its_subject() {
    let cases = [
        ("labels_changed", r#"{"host_id":"N1","labels":{"a":"b"}}"#, "Labels"),
        ("component_scale_failed", r#"{"component_id":"a","error":"e"}"#, "ScaleFailed"),
        ("provider_started", r#"{"provider_id":"p","annotations":null}"#, "ProviderStarted"),
        (
            "provider_start_failed",
            r#"{"provider_id":"p","provider_ref":"r","error":"e"}"#,
            "ProviderStartFailed",
        ),
        ("provider_stopped", r#"{"provider_id":"p","reason":"x"}"#, "ProviderStopped"),
        ("health_check_passed", r#"{"provider_id":"p","host_id":"N1"}"#, "ProviderHealth"),
        (
            "linkdef_set_failed",
            r#"{"source_id":"a","target":"b","wit_namespace":"w","wit_package":"p","error":"e"}"#,
            "LinkSetFailed",
        ),
        (
            "linkdef_deleted",
            r#"{"name":"n2","source_id":"a","wit_namespace":"w","wit_package":"p"}"#,
            "LinkDeleted",
        ),
        ("config_set", r#"{"config_name":"c"}"#, "ConfigSet"),
        ("config_deleted", r#"{"config_name":"c"}"#, "ConfigDeleted"),
    ];
    for (name, data, expected) in cases {
        let hint = format!("{:?}", hint(name, data).unwrap());
        assert!(hint.starts_with(expected), "{name}: {hint}");
    }
    assert_eq!(hint("component_auctioned", "{}"), None);
}

#[test]
fn a_host_of_old_is_known_by_its_version_whatever_else_it_says() {
    let old = hint("host_heartbeat", r#"{"version":"0.82.0","actors":{"MX":3}}"#);
    assert_eq!(old, Some(Hint::Old { version: "0.82.0".into() }));
    let old = hint("host_heartbeat", r#"{"host_id":"N1","version":"0.99.1","components":[]}"#);
    assert_eq!(old, Some(Hint::Old { version: "0.99.1".into() }));
}

#[test]
fn links_that_differ_only_in_interfaces_are_one() {
    let text = br#"{"success":true,"message":"","response":[
        {"source_id":"a","target":"b","name":"default","wit_namespace":"wasi","wit_package":"keyvalue","interfaces":["store"],"source_config":[],"target_config":[]},
        {"source_id":"a","target":"b","name":"default","wit_namespace":"wasi","wit_package":"keyvalue","interfaces":["atomics"],"source_config":[],"target_config":[]},
        {"source_id":"http","target":"hello","name":"default","wit_namespace":"wasi","wit_package":"http","interfaces":["incoming-handler"],"source_config":["httpcfg"],"target_config":[]}]}"#;
    let Answer::Accepted(Some(links)) = decode_links(text).unwrap() else { panic!("refused") };
    let interfaces: Vec<_> = links.values().map(|link| link.interfaces.len()).collect();
    assert_eq!(interfaces, [2, 1]);
}

fn subjects() -> Subjects {
    Subjects::new("team.wasmbus.ctl", "team.wasmbus.evt", "edge").unwrap()
}

fn said(request: &Request) -> String {
    format!("{} {}", request.subject, String::from_utf8_lossy(&request.payload))
}

#[test]
fn questions_go_to_their_subjects() {
    let host: HostId = "N1".parse().unwrap();
    let config: ConfigName = "c".parse().unwrap();
    let cases = [
        (Read::Ping, "team.wasmbus.ctl.v1.edge.host.ping "),
        (Read::Inventory(host), "team.wasmbus.ctl.v1.edge.host.get.N1 "),
        (Read::Links, "team.wasmbus.ctl.v1.edge.link.get "),
        (Read::Config(config), "team.wasmbus.ctl.v1.edge.config.get.c "),
        (Read::Claims, "team.wasmbus.ctl.v1.edge.claims.get "),
    ];
    for (read, expected) in cases {
        assert_eq!(said(&subjects().read(&read)), expected);
    }
    assert_eq!(subjects().events(), "team.wasmbus.evt.edge.*");
    assert!(Subjects::new("a", "b", "two.tokens").is_err());
    assert!(Subjects::new("a.>", "b", "c").is_err());
}

#[test]
fn commands_read_as_hosts_expect_them() {
    let host: HostId = "N1".parse().unwrap();
    let id: WorkloadId = "web".parse().unwrap();
    let key = LinkKey {
        source: id.clone(),
        name: "default".into(),
        namespace: "wasi".into(),
        package: "http".into(),
    };
    let link = Link {
        target: "kv".parse().unwrap(),
        interfaces: FewOf::from(["a".into(), "b".into()]),
        source_config: vec!["c".parse().unwrap()],
        target_config: Vec::new(),
    };
    let values = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    let annotations: Arc<Annotations> = Arc::new([("k", "v")].into());
    let config: Vec<ConfigName> = vec!["c2".parse().unwrap(), "c1".parse().unwrap()];
    let commands = [
        Command::PutConfig { name: "c".parse().unwrap(), values },
        Command::DeleteConfig { name: "c".parse().unwrap() },
        Command::PutLink { key: key.clone(), link },
        Command::DeleteLink { key },
        Command::StartProvider {
            host: host.clone(),
            id: id.clone(),
            image: "r/p:1".into(),
            config: config.clone(),
            annotations: Arc::clone(&annotations),
        },
        Command::StopProvider { host: host.clone(), id: id.clone() },
        Command::ScaleComponent {
            host,
            id,
            image: "r/a:1".into(),
            count: 4,
            config,
            annotations,
            max_memory: Some(65_536),
        },
    ];
    let said: Vec<_> = commands.iter().map(|command| said(&subjects().command(command))).collect();
    insta::assert_snapshot!(said.join("\n").replace("team.wasmbus.ctl.v1.edge.", ""), @r#"
    config.put.c {"k":"v"}
    config.del.c 
    link.put {"source_id":"web","target":"kv","name":"default","wit_namespace":"wasi","wit_package":"http","interfaces":["a","b"],"source_config":["c"],"target_config":[]}
    link.del {"source_id":"web","name":"default","wit_namespace":"wasi","wit_package":"http"}
    provider.start.N1 {"annotations":{"k":"v"},"config":["c2","c1"],"host_id":"N1","provider_id":"web","provider_ref":"r/p:1"}
    provider.stop.N1 {"host_id":"N1","provider_id":"web"}
    component.scale.N1 {"component_id":"web","component_ref":"r/a:1","host_id":"N1","count":4,"annotations":{"k":"v"},"config":["c2","c1"],"component_limits":{"max_memory_limit":"65536"},"allow_update":false}
    "#);
}

#[test]
fn answers_are_told_apart() {
    let cases = [
        (r#"{"success":true,"message":""}"#, Answer::Accepted(None)),
        (r#"{"success":false,"message":"no"}"#, Answer::Refused("no".into())),
    ];
    for (text, expected) in cases {
        assert_eq!(decode_done(text.as_bytes()).unwrap(), expected, "{text}");
    }
    let text = br#"{"success":true,"message":"Configuration not found"}"#;
    assert_eq!(decode_config(text).unwrap(), Answer::Accepted(None));
    let text = br#"{"success":true,"message":"","response":{"a":"1"}}"#;
    let values = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
    assert_eq!(decode_config(text).unwrap(), Answer::Accepted(Some(values)));
}

#[test]
fn a_mistake_is_named_with_its_place() {
    let text = br#"{"success":true,"response":[{"source_id":"a b"}]}"#;
    let error = decode_links(text).unwrap_err().to_string();
    assert!(error.starts_with("response[0].source_id: contains ' '"), "{error}");
    assert!(decode_done(b"garbage").is_err());
}
