use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    lattice::in_flight::Ticket,
    model::{ApplicationKey, Host, Lane},
};

/// A registered command that waits for its turn.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) lane: Lane,
    pub(super) ticket: Ticket,
    /// The host as it was when the command was decided on, if the command takes something away
    /// there.
    pub(super) decided_on: Option<Arc<Host>>,
}

/// Commands by Application, taken one of each in turn, so that one with thousands doesn't hold
/// up the others.
#[derive(Debug, Default)]
pub(super) struct Queue {
    by_application: BTreeMap<ApplicationKey, VecDeque<Item>>,
    turn: VecDeque<ApplicationKey>,
    len: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, application: &ApplicationKey, item: Item) {
        self.len += 1;
        let items = self.by_application.entry(application.clone()).or_default();
        if items.is_empty() {
            self.turn.push_back(application.clone());
        }
        items.push_back(item);
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let application = self.turn.pop_front()?;
        let items = self.by_application.get_mut(&application)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.by_application.remove(&application);
        } else {
            self.turn.push_back(application);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// Takes out all that waits for one Application.
    pub(super) fn remove(&mut self, application: &ApplicationKey) -> VecDeque<Item> {
        self.turn.retain(|other| other != application);
        let items = self.by_application.remove(application).unwrap_or_default();
        self.len -= items.len();
        items
    }

    pub(super) fn take_all(&mut self) -> Vec<Item> {
        let taken = std::mem::take(self);
        taken.by_application.into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lattice::in_flight::{Deadlines, Lanes},
        model::{Command, InFlight, Moment},
    };

    /// Queues what each Application wants, in this order, and answers in which order it goes out.
    fn order(wanted: &[(&str, Vec<String>)]) -> Vec<String> {
        let second = std::time::Duration::from_secs(1);
        let mut lanes = Lanes::new(Deadlines { start: second, other: second, request: second });
        let mut in_flight = InFlight::default();
        let mut queue = Queue::default();
        for (application, names) in wanted {
            let application = ApplicationKey::new("n", application);
            for name in names {
                let command = Command::DeleteConfig { name: name.parse().unwrap() };
                let now = Moment::default();
                let ticket = lanes.register(&mut in_flight, &application, &command, now).unwrap();
                queue.push(&application, Item { lane: command.lane(), ticket, decided_on: None });
            }
        }
        let order = std::iter::from_fn(|| queue.pop())
            .map(|item| match item.lane {
                Lane::Config(name) => name.to_string(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(queue.len(), 0);
        order
    }

    #[test]
    fn a_thousand_commands_of_one_application_delay_the_one_of_another_by_one() {
        let many = (0..1000).map(|n| format!("many{n}")).collect();
        let order = order(&[("a", many), ("b", vec!["single".to_owned()])]);
        assert_eq!(order.iter().position(|name| name == "single"), Some(1));
    }

    #[test]
    fn applications_take_turns() {
        let three = |name: &str| (1..4).map(|n| format!("{name}{n}")).collect();
        let order = order(&[("a", three("a")), ("b", three("b"))]);
        assert_eq!(order, ["a1", "b1", "a2", "b2", "a3", "b3"]);
    }
}
