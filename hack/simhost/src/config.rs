//! How a host fetches the configs and secrets that a start or a link names.

use tokio::time::sleep;

use crate::host::{Cx, EffectiveLink};
use crate::lock;
use crate::wire::Link;

/// What the names of secret references begin with.
pub(crate) const SECRET: &str = "SECRET";

const NO_BACKEND: &str = "secret store not configured, could not fetch secrets";

const UNSIGNED: &str = "entity did not have an embedded JWT, required to fetch secrets (was this \
     entity signed during build?)";

impl Cx {
    /// Fetches what a config list names and gives the list that is kept: without the secrets.
    pub(crate) async fn fetch_config(
        &self,
        names: &[String],
        signed: bool,
    ) -> Result<Vec<String>, String> {
        let (secrets, config): (Vec<String>, Vec<String>) =
            names.iter().cloned().partition(|name| name.starts_with(SECRET));
        for name in &config {
            if !self.has_config(name) {
                return Err(format!(
                    "Unable to fetch requested config: Config {name} does not exist"
                ));
            }
        }
        if !secrets.is_empty() {
            let fetched = self.fetch_secrets(&secrets, signed).await;
            fetched.map_err(|error| format!("Unable to fetch requested secrets: {error}"))?;
        }
        Ok(config)
    }

    async fn fetch_secrets(&self, names: &[String], signed: bool) -> Result<(), String> {
        if !self.host.options.secrets {
            return Err(NO_BACKEND.to_owned());
        }
        if !signed {
            return Err(UNSIGNED.to_owned());
        }
        sleep(self.lattice.options.secret_fetch).await;
        let store = lock(&self.lattice.store);
        match names.iter().find(|name| store.config(name).is_none()) {
            None => Ok(()),
            Some(name) => Err(format!(
                "Secret config {name} not found in config store, could not create secret request"
            )),
        }
    }

    /// Whether a config is there for this host: one that it has fetched once is for ever, and has no
    /// values once it was deleted.
    fn has_config(&self, name: &str) -> bool {
        let there = lock(&self.lattice.store).config(name).is_some();
        self.host.with(|state| {
            if there {
                state.configs.insert(name.to_owned());
            }
            there || state.configs.contains(name)
        })
    }

    /// A link with the values that its configs have now. None if this host can't fetch one of them.
    pub(crate) fn resolve(&self, link: Link) -> Option<EffectiveLink> {
        let mut names = link.source_config.iter().chain(&link.target_config);
        let secret = |name: &str| name.starts_with(SECRET);
        if !names.all(|name| secret(name) || self.has_config(name)) {
            return None;
        }
        let store = lock(&self.lattice.store);
        let values = |names: &[String]| {
            let plain: Vec<String> = names.iter().filter(|name| !secret(name)).cloned().collect();
            store.merged(&plain)
        };
        let (source, target) = (values(&link.source_config), values(&link.target_config));
        Some(EffectiveLink { link, source_values: source, target_values: target })
    }
}
