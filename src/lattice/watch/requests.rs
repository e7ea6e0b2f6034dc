//! Questions and commands: when they go out, and what becomes of their answers.
use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;

use super::{
    queue::Item,
    state::Shared,
    task::{Link, Task},
};
use crate::{
    lattice::{
        access::chain,
        aside::aside,
        client::{Client, Error, LinkList},
        clock,
        in_flight::{Answer, Ticket},
        inventory::{Effect, Input, LinksUnread, Silence, StoredLinks},
        wire::{HostInventory, Read},
    },
    model::{Command, ConfigName, HostId, Lane, LinkMap, Links, like},
};

/// Questions under way at a time, of those that change nothing.
const READS: usize = 64;

/// How a request ended.
pub(super) enum Done {
    Inventory(HostId, Result<HostInventory, Error>),
    Links(Result<LinkList, Error>),
    StoredLinks(Result<LinkList, Error>),
    Config(ConfigName, Result<Option<BTreeMap<String, String>>, Error>),
    Command {
        lane: Lane,
        ticket: Ticket,
        verb: &'static str,
        answer: Answer,
        /// Where it was sent, if that is known to have been allowed.
        allowed: Option<String>,
    },
    /// The host was asked before something is stopped there.
    Looked {
        item: Item,
        host: HostId,
        result: Result<HostInventory, Error>,
    },
}

impl Task {
    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Inventory(host, result) => {
                self.reading -= 1;
                self.was_allowed(|| Read::Inventory(host.clone()), &result);
                self.fold(inventory(host, result));
            }
            Done::Links(result) => {
                self.reading -= 1;
                self.was_allowed(|| Read::Links, &result);
                let read = self.links(result);
                self.fold(Input::Links(read));
            }
            Done::StoredLinks(result) => {
                self.reading -= 1;
                let most = self.most();
                let read = result.map(|list| StoredLinks {
                    links: list.links,
                    fit: most.is_some_and(|most| list.bytes < most / 2),
                });
                self.fold(Input::StoredLinks(read.map_err(|error| silence(&error))));
            }
            Done::Config(name, result) => {
                self.reading -= 1;
                self.was_allowed(|| Read::Config(name.clone()), &result);
                let values = result.map_err(|error| chain(&error).into());
                self.fold(Input::Config { name, values });
            }
            Done::Command { lane, ticket, verb, answer, allowed } => {
                self.sending -= 1;
                if let Some(subject) = allowed {
                    self.answered(&subject);
                }
                self.shared.metrics.command(verb, &answer);
                self.fold(Input::Answered { lane, ticket, answer });
            }
            Done::Looked { item, host, result } => {
                self.sending -= 1;
                self.was_allowed(|| Read::Inventory(host.clone()), &result);
                self.looked(item, host, result);
            }
        }
    }

    fn was_allowed<T>(&self, read: impl Fn() -> Read, result: &Result<T, Error>) {
        if let Link::Open(session) = &self.link
            && has_arrived(result)
        {
            self.answered(&session.client.subjects().read(&read()).subject);
        }
    }

    /// Links whose list has become too long for one message can't be trusted to come again.
    fn links(&self, result: Result<LinkList, Error>) -> Result<LinkMap, LinksUnread> {
        let Some(most) = self.most() else { return Err(LinksUnread::Failed) };
        match result {
            Ok(list) if list.bytes > most / 10 * 7 => Err(LinksUnread::TooLarge),
            Ok(list) => Ok(list.links),
            Err(error) => Err(match silence(&error) {
                Silence::NoResponders => LinksUnread::NoResponders,
                Silence::NoAnswer => LinksUnread::Failed,
            }),
        }
    }

    /// How large a message may be.
    fn most(&self) -> Option<usize> {
        let Link::Open(session) = &self.link else { return None };
        Some(session.client.line().server().max_payload)
    }

    fn looked(&mut self, item: Item, host: HostId, result: Result<HostInventory, Error>) {
        let shown = result.is_ok();
        let now = clock::now();
        let mut state = self.shared.lock();
        state.fold(inventory(host, result), now);
        if !shown {
            let answer = Answer::NotDelivered(
                "the host doesn't say what it runs, which is asked before anything is stopped"
                    .into(),
            );
            let Item { lane, ticket, decided_on: _ } = item;
            return state.fold(Input::Answered { lane, ticket, answer }, now);
        }
        if !state.still_holds(&item) {
            return state.withdraw(&item, now);
        }
        drop(state);
        self.send(item);
    }

    /// Starts what can be started: questions, then commands whose turn it is.
    pub(super) async fn pump(&mut self) {
        let Link::Open(session) = &self.link else { return };
        if !self.up {
            return;
        }
        let effects = std::mem::take(&mut self.shared.lock().effects);
        for effect in effects {
            match effect {
                Effect::Ping { round } => session.ping(round).await,
                other @ (Effect::Inventory(_)
                | Effect::Links
                | Effect::StoredLinks
                | Effect::Config(_)) => {
                    self.reads.push_back(other);
                }
            }
        }
        let client = session.client.clone();
        while self.reading < READS
            && let Some(effect) = self.reads.pop_front()
        {
            if let Some(request) = read(&client, &self.shared, effect) {
                self.reading += 1;
                self.requests.push(request);
            }
        }
        self.send_queued(&client);
    }

    fn send_queued(&mut self, client: &Client) {
        loop {
            let now = clock::now();
            let mut state = self.shared.lock();
            if self.sending.max(state.fold.sent()) >= self.settings.max_in_flight {
                break;
            }
            if !state.may_send(now) {
                state.withdraw_all(now);
                break;
            }
            let Some(item) = state.queue.pop() else { break };
            state.make_room();
            let look_first = state.is_stale(&item, now);
            drop(state);
            match (&item.lane, look_first) {
                (Lane::Workload(host, _), true) => {
                    let (client, host) = (client.clone(), host.clone());
                    self.sending += 1;
                    self.requests.push(Box::pin(async move {
                        let result = client.inventory(&host).await;
                        Done::Looked { item, host, result }
                    }));
                }
                (Lane::Workload(..) | Lane::Links(_) | Lane::Config(_), _) => self.send(item),
            }
        }
    }

    fn send(&mut self, item: Item) {
        let Link::Open(session) = &self.link else {
            return self.shared.lock().withdraw(&item, clock::now());
        };
        let client = session.client.clone();
        let now = clock::now();
        let mut state = self.shared.lock();
        let command =
            if state.may_send(now) { state.fold.send(&item.lane, item.ticket, now) } else { None };
        let Some(command) = command else {
            return state.withdraw(&item, now);
        };
        drop(state);
        tracing::info!(lattice = %self.settings.name, %command, "sending");
        self.sending += 1;
        let shared = Arc::clone(&self.shared);
        self.requests.push(Box::pin(send(client, shared, command, item)));
    }
}

