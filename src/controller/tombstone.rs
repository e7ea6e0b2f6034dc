//! What an Application that goes may have left on a lattice ↔ the status of its `Lattice`. Pure.
//!
//! What runs says whose it is; links and configs don't, and revisions go with their Application. So
//! a tombstone names them, and reads back as releases of which nothing is wanted any more.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::settings;
use crate::{
    api::{self, LeftBehind, LeftLink, LeftWorkload, Tombstone},
    model::{
        Adopt, ApplicationKey, AskHash, ConfigWanted, Desired, FewOf, Layout, Link, LinkKey,
        LossPolicy, Owner, Rollout, Scaling, SpreadEntry, Workload, WorkloadId, WorkloadKind,
    },
};

/// All tombstones of a lattice take no more, in an object of 1.5 MiB at most.
const MAX_BYTES: usize = 256 * 1024;
const WADM: &str = "wadm";
const ANY: &str = "any";

/// Who went, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone<'a> {
    pub owner: &'a Owner,
    pub uid: &'a str,
    /// RFC 3339.
    pub at: &'a str,
}

/// `tombstones` with one that names what is in `former`, newest first, in the place of an earlier one
/// of the same Application; `None` if there is no room for it.
#[must_use]
pub(super) fn with(
    tombstones: &[Tombstone],
    gone: Gone<'_>,
    former: &[Arc<Desired>],
) -> Option<Vec<Tombstone>> {
    let mut after = tombstones.to_vec();
    let application = gone.owner.application.to_string();
    let old = after.iter_mut().find(|old| old.application == application);
    let tombstone = Tombstone {
        application,
        uid: gone.uid.into(),
        installation: gone.owner.installation.to_string(),
        since: old.as_ref().map_or(gone.at, |old| &old.since).into(),
        left: left(former),
    };
    match old {
        Some(old) => *old = tombstone,
        None => after.push(tombstone),
    }
    let bytes = serde_json::to_vec(&after).map_or(usize::MAX, |json| json.len());
    (bytes <= MAX_BYTES).then_some(after)
}

/// Each thing once, with the newest release that had it.
fn left(former: &[Arc<Desired>]) -> Vec<LeftBehind> {
    let (mut workloads, mut links, mut configs) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let of = |desired: &Arc<Desired>| {
        let adopted = adopted(desired.adopt);
        LeftBehind {
            adopted: adopted.map(Into::into),
            workloads: (desired.workloads.iter())
                .filter(|(id, _)| workloads.insert((adopted, (*id).clone())))
                .map(|(id, workload)| LeftWorkload {
                    id: id.to_string(),
                    on_host_loss: workload.on_host_loss.map(policy),
                })
                .collect(),
            links: (desired.links.iter())
                .filter(|(key, link)| links.insert(((*key).clone(), link.target.clone())))
                .map(|(key, link)| LeftLink {
                    source: key.source.to_string(),
                    target: link.target.to_string(),
                    name: key.name.to_string(),
                    namespace: key.namespace.to_string(),
                    package: key.package.to_string(),
                })
                .collect(),
            configs: (desired.configs.iter())
                .filter(|(name, wanted)| is_managed(wanted) && configs.insert((*name).clone()))
                .map(|(name, _)| name.to_string())
                .collect(),
        }
    };
    let nothing = |left: &LeftBehind| {
        left.workloads.is_empty() && left.links.is_empty() && left.configs.is_empty()
    };
    former.iter().map(of).filter(|left| !nothing(left)).collect()
}

fn is_managed(wanted: &ConfigWanted) -> bool {
    match wanted {
        ConfigWanted::Managed(_) => true,
        ConfigWanted::Required => false,
    }
}

fn adopted(adopt: Adopt) -> Option<&'static str> {
    match adopt {
        Adopt::Nothing => None,
        Adopt::Wadm => Some(WADM),
        Adopt::Any | Adopt::Restamp => Some(ANY),
    }
}

fn policy(policy: LossPolicy) -> api::LossPolicy {
    match policy {
        LossPolicy::Replace => api::LossPolicy::Replace,
        LossPolicy::Hold => api::LossPolicy::Hold,
    }
}

/// Whose things a tombstone is about; `None` if somebody wrote there what names nobody.
#[must_use]
pub(super) fn owner(tombstone: &Tombstone) -> Option<Owner> {
    let application = ApplicationKey::parse(&tombstone.application)?;
    Some(Owner { installation: tombstone.installation.as_str().into(), application })
}

/// The releases that a tombstone tells of, newest first, as far as it takes to remove what they left.
/// What can't be a name is nobody's.
#[must_use]
pub(super) fn former(tombstone: &Tombstone, owner: &Owner) -> Vec<Arc<Desired>> {
    tombstone.left.iter().map(|left| Arc::new(desired(left, owner))).collect()
}

fn desired(left: &LeftBehind, owner: &Owner) -> Desired {
    let workload = |left: &LeftWorkload| {
        let id = left.id.parse::<WorkloadId>().ok()?;
        Some((id, Box::new(workload(owner, left.on_host_loss.map(settings::policy)))))
    };
    let config = |name: &String| Some((name.parse().ok()?, ConfigWanted::Managed(BTreeMap::new())));
    Desired {
        workloads: left.workloads.iter().filter_map(workload).collect(),
        links: left.links.iter().filter_map(link).collect(),
        configs: left.configs.iter().filter_map(config).collect(),
        adopt: match left.adopted.as_deref() {
            Some(WADM) => Adopt::Wadm,
            Some(ANY) => Adopt::Any,
            Some(_) | None => Adopt::Nothing,
        },
        ..Desired::nothing(owner.clone())
    }
}

