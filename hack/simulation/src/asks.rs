//! What users ask for: Applications as a few plain values, and their manifests.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::chance::Chance;

pub const NAMESPACE: &str = "default";
/// The Application whose provider others may share.
pub const SHARER: &str = "gate";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub name: String,
    pub components: Vec<Component>,
    pub provider: Option<Provider>,
    /// Links from the provider of [`SHARER`] to the first component.
    pub shares: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    pub name: String,
    pub image: u64,
    pub scale: Scale,
    /// The value of its config, if it has one.
    pub config: Option<u64>,
    /// The component of the same Application that it calls.
    pub calls: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scale {
    /// Instances in all, and their weights by zone; no zone means any host.
    Spread(u32, BTreeMap<String, u32>),
    /// Instances on each host.
    Daemon(u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    pub image: u64,
    /// The value of the config of its link to the first component.
    pub address: u64,
    /// On every host, or on one.
    pub everywhere: bool,
}

pub const ZONES: [&str; 2] = ["a", "b"];

impl App {
    /// Something that a user may ask for.
    #[must_use]
    pub fn any(name: &str, chance: &mut Chance) -> Self {
        let names = ["web", "api"];
        let count = if chance.percent(50) { 2 } else { 1 };
        let mut components: Vec<_> =
            names[..count].iter().map(|name| Component::any(name, chance)).collect();
        if count == 2 && chance.percent(40) {
            components[0].calls = Some(names[1].to_owned());
        }
        let provider = (name == SHARER || chance.percent(40)).then(|| Provider::any(chance));
        let shares = name != SHARER && chance.percent(30);
        Self { name: name.to_owned(), components, provider, shares }
    }

    /// The same with one thing changed.
    #[must_use]
    pub fn changed(&self, chance: &mut Chance) -> Self {
        let mut app = self.clone();
        let at = chance.between(0, app.components.len() as u64);
        let component = usize::try_from(at).ok().and_then(|at| app.components.get_mut(at));
        let Some(component) = component else { return app };
        let kind = chance.between(0, 10);
        if kind == 9 && self.components.len() > 1 {
            app.components.pop();
            app.mend_calls();
            return app;
        }
        match (kind, &mut app.provider) {
            (0..=2, _) => component.image += 1,
            (3 | 4, _) => component.scale = Scale::any(chance),
            (5, _) => component.config = Some(chance.between(0, 100)),
            (6, Some(provider)) => provider.image += 1,
            (7, Some(provider)) => provider.address += 1,
            (8, provider @ Some(_)) if app.name != SHARER => *provider = None,
            (8, provider @ None) => *provider = Some(Provider::any(chance)),
            _ => component.config = None,
        }
        app
    }

    /// Nobody calls what has gone.
    fn mend_calls(&mut self) {
        let names: Vec<_> =
            self.components.iter().map(|component| component.name.clone()).collect();
        for component in &mut self.components {
            component.calls = component.calls.take().filter(|called| names.contains(called));
        }
    }

    #[must_use]
    pub fn id(&self, component: &str) -> String {
        format!("{NAMESPACE}-{}-{component}", self.name)
    }

    #[must_use]
    pub fn image(&self, component: &str, version: u64) -> String {
        format!("registry.example/{}/{component}:{version}", self.name)
    }

    /// In a few words, for the log.
    #[must_use]
    pub fn told(&self) -> String {
        let component = |of: &Component| {
            let scale = match &of.scale {
                Scale::Spread(instances, zones) if zones.is_empty() => format!("×{instances}"),
                Scale::Spread(instances, zones) => {
                    let zones: Vec<_> =
                        zones.iter().map(|(zone, weight)| format!("{zone}*{weight}")).collect();
                    format!("×{instances} over {}", zones.join(" "))
                }
                Scale::Daemon(instances) => format!("×{instances} everywhere"),
            };
            let config = of.config.map(|value| format!(" config {value}")).unwrap_or_default();
            let calls = of.calls.as_ref().map(|called| format!(" → {called}")).unwrap_or_default();
            format!("{}:{} {scale}{config}{calls}", of.name, of.image)
        };
        let mut parts: Vec<_> = self.components.iter().map(component).collect();
        if let Some(provider) = &self.provider {
            let where_ = if provider.everywhere { "everywhere" } else { "once" };
            parts.push(format!("http:{} {where_} address {}", provider.image, provider.address));
        }
        if self.shares {
            parts.push(format!("shares {SHARER}"));
        }
        parts.join(", ")
    }

    #[must_use]
    pub fn manifest(&self) -> Value {
        let first = self.components.first().map(|component| component.name.clone());
        let mut components: Vec<_> =
            self.components.iter().map(|component| self.component(component)).collect();
        let http = |config: &str, address: u64| {
            json!({ "type": "link", "properties": {
                "target": first, "namespace": "wasi", "package": "http",
                "interfaces": ["incoming-handler"],
                "source": { "config": [
                    { "name": config, "properties": { "address": address.to_string() } }
                ] },
            } })
        };
        if let Some(provider) = &self.provider {
            let scale = if provider.everywhere {
                json!({ "type": "daemonscaler", "properties": { "instances": 1 } })
            } else {
                json!({ "type": "spreadscaler", "properties": { "instances": 1 } })
            };
            components.push(json!({
                "name": "http", "type": "capability",
                "properties": { "image": self.image("http", provider.image) },
                "traits": [scale, http("address", provider.address)],
            }));
        }
        if self.shares {
            components.push(json!({
                "name": "shared", "type": "capability",
                "properties": { "application": { "name": SHARER, "component": "http" } },
                "traits": [http("shared-address", 0)],
            }));
        }
        let annotations = if self.name == SHARER {
            json!({ "experimental.wasmcloud.dev/shared": "true" })
        } else {
            json!({})
        };
        json!({
            "apiVersion": "core.oam.dev/v1beta1", "kind": "Application",
            "metadata": {
                "name": self.name, "namespace": NAMESPACE, "annotations": annotations, "labels": {},
            },
            "spec": { "components": components },
        })
    }

    fn component(&self, component: &Component) -> Value {
        let scale = match &component.scale {
            Scale::Spread(instances, zones) => {
                let spread: Vec<_> = zones
                    .iter()
                    .map(|(zone, weight)| {
                        json!({ "name": zone, "weight": weight, "requirements": { "zone": zone } })
                    })
                    .collect();
                let mut properties = json!({ "instances": instances });
                if !spread.is_empty() {
                    properties["spread"] = spread.into();
                }
                json!({ "type": "spreadscaler", "properties": properties })
            }
            Scale::Daemon(instances) => {
                json!({ "type": "daemonscaler", "properties": { "instances": instances } })
            }
        };
        let mut traits = vec![scale];
        if let Some(called) = &component.calls {
            traits.push(json!({ "type": "link", "properties": {
                "target": called, "namespace": "example", "package": "api", "interfaces": ["call"],
            } }));
        }
        let mut properties = json!({ "image": self.image(&component.name, component.image) });
        if let Some(value) = component.config {
            let values = json!({ "value": value.to_string() });
            properties["config"] = json!([{ "name": component.name, "properties": values }]);
        }
        json!({
            "name": component.name, "type": "component", "properties": properties, "traits": traits,
        })
    }
}

impl Component {
    fn any(name: &str, chance: &mut Chance) -> Self {
        Self {
            name: name.to_owned(),
            image: 1,
            scale: Scale::any(chance),
            config: chance.percent(40).then(|| chance.between(0, 100)),
            calls: None,
        }
    }
}

impl Scale {
    fn any(chance: &mut Chance) -> Self {
        if chance.percent(20) {
            return Self::Daemon(u32::try_from(chance.between(1, 4)).unwrap_or(1));
        }
        let instances = u32::try_from(chance.between(1, 7)).unwrap_or(1);
        let mut zones = BTreeMap::new();
        if chance.percent(40) {
            for zone in ZONES {
                if chance.percent(70) {
                    let weight = u32::try_from(chance.between(1, 4)).unwrap_or(1);
                    zones.insert(zone.to_owned(), weight);
                }
            }
        }
        Self::Spread(instances, zones)
    }
}

impl Provider {
    fn any(chance: &mut Chance) -> Self {
        Self { image: 1, address: chance.between(8000, 8100), everywhere: chance.percent(50) }
    }
}