fn inventory(host: HostId, result: Result<HostInventory, Error>) -> Input {
    Input::Inventory { host, answer: result.map_err(|error| silence(&error)) }
}

fn silence(error: &Error) -> Silence {
    match error {
        Error::NoResponders => Silence::NoResponders,
        Error::TimedOut
        | Error::Refused(_)
        | Error::BadReply(_)
        | Error::TooLarge
        | Error::BadSubject
        | Error::Connection(_) => Silence::NoAnswer,
    }
}

/// Whether a request is known to have been let through by the server.
fn has_arrived<T>(result: &Result<T, Error>) -> bool {
    match result {
        Ok(_) | Err(Error::NoResponders | Error::Refused(_) | Error::BadReply(_)) => true,
        Err(Error::TimedOut | Error::TooLarge | Error::BadSubject | Error::Connection(_)) => false,
    }
}

fn answer(result: Result<(), Error>) -> Answer {
    match result {
        Ok(()) => Answer::Accepted,
        Err(Error::Refused(text)) => Answer::Refused(text.into()),
        Err(error) if error.not_delivered() => Answer::NotDelivered(error.to_string().into()),
        Err(
            Error::NoResponders
            | Error::TimedOut
            | Error::BadReply(_)
            | Error::TooLarge
            | Error::BadSubject
            | Error::Connection(_),
        ) => Answer::Unknown,
    }
}

fn read(client: &Client, shared: &Arc<Shared>, effect: Effect) -> Option<BoxFuture<'static, Done>> {
    let (client, shared) = (client.clone(), Arc::clone(shared));
    Some(match effect {
        Effect::Ping { .. } => return None,
        Effect::Inventory(host) => Box::pin(async move {
            let result = client.inventory(&host).await;
            Done::Inventory(host, result)
        }),
        Effect::Links => Box::pin(aside(async move {
            let read = client.links().await;
            Done::Links(read.map(|list| like_known(list, &shared)))
        })),
        Effect::StoredLinks => Box::pin(aside(async move {
            let read = client.stored_links().await;
            Done::StoredLinks(read.map(|list| like_known(list, &shared)))
        })),
        Effect::Config(name) => Box::pin(async move {
            let result = client.config(&name).await;
            Done::Config(name, result)
        }),
    })
}

/// The same links, and with what is known where they agree: thousands are compared here, so that
/// whoever takes them up compares only what differs.
fn like_known(list: LinkList, shared: &Shared) -> LinkList {
    let observed = Arc::clone(shared.lock().fold.observed());
    match &observed.links {
        Links::Read(known) => LinkList { links: like(known, &list.links), ..list },
        Links::Unread | Links::Unreadable => list,
    }
}

async fn send(client: Client, shared: Arc<Shared>, command: Command, item: Item) -> Done {
    let Item { lane, ticket, decided_on: _ } = item;
    // The last moment: whatever lies between it and the wire is what the fence's margin is for.
    let may_go = {
        let state = shared.lock();
        state.fence.allows(clock::now()) && state.fold.awaits(&lane, ticket)
    };
    let verb = command.verb();
    if !may_go {
        let answer = Answer::NotDelivered("this process may not send any more".into());
        return Done::Command { lane, ticket, verb, answer, allowed: None };
    }
    let result = client.command(&command).await;
    let allowed = has_arrived(&result).then(|| client.subjects().command(&command).subject);
    Done::Command { lane, ticket, verb, answer: answer(result), allowed }
}