/// Only that there was one counts: what it was asked with is nobody's wish any more.
fn workload(owner: &Owner, on_host_loss: Option<LossPolicy>) -> Workload {
    let all = SpreadEntry { name: "default".into(), weight: 100, requirements: BTreeMap::new() };
    Workload {
        kind: WorkloadKind::Component,
        component: "".into(),
        namespace: Arc::clone(&owner.application.namespace),
        image: "".into(),
        config: Vec::new(),
        scaling: Scaling::Spread { instances: 0, spread: vec![all] },
        on_host_loss,
        layout: Layout::default(),
        rollout: Rollout::default(),
        max_memory: None,
        annotations: Arc::default(),
        hash: AskHash { start: "".into(), config: "".into() },
    }
}

fn link(left: &LeftLink) -> Option<(LinkKey, Link)> {
    let key = LinkKey {
        source: left.source.parse().ok()?,
        name: left.name.as_str().into(),
        namespace: left.namespace.as_str().into(),
        package: left.package.as_str().into(),
    };
    let link = Link {
        target: left.target.parse().ok()?,
        interfaces: FewOf::default(),
        source_config: Vec::new(),
        target_config: Vec::new(),
    };
    Some((key, link))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConfigName;

    fn gone_owner() -> Owner {
        Owner { installation: "trellis".into(), application: ApplicationKey::new("n", "shop") }
    }

    /// A release with these ids, one link from the first of them to `target`, and these configs.
    fn release(ids: &[&str], target: &str, configs: &[&str], adopt: Adopt) -> Arc<Desired> {
        let left = LeftBehind {
            adopted: None,
            workloads: (ids.iter())
                .map(|id| LeftWorkload { id: (*id).into(), on_host_loss: None })
                .collect(),
            links: vec![LeftLink {
                source: ids[0].into(),
                target: target.into(),
                name: "default".into(),
                namespace: "wasi".into(),
                package: "http".into(),
            }],
            configs: configs.iter().map(|name| (*name).into()).collect(),
        };
        Arc::new(Desired { adopt, ..desired(&left, &gone_owner()) })
    }

    fn buried(former: &[Arc<Desired>]) -> Tombstone {
        let owner = gone_owner();
        let gone = Gone { owner: &owner, uid: "u", at: "1" };
        let mut all = with(&[], gone, former).unwrap();
        assert_eq!(all.len(), 1);
        let json = serde_json::to_value(all.remove(0)).unwrap();
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_a_tombstone_names_comes_back_as_what_was_released() {
        let mut newest = release(&["web", "api"], "api", &["c", "SECRET_s"], Adopt::Wadm);
        let hold = Arc::make_mut(&mut newest).workloads.get_mut("web").unwrap();
        hold.on_host_loss = Some(LossPolicy::Hold);
        let required = "theirs".parse::<ConfigName>().unwrap();
        Arc::make_mut(&mut newest).configs.insert(required.clone(), ConfigWanted::Required);
        let older = release(&["web", "old"], "db", &["c", "d"], Adopt::Nothing);
        let tombstone = buried(&[Arc::clone(&newest), older]);
        let owner = owner(&tombstone).unwrap();
        assert_eq!(owner, gone_owner());

        let read = former(&tombstone, &owner);
        Arc::make_mut(&mut newest).configs.remove(&required);
        assert_eq!(read[0], newest, "but for what was never ours to delete");
        let older = release(&["web", "old"], "db", &["d"], Adopt::Nothing);
        assert_eq!(read[1..], [older], "a link to another target is another link");
    }

    #[test]
    fn what_several_releases_had_is_named_once() {
        let one = release(&["web"], "api", &["c"], Adopt::Nothing);
        assert_eq!(buried(&[Arc::clone(&one), Arc::clone(&one)]), buried(&[one]));
    }

    #[test]
    fn an_application_has_one_tombstone_and_it_keeps_its_age() {
        let (owner, first) = (gone_owner(), buried(&[]));
        let other = Tombstone { application: "n/other".into(), ..first.clone() };
        let again = Gone { owner: &owner, uid: "v", at: "2" };
        let more = release(&["web"], "api", &[], Adopt::Nothing);
        let all = with(&[first, other.clone()], again, &[more]).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((&all[1], all[0].since.as_str(), all[0].left.len()), (&other, "1", 1));
        let again = with(&all, again, &former(&all[0], &owner)).unwrap();
        assert_eq!(again, all, "a pass that comes again writes nothing");
    }

    #[test]
    fn there_is_an_end_to_what_a_status_keeps() {
        let ids: Vec<_> = (0..20).map(|n| format!("namespace-application-component_{n}")).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        let mut all = Vec::new();
        let kept = (0..10_000).take_while(|n| {
            let application = ApplicationKey::new("n", &format!("app-{n}"));
            let owner = Owner { installation: "trellis".into(), application };
            let gone = Gone { owner: &owner, uid: "u", at: "1" };
            let former = [release(&ids, "t", &ids, Adopt::Nothing)];
            with(&all, gone, &former).map(|after| all = after).is_some()
        });
        let kept = kept.count();
        assert!((100..1000).contains(&kept), "{kept}");
        assert!(serde_json::to_vec(&all).unwrap().len() <= MAX_BYTES);
    }

    #[test]
    fn what_somebody_else_wrote_there_names_nothing() {
        let odd = Tombstone { application: "shop".into(), ..buried(&[]) };
        assert_eq!(owner(&odd), None);
        let left = LeftBehind {
            workloads: vec![LeftWorkload { id: "a b".into(), on_host_loss: None }],
            links: vec![LeftLink::default()],
            configs: vec!["*".into()],
            ..LeftBehind::default()
        };
        assert_eq!(desired(&left, &gone_owner()), Desired::nothing(gone_owner()));
    }
}
