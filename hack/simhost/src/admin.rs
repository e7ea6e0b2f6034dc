//! The small things: config, labels, registries, claims, and stopping the host.

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::dispatch::{Answer, serve_shared};
use crate::host::{Cx, Phase};
use crate::lock;
use crate::wire::{self, DelLabel, Map, PutLabel, RegistryCredential, Reply, StopHost};

pub(crate) async fn put_config(cx: &Cx, name: &str, payload: &[u8]) -> Answer {
    let Ok(values) = serde_json::from_slice::<Map>(payload) else {
        return Reply::refused("config data should be a map of string -> string").into();
    };
    lock(&cx.lattice.store).put_config(name, values);
    cx.emit("config_set", json!({ "config_name": name })).await;
    Reply::done("successfully put config").into()
}

/// A config that isn't there is a success without a response.
pub(crate) fn get_config(cx: &Cx, name: &str) -> Reply {
    match lock(&cx.lattice.store).config(name) {
        Some(values) => Reply::with(json!(values)),
        None => Reply::done("Configuration not found"),
    }
}

pub(crate) async fn del_config(cx: &Cx, name: &str) -> Answer {
    lock(&cx.lattice.store).del_config(name);
    cx.emit("config_deleted", json!({ "config_name": name })).await;
    Reply::done("successfully deleted config").into()
}

pub(crate) async fn put_label(cx: &Cx, payload: &[u8]) -> Answer {
    let label: PutLabel = match wire::read(payload, "put label request") {
        Ok(label) => label,
        Err(refusal) => return refusal.into(),
    };
    if label.key.to_lowercase().starts_with("hostcore.") {
        return Reply::refused("hostcore.* labels cannot be set dynamically").into();
    }
    cx.host.with(|state| state.labels.insert(label.key, label.value));
    labels_changed(cx).await;
    Reply::done("successfully put label").into()
}

pub(crate) async fn del_label(cx: &Cx, payload: &[u8]) -> Answer {
    let label: DelLabel = match wire::read(payload, "delete label request") {
        Ok(label) => label,
        Err(refusal) => return refusal.into(),
    };
    if cx.host.with(|state| state.labels.remove(&label.key)).is_none() {
        return Reply::done("successfully deleted label (no such label)").into();
    }
    labels_changed(cx).await;
    Reply::done("successfully deleted label").into()
}

async fn labels_changed(cx: &Cx) {
    let labels = cx.host.with(|state| state.labels.clone());
    cx.emit("labels_changed", json!({ "host_id": cx.host.id, "labels": labels })).await;
}

pub(crate) fn put_registries(cx: &Cx, payload: &[u8]) -> Reply {
    type Registries = std::collections::BTreeMap<String, RegistryCredential>;
    match wire::read::<Registries>(payload, "registries put command") {
        Ok(registries) => {
            cx.host.with(|state| state.registries.extend(registries.into_keys()));
            Reply::done("successfully put registries")
        }
        Err(refusal) => refusal,
    }
}

/// Claims of providers stay for ever, also once none runs.
pub(crate) fn get_claims(cx: &Cx) -> Reply {
    Reply::with(Value::Array(lock(&cx.lattice.store).claims()))
}

pub(crate) fn stop_host(cx: &Cx, payload: &[u8]) -> Answer {
    let ask = if payload.is_empty() {
        Ok(StopHost::default())
    } else {
        wire::read::<StopHost>(payload, "stop command")
    };
    match ask {
        Err(refusal) => refusal.into(),
        Ok(ask) if !ask.host_id.is_empty() && ask.host_id != cx.host.id => {
            Reply::refused(format!("invalid host_id [{}]", ask.host_id)).into()
        }
        Ok(_) => {
            let cx = cx.clone();
            let reply = Reply::done("successfully handled stop host");
            Answer::then(reply, async move { cx.stop().await })
        }
    }
}

impl Cx {
    /// Ends the host in good order: its subjects first, then `host_stopped`. Nothing is said of what ran
    /// on it.
    pub(crate) async fn stop(&self) {
        self.host.with(|state| state.phase = Phase::Stopping);
        self.withdraw().await;
        sleep(self.host.options.stop_takes).await;
        let labels = self.host.with(|state| state.labels.clone());
        self.emit("host_stopped", json!({ "labels": labels })).await;
        self.end(Phase::Gone);
        self.lattice.line.round_trip().await;
    }

    /// Withdraws the interest of the host, and of the lattice if it was the last.
    pub(crate) async fn withdraw(&self) {
        if let Some(served) = self.host.served.lock().await.take() {
            served.withdraw(&self.lattice.line).await;
        }
        // Only subscribing can fail, and there is at most something to withdraw.
        let _ = serve_shared(&self.lattice).await;
    }

    /// Nothing runs any more. A host that is gone is forgotten, one that hangs is kept for its looks.
    pub(crate) fn end(&self, phase: Phase) {
        self.host.with(|state| {
            state.phase = phase;
            state.components.clear();
            state.providers.clear();
            state.leftovers.clear();
        });
        if phase == Phase::Gone {
            let mut hosts = lock(&self.lattice.hosts);
            let is_this = |host: &std::sync::Arc<_>| std::sync::Arc::ptr_eq(host, &self.host);
            if hosts.get(&self.host.id).is_some_and(is_this) {
                hosts.remove(&self.host.id);
            }
        }
        lock(&self.lattice.census).forget(self.lattice.clock.elapsed(), &self.host.id);
        self.lattice.touch();
    }
}
