//! A plan for programs. Its keys are stable.
use serde_json::{Map, Value, json};

use super::{Component, TargetPlan};
use crate::model::Command;

pub(super) fn render(targets: &[TargetPlan]) -> String {
    let targets: Vec<Value> = targets.iter().map(target).collect();
    format!("{:#}\n", json!({ "targets": targets }))
}

fn target(target: &TargetPlan) -> Value {
    let commands: Vec<_> = target.now.iter().map(|planned| command(&planned.command)).collect();
    let waiting = target.later.iter().map(|later| {
        let mut value = command(&later.command);
        let waits_for: Vec<String> = later.waits_for.iter().map(ToString::to_string).collect();
        value.insert("waitsFor".into(), waits_for.into());
        value
    });
    let blocked = target.blocked.iter().map(|blocked| {
        json!({
            "subject": blocked.subject.to_string(),
            "reason": blocked.reason.as_str(),
            "message": blocked.message,
        })
    });
    json!({
        "application": target.application.to_string(),
        "lattice": target.lattice.as_str(),
        "namespace": &*target.namespace,
        "commands": commands,
        "waiting": waiting.collect::<Vec<_>>(),
        "blocked": blocked.collect::<Vec<_>>(),
        "components": target.components.iter().map(component).collect::<Vec<_>>(),
    })
}

fn component(component: &Component) -> Value {
    let Component { id, progress, obstacle } = component;
    json!({
        "name": &*progress.component,
        "id": id,
        "desired": progress.wanted,
        "ready": progress.ready,
        "message": obstacle,
    })
}

fn command(command: &Command) -> Map<String, Value> {
    let value = match command {
        Command::PutConfig { name, values } => {
            json!({"command": "put-config", "name": name, "values": values})
        }
        Command::DeleteConfig { name } => json!({"command": "delete-config", "name": name}),
        Command::PutLink { key, link } => json!({
            "command": "put-link",
            "source": key.source,
            "target": link.target,
            "name": key.name,
            "witNamespace": key.namespace,
            "witPackage": key.package,
            "interfaces": link.interfaces,
            "sourceConfig": link.source_config,
            "targetConfig": link.target_config,
        }),
        Command::DeleteLink { key } => json!({
            "command": "delete-link",
            "source": key.source,
            "name": key.name,
            "witNamespace": key.namespace,
            "witPackage": key.package,
        }),
        Command::StartProvider { host, id, image, config, annotations } => json!({
            "command": "start-provider",
            "host": host,
            "id": id,
            "image": image,
            "config": config,
            "annotations": **annotations,
        }),
        Command::StopProvider { host, id } => {
            json!({"command": "stop-provider", "host": host, "id": id})
        }
        Command::ScaleComponent { host, id, image, count, config, annotations, max_memory } => {
            let limits = max_memory.map(|bytes| json!({ "maxMemory": bytes }));
            json!({
                "command": "scale-component",
                "host": host,
                "id": id,
                "image": image,
                "count": count,
                "config": config,
                "annotations": **annotations,
                "limits": limits,
            })
        }
    };
    match value {
        Value::Object(mut map) => {
            map.retain(|_, value| !value.is_null());
            map
        }
        // Each of the above is an object.
        other => Map::from_iter([("command".into(), other)]),
    }
}
