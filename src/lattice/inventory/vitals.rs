//! Whether providers are well, as far as their hosts tell.
//!
//! ```text
//!  well ──failed──▶ Failed ──status (still so), or too long──▶ due: a plan stops and starts it
//!    │                 ▲                                        │
//!    └──no word for 75 s──▶ Silent ── due at once               ▼
//!  well ◀──────────────────────── passed ◀──────────── started anew: due again, ever later
//! ```
//!
//! A host asks each process 5 s after its start and then every 30 s, and tells `passed` and `failed`
//! where that differs from the answer before, else `status`; of no answer it tells nothing.
//!
//! 1. A `status` says nothing by itself: the first answer counts as a change only if it is good, so
//!    one that was never well looks like one whose `passed` nobody heard. Neither is judged.
//! 2. All processes of an id share the subject that hosts ask on: one that is well may hide one that
//!    isn't, and one that isn't may be taken for another. What is restarted may so be the wrong one,
//!    and is restarted ever less.
//! 3. Who goes by links that are no more ([`Sign::MissedLinks`]) stays so until it is stopped, however
//!    well it says it is; stopping it is no restart that counts.
//! 4. Builtin providers are never asked, and so never judged.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::Fold;
use crate::{
    lattice::in_flight::backoff,
    model::{Command, HostId, HostState, Moment, Sign, Unhealthy, WorkloadId},
};

/// Two questions without an answer, and some.
const SILENCE: Duration = Duration::from_secs(75);
/// Who has failed once is asked again within 30 s; if no word of that comes, that is word enough.
const CONFIRMED: Duration = Duration::from_secs(45);
/// How long it stays after a restart at least: longer than until its second answer.
const FIRST_DELAY: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_mins(10);
/// Whoever was well for so long begins anew.
const WELL: Duration = Duration::from_mins(10);

/// Silence is looked for this often.
const SWEEP: Duration = Duration::from_secs(5);

type Process = (HostId, WorkloadId);

/// See the module. Only processes that a host has told of are kept.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    hosts: BTreeMap<HostId, BTreeMap<WorkloadId, Vital>>,
    swept: Moment,
}

#[derive(Debug)]
struct Vital {
    /// When its host last told of it, or could not have.
    told: Moment,
    /// How often it was restarted in a row, when last, and since when it has been well after that.
    restarts: u32,
    restarted: Moment,
    well_since: Option<Moment>,
}

impl Vital {
    fn new(now: Moment) -> Self {
        Self { told: now, restarts: 0, restarted: now, well_since: None }
    }

    /// Sick, and due at `first` if it wasn't restarted before, else some time after that.
    fn sick(&self, process: &Process, sign: Sign, first: Moment) -> Unhealthy {
        let due = match self.restarts {
            0 => first,
            restarts => self.restarted + backoff(FIRST_DELAY, LONGEST, restarts, process),
        };
        Unhealthy { sign, restarts: self.restarts, due }
    }
}

impl Fold {
    /// `passed` as in [`crate::lattice::wire::Hint::ProviderHealth`].
    pub(super) fn provider_health(
        &mut self,
        host: &HostId,
        id: &WorkloadId,
        passed: Option<bool>,
        now: Moment,
    ) {
        if !self.shows_provider(host, id) {
            return;
        }
        let process = (host.clone(), id.clone());
        let vitals = self.vitals.hosts.entry(host.clone()).or_default();
        let vital = vitals.entry(id.clone()).or_insert_with(|| Vital::new(now));
        vital.told = now;
        let sick = self.observed.unhealthy.get(&process);
        let sick = match (passed, sick) {
            (Some(true) | None, Some(sick)) if sick.sign == Sign::MissedLinks => Some(sick.clone()),
            (Some(true), _) => {
                vital.well_since.get_or_insert(now);
                None
            }
            (Some(false), Some(sick)) => Some(Unhealthy { sign: Sign::Failed, ..sick.clone() }),
            (Some(false), None) => {
                if vital.well_since.take().is_some_and(|since| now.since(since) >= WELL) {
                    vital.restarts = 0;
                }
                Some(vital.sick(&process, Sign::Failed, now + CONFIRMED))
            }
            // It answers again, as it did before it fell silent.
            (None, Some(Unhealthy { sign: Sign::Silent, restarts: 0, .. }) | None) => None,
            // It answers as before, or as badly as one that starts can.
            (None, Some(sick)) => {
                let again = vital.sick(&process, Sign::Failed, now);
                Some(Unhealthy { due: again.due.min(sick.due), ..again })
            }
        };
        self.show_vital(process, sick);
    }

