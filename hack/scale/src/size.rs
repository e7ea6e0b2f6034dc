//! How large a world is, and what its Applications say.

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Size {
    /// Simulated hosts in all
    #[arg(long, default_value_t = 1000)]
    pub(crate) hosts: usize,

    /// Applications in all, every other one with a link
    #[arg(long, default_value_t = 10_000)]
    pub(crate) applications: usize,

    /// Lattices that hosts and Applications are shared out over
    #[arg(long, default_value_t = 3)]
    pub(crate) lattices: usize,

    /// Instances of each Application's first component
    #[arg(long, default_value_t = 4)]
    pub(crate) instances: u64,
}

impl Size {
    pub(crate) fn lattice(self, number: usize) -> String {
        format!("lattice-{}", number % self.lattices)
    }

    /// How many instances lattice `number` runs once all is as wanted.
    pub(crate) fn wanted(self, number: usize) -> u64 {
        let here = (0..self.applications).filter(|it| it % self.lattices == number);
        here.map(|it| self.instances + u64::from(is_linked(it))).sum()
    }

    pub(crate) fn hosts_of(self, number: usize) -> usize {
        self.hosts / self.lattices + usize::from(number < self.hosts % self.lattices)
    }

    /// The manifest of one Application, which wadm reads as well if there is one lattice only.
    pub(crate) fn application(self, number: usize) -> Value {
        let mut web = json!({
            "name": "web",
            "type": "component",
            "properties": { "image": "registry.example/web:1.0.0" },
            "traits": [
                { "type": "spreadscaler", "properties": { "instances": self.instances } },
            ],
        });
        let mut components = Vec::new();
        if is_linked(number) {
            let link = json!({
                "type": "link",
                "properties": {
                    "target": "store",
                    "namespace": "example",
                    "package": "store",
                    "interfaces": ["get"],
                },
            });
            web["traits"].as_array_mut().into_iter().for_each(|traits| traits.push(link.clone()));
            components.push(json!({
                "name": "store",
                "type": "component",
                "properties": { "image": "registry.example/store:1.0.0" },
                "traits": [{ "type": "spreadscaler", "properties": { "instances": 1 } }],
            }));
        }
        components.insert(0, web);
        let mut manifest = json!({
            "apiVersion": "core.oam.dev/v1beta1",
            "kind": "Application",
            "metadata": {
                "name": name(number),
                "annotations": { "version": "v0.0.1", "description": "One of many" },
            },
            "spec": { "components": components },
        });
        if self.lattices > 1 {
            manifest["spec"]["policies"] = json!([
                { "name": "where", "type": "topology",
                  "properties": { "lattices": [self.lattice(number)] } },
            ]);
        }
        manifest
    }
}

/// What the Application of this number is called.
pub(crate) fn name(number: usize) -> String {
    format!("app-{number:05}")
}

fn is_linked(number: usize) -> bool {
    number.is_multiple_of(2)
}
