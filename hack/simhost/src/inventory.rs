//! What a host says of itself: the inventory, which is also every heartbeat, and the answer to a ping.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clock::human;
use crate::host::{ComponentView, Cx, Host, ProviderView};
use crate::rng::Rng;

impl Cx {
    /// The inventory, once nothing holds the host's locks: compiling does, so that a host can be alive
    /// and mute for seconds (T13).
    pub(crate) async fn inventory(&self) -> Value {
        let _components = self.host.components_lock.read().await;
        let _providers = self.host.providers_lock.read().await;
        inventory(&self.host, self.lattice.options.seed)
    }

    /// What a ping answers; it waits for no lock.
    pub(crate) fn pong(&self) -> Value {
        let host = &self.host;
        let url = self.lattice.line.url();
        let uptime = host.born.elapsed();
        json!({
            "id": host.id,
            "friendly_name": host.friendly_name,
            "labels": host.with(|state| state.labels.clone()),
            "lattice": self.lattice.options.name,
            "rpc_host": url,
            "ctl_host": url,
            "uptime_human": human(uptime),
            "uptime_seconds": uptime.as_secs(),
            "version": host.options.version,
        })
    }
}

/// The inventory without waiting for anything. Its lists come in another order each time.
pub(crate) fn inventory(host: &Host, seed: u64) -> Value {
    let (mut components, mut providers, labels, nth) = host.with(|state| {
        state.inventories += 1;
        let components: Vec<Value> = state.components.iter().map(component).collect();
        let providers: Vec<Value> = state.providers.iter().map(provider).collect();
        (components, providers, state.labels.clone(), state.inventories)
    });
    let mut rng = Rng::fork(seed ^ nth, &host.id);
    rng.shuffle(&mut components);
    rng.shuffle(&mut providers);
    let uptime = Instant::now().duration_since(host.born);
    let mut inventory = json!({
        "host_id": host.id,
        "friendly_name": host.friendly_name,
        "labels": labels,
        "version": host.options.version,
        "uptime_human": human(uptime),
        "uptime_seconds": uptime.as_secs(),
        "providers": providers,
    });
    let listed_as = if host.options.version.starts_with("0.") { "actors" } else { "components" };
    inventory[listed_as] = Value::Array(components);
    inventory
}

fn component((id, component): (&String, &ComponentView)) -> Value {
    let mut told = json!({
        "id": id,
        "image_ref": component.image_ref,
        "annotations": component.annotations,
        "revision": 0,
        "max_instances": component.max_instances,
        "limits": component.limits,
    });
    if let Some(name) = &component.name {
        told["name"] = Value::String(name.clone());
    }
    told
}

fn provider((id, provider): (&String, &ProviderView)) -> Value {
    let mut told = json!({
        "id": id,
        "image_ref": provider.image_ref,
        "revision": 0,
        "annotations": provider.annotations,
    });
    if let Some(name) = &provider.name {
        told["name"] = Value::String(name.clone());
    }
    told
}