    /// Takes note that a command goes out, which may be a restart.
    pub(super) fn restarts(&mut self, command: &Command, now: Moment) {
        let Command::StopProvider { host, id } = command else { return };
        let process = (host.clone(), id.clone());
        if self.observed.unhealthy.get(&process).is_some_and(|it| it.sign == Sign::MissedLinks) {
            return self.show_vital(process, None);
        }
        let vital = self.vitals.hosts.get_mut(host).and_then(|vitals| vitals.get_mut(id));
        if let (Some(sick), Some(vital)) = (self.observed.unhealthy.get(&process), vital) {
            vital.restarts = vital.restarts.saturating_add(1);
            (vital.restarted, vital.told, vital.well_since) = (now, now, None);
            let sick = vital.sick(&process, sick.sign, now);
            self.show_vital(process, Some(sick));
        }
    }

    /// What could not be heard is no silence, and whoever had failed may be well by now.
    pub(super) fn heard_no_health_until(&mut self, now: Moment) {
        for vital in self.vitals.hosts.values_mut().flat_map(BTreeMap::values_mut) {
            vital.told = now;
        }
        for (process, sick) in self.observed.unhealthy.clone() {
            if sick.sign == Sign::MissedLinks {
                continue;
            }
            let due = sick.due.max(now + SILENCE);
            self.show_vital(process, Some(Unhealthy { due, ..sick }));
        }
    }

    /// Another process answers for a host by now, or none.
    pub(super) fn forget_vitals_on(&mut self, host: &HostId) {
        self.vitals.hosts.remove(host);
        let sick = self.observed.unhealthy.keys().filter(|(on, _)| on == host);
        for process in sick.cloned().collect::<Vec<_>>() {
            self.show_vital(process, None);
        }
    }

    pub(super) fn tick_vitals(&mut self, now: Moment) {
        if now.since(self.vitals.swept) < SWEEP {
            return;
        }
        self.vitals.swept = now;
        let (mut silent, mut gone) = (Vec::new(), Vec::new());
        for (host, vitals) in &mut self.vitals.hosts {
            let known = self.observed.hosts.get(host);
            let ready = known.filter(|known| known.state == HostState::Ready);
            let Some(inventory) = ready.and_then(|known| known.inventory.as_ref()) else {
                for vital in vitals.values_mut() {
                    vital.told = now;
                }
                continue;
            };
            for (id, vital) in vitals {
                let process = (host.clone(), id.clone());
                if !inventory.providers.contains_key(id) {
                    // One that is being restarted comes back.
                    if vital.restarts == 0 || now.since(vital.restarted) >= WELL {
                        gone.push(process);
                    }
                } else if now.since(vital.told) >= SILENCE
                    && !self.observed.unhealthy.contains_key(&process)
                {
                    let sick = vital.sick(&process, Sign::Silent, now);
                    silent.push((process, sick));
                }
            }
        }
        let stopped = self.observed.unhealthy.iter().filter(|((host, id), sick)| {
            sick.sign == Sign::MissedLinks && !self.shows_provider(host, id)
        });
        gone.extend(stopped.map(|(process, _)| process.clone()));
        for (process, sick) in silent {
            self.show_vital(process, Some(sick));
        }
        for process in gone {
            if let Some(vitals) = self.vitals.hosts.get_mut(&process.0) {
                vitals.remove(&process.1);
            }
            self.show_vital(process, None);
        }
    }

    fn show_vital(&mut self, process: Process, sick: Option<Unhealthy>) {
        if self.observed.unhealthy.get(&process) == sick.as_ref() {
            return;
        }
        self.outcome.change.workloads.insert(process.1.clone());
        let unhealthy = &mut Arc::make_mut(&mut self.observed).unhealthy;
        match sick {
            Some(sick) => unhealthy.insert(process, sick),
            None => unhealthy.remove(&process),
        };
    }

    fn shows_provider(&self, host: &HostId, id: &WorkloadId) -> bool {
        let inventory = self.observed.hosts.get(host).and_then(|host| host.inventory.as_ref());
        inventory.is_some_and(|inventory| inventory.providers.contains_key(id))
    }
}
