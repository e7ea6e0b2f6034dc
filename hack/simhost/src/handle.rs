//! One host as a test holds it.

use serde_json::Value;

use crate::dispatch::{serve_host, serve_shared};
use crate::host::{ComponentView, Cx, HostOptions, Phase, ProviderHealth, ProviderView};
use crate::inventory::inventory;
use crate::link::catch_up;
use crate::sim::{SimError, SimLattice};
use crate::wire::Map;
use crate::{heartbeat, provider};

/// One host: what it really runs, and what may happen to it.
#[derive(Debug, Clone)]
pub struct HostHandle {
    pub(crate) lattice: SimLattice,
    pub(crate) cx: Cx,
}

impl HostHandle {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.cx.host.id
    }

    /// Its friendly name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.cx.host.friendly_name
    }

    /// Whether its process has not ended, be it cut off.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.cx.host.lives()
    }

    /// The inventory as it would tell it now, whatever holds its locks.
    #[must_use]
    pub fn inventory(&self) -> Value {
        inventory(&self.cx.host, self.cx.lattice.options.seed)
    }

    /// Its labels now.
    #[must_use]
    pub fn labels(&self) -> Map {
        self.cx.host.with(|state| state.labels.clone())
    }

    /// A component that runs here.
    #[must_use]
    pub fn component(&self, id: &str) -> Option<ComponentView> {
        self.cx.host.with(|state| state.components.get(id).cloned())
    }

    /// A provider that runs here, with the links its process goes by.
    #[must_use]
    pub fn provider(&self, id: &str) -> Option<ProviderView> {
        self.cx.host.with(|state| state.providers.get(id).cloned())
    }

    /// The values that a component or provider sees of its own config list: those of now (only configs
    /// that links name stay as they were).
    #[must_use]
    pub fn config_seen(&self, id: &str) -> Map {
        let names = self.component(id).map(|component| component.config);
        let names = names.or_else(|| self.provider(id).map(|provider| provider.config));
        crate::lock(&self.cx.lattice.store).merged(&names.unwrap_or_default())
    }

    /// The refs of the code that answers calls from elsewhere (T1, T3): what was updated away answers on,
    /// also beside what was started anew since.
    #[must_use]
    pub fn code_running(&self, id: &str) -> Vec<String> {
        self.cx.host.with(|state| {
            let mut codes = state.leftovers.get(id).cloned().unwrap_or_default();
            codes.extend(
                state.components.get(id).filter(|it| it.serving).map(|it| it.loaded.clone()),
            );
            codes
        })
    }

    /// Makes a component run here without a word, as if it had been started long ago.
    pub fn seed_component(&self, id: &str, image: &str, count: u32, annotations: Map) {
        let component = ComponentView::started(image, count, annotations, Vec::new(), None);
        self.cx.change(id, |state| {
            state.pulled.insert(image.to_owned());
            state.components.insert(id.to_owned(), component);
        });
    }

    /// Makes a provider run here without a word, as if it had been started long ago.
    pub fn seed_provider(&self, id: &str, image: &str, annotations: Map) {
        provider::seed(&self.cx, id, image, annotations);
    }

    /// Cuts it off: it lives, hears nothing and says nothing, and still looks subscribed.
    pub fn silence(&self) {
        self.change_phase(Phase::Running, Phase::Silent);
    }

    /// Ends the silence; what came meanwhile is lost.
    pub fn unsilence(&self) {
        self.change_phase(Phase::Silent, Phase::Running);
    }

    fn change_phase(&self, from: Phase, to: Phase) {
        let changed = self.cx.host.with(|state| {
            let changes = state.phase == from;
            if changes {
                state.phase = to;
            }
            changes
        });
        if changed && to == Phase::Running {
            tokio::spawn(catch_up(self.cx.clone()));
        }
        self.cx.lattice.touch();
    }

    /// Cuts it off, and its subjects are withdrawn: a leaf link that flaps. It lives and works on.
    pub async fn cut_off(&self) {
        self.change_phase(Phase::Running, Phase::CutOff);
        self.cx.withdraw().await;
    }

    /// Ends what [`HostHandle::cut_off`] began; what came meanwhile is lost.
    pub async fn reconnect(&self) -> Result<(), SimError> {
        self.change_phase(Phase::CutOff, Phase::Running);
        serve_host(&self.cx).await?;
        serve_shared(&self.cx.lattice).await?;
        self.cx.lattice.line.round_trip().await;
        Ok(())
    }

    /// Its process dies: no word, and its subjects are withdrawn.
    pub async fn kill(&self) {
        self.cx.end(Phase::Gone);
        self.cx.withdraw().await;
    }

    /// Its machine dies: no word, and its subjects still look subscribed.
    pub fn lose_machine(&self) {
        self.cx.end(Phase::Hung);
    }

    /// It is told to stop, as by SIGTERM: `host_stopped`, and nothing of what ran on it.
    pub async fn stop(&self) {
        self.cx.stop().await;
    }

    /// It dies and comes back under the same id, as one that was given a seed: uptime, work, and labels
    /// that were put are lost.
    pub async fn restart(&self) -> Result<Self, SimError> {
        self.restart_as(Some(self.id().to_owned())).await
    }

    /// It dies and comes back under a new id.
    pub async fn restart_with_new_id(&self) -> Result<Self, SimError> {
        self.restart_as(None).await
    }

    async fn restart_as(&self, id: Option<String>) -> Result<Self, SimError> {
        self.kill().await;
        let friendly_name = Some(self.cx.host.friendly_name.clone());
        let options = HostOptions { id, friendly_name, ..self.cx.host.options.clone() };
        self.lattice.add_host(options).await
    }

    /// Changes what the process of a provider says of its health.
    pub fn set_health(&self, id: &str, health: ProviderHealth) {
        self.cx.host.with(|state| {
            if let Some(provider) = state.providers.get_mut(id) {
                provider.health = health;
            }
        });
    }

    /// The process of a provider dies and its host starts it again, without a word: it is given the
    /// links there are now. With `comes_back` false that fails, and it stays in the inventory (T14).
    pub fn crash_provider(&self, id: &str, comes_back: bool) {
        provider::crash(&self.cx, id, comes_back);
    }

    /// Sends a heartbeat now, besides those that are due.
    pub async fn beat(&self) {
        heartbeat::beat(&self.cx).await;
    }
}
