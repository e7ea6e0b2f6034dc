//! Configs carry no heartbeat either; only those that somebody wants are read.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Effect, Fold, link::REREAD};
use crate::{
    lattice::in_flight::backoff,
    model::{ApplicationKey, ConfigName, FewOf, LatticeName, Moment, Thing},
};

type Values = BTreeMap<String, String>;

/// Which configs are kept read, for whom, and when each is due.
#[derive(Debug)]
pub(super) struct ConfigReads {
    lattice: LatticeName,
    applications: BTreeMap<ApplicationKey, FewOf<ConfigName>>,
    names: BTreeMap<ConfigName, Reading>,
    due: BTreeSet<(Moment, ConfigName)>,
}

#[derive(Debug, Default)]
struct Reading {
    wanted_by: usize,
    under_way: bool,
    dirty: bool,
    due: Option<Moment>,
}

impl ConfigReads {
    pub(super) fn new(lattice: &LatticeName) -> Self {
        Self {
            lattice: lattice.clone(),
            applications: BTreeMap::new(),
            names: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Replaces what `application` wants; answers what to read now, and what nobody wants now.
    pub(super) fn want(
        &mut self,
        application: &ApplicationKey,
        names: FewOf<ConfigName>,
    ) -> (Vec<ConfigName>, Vec<ConfigName>) {
        let before = self.applications.get(application).cloned().unwrap_or_default();
        if before == names {
            return (Vec::new(), Vec::new());
        }
        let mut read = Vec::new();
        for name in names.iter().filter(|name| !before.contains(name)) {
            let reading = self.names.entry(name.clone()).or_default();
            reading.wanted_by += 1;
            if reading.wanted_by == 1 {
                reading.under_way = true;
                read.push(name.clone());
            }
        }
        let mut dropped = Vec::new();
        for name in before.iter().filter(|name| !names.contains(name)) {
            let Some(reading) = self.names.get_mut(name) else { continue };
            reading.wanted_by -= 1;
            if reading.wanted_by == 0 {
                if let Some(due) = reading.due {
                    self.due.remove(&(due, name.clone()));
                }
                self.names.remove(name);
                dropped.push(name.clone());
            }
        }
        if names.is_empty() {
            self.applications.remove(application);
        } else {
            self.applications.insert(application.clone(), names);
        }
        (read, dropped)
    }

    pub(super) fn all_due(&mut self, now: Moment) {
        self.due.clear();
        for (name, reading) in &mut self.names {
            *reading = Reading {
                wanted_by: reading.wanted_by,
                under_way: false,
                dirty: false,
                due: Some(now),
            };
            self.due.insert((now, name.clone()));
        }
    }

    fn due_at(&mut self, name: &ConfigName, at: Moment) {
        let Some(reading) = self.names.get_mut(name) else { return };
        if let Some(due) = reading.due {
            self.due.remove(&(due, name.clone()));
        }
        reading.due = Some(at);
        self.due.insert((at, name.clone()));
    }
}

impl Fold {
    pub(super) fn tick_configs(&mut self, now: Moment) {
        while self.configs.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, name)) = self.configs.due.pop_first() else { break };
            if let Some(reading) = self.configs.names.get_mut(&name) {
                reading.due = None;
                reading.under_way = true;
                reading.dirty = false;
                self.outcome.effects.push(Effect::Config(name));
            }
        }
    }

    /// A config may have changed; it is read now if it is wanted.
    pub(super) fn config_due(&mut self, name: &ConfigName, now: Moment) {
        let Some(reading) = self.configs.names.get_mut(name) else { return };
        if reading.under_way {
            reading.dirty = true;
            return;
        }
        self.configs.due_at(name, now);
        self.tick_configs(now);
    }

    pub(super) fn config_read(
        &mut self,
        name: &ConfigName,
        values: Result<Option<Values>, Arc<str>>,
        now: Moment,
    ) {
        let Some(reading) = self.configs.names.get_mut(name) else { return };
        reading.under_way = false;
        let dirty = std::mem::take(&mut reading.dirty);
        let pause = match &values {
            _ if dirty => Duration::ZERO,
            Ok(_) => backoff(REREAD, REREAD, 1, &(&self.configs.lattice, name)),
            Err(_) => self.settings.probe_interval,
        };
        self.configs.due_at(name, now + pause);
        match values {
            Ok(values) => self.set_config(name, values.map(Arc::new), now),
            Err(why) => self.unreadable(name, why),
        }
    }

    /// Shows why a config isn't known. One that was read stays what it was then.
    fn unreadable(&mut self, name: &ConfigName, why: Arc<str>) {
        let observed = &self.observed;
        if !observed.configs.contains_key(name) && observed.unreadable.get(name) != Some(&why) {
            self.outcome.change.configs.insert(name.clone());
            Arc::make_mut(&mut self.observed).unreadable.insert(name.clone(), why);
        }
    }

    /// Shows a config's values, if somebody wants them and they differ.
    pub(super) fn set_config(
        &mut self,
        name: &ConfigName,
        values: Option<Arc<Values>>,
        now: Moment,
    ) {
        self.look_at_config(&Thing::Config(name.clone()), values.as_ref(), now);
        if self.configs.names.contains_key(name) && self.observed.configs.get(name) != Some(&values)
        {
            self.outcome.change.configs.insert(name.clone());
            let observed = Arc::make_mut(&mut self.observed);
            observed.configs.insert(name.clone(), values);
            observed.unreadable.remove(name);
        }
    }
}
