//! A lattice as it shows itself over NATS, asked once.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    cli::Failure,
    lattice::{
        client::{Client, Error, LinkList},
        wire::{HostBrief, Subjects},
    },
    model::{ConfigName, Gate, Host, HostState, LatticeName, LinkMap, Links, Moment, Observed},
};

/// How long hosts have to answer: what other tools of wasmCloud allow a request.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks all hosts for what they run, and for the links and `configs`.
pub(super) fn look(
    url: &str,
    lattice: LatticeName,
    subjects: Subjects,
    configs: &BTreeSet<ConfigName>,
) -> Result<Observed, Failure> {
    // Whichever TLS user comes first would choose one otherwise; failing means that one is chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("could not start", error))?;
    runtime.block_on(async {
        let options = async_nats::ConnectOptions::new().request_timeout(Some(TIMEOUT));
        let nats = options.connect(url).await.map_err(|error| Failure::because(url, error))?;
        let client = Client::new(nats, subjects);
        observe(&client, lattice, configs).await.map_err(|error| Failure::because(url, error))
    })
}

async fn observe(
    client: &Client,
    lattice: LatticeName,
    configs: &BTreeSet<ConfigName>,
) -> Result<Observed, Error> {
    let hosts = match client.ping(TIMEOUT, usize::MAX).await {
        Err(Error::NoResponders) => Vec::new(),
        hosts => hosts?,
    };
    let mut observed = Observed::unknown(lattice);
    observed.gate = Gate::Open;
    observed.version = 1;
    observed.links = Links::Read(LinkMap::new());
    // Hosts answer for links and config: without any, all that is known is that nothing runs.
    if !hosts.is_empty() {
        let LinkList { links, .. } = client.links().await?;
        observed.links = Links::Read(links);
        for name in configs {
            let values = client.config(name).await?;
            observed.configs.insert(name.clone(), values.map(Arc::new));
        }
    }
    for brief in hosts {
        let id = brief.id.clone();
        let host = host(client, brief).await?;
        observed.put_host(id, host);
    }
    Ok(observed)
}

/// A host that answers a ping and not for its inventory is mute: it is busy, and gets no new work.
async fn host(client: &Client, brief: HostBrief) -> Result<Host, Error> {
    let (state, inventory) = match client.inventory(&brief.id).await {
        Ok(inventory) => (HostState::Ready, Some(inventory.inventory)),
        Err(Error::TimedOut | Error::NoResponders) => (HostState::Mute, None),
        Err(other) => return Err(other),
    };
    Ok(Host {
        friendly_name: brief.friendly_name,
        version: brief.version,
        labels: brief.labels.into(),
        state,
        joined: Moment::default(),
        inventory_at: Moment::default(),
        inventory: inventory.map(Arc::new),
    })
}
