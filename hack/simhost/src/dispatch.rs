//! Requests in, answers out.
//!
//! One subscription a host (`….*.*.{host}`) and a handful for the lattice, all on one connection, so
//! that thousands of hosts fit in a process and NATS still says "no responders" for a host that is
//! gone. Each request is handled in a task of its own, as on the real host: nothing orders two (T11).

use std::sync::Arc;

use async_nats::{Client, Message, Subject};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::select_all;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::fault::{Effect, Occasion};
use crate::host::Cx;
use crate::lattice::Lattice;
use crate::line::{Line, Subscriber};
use crate::lock;
use crate::log::Command;
use crate::sim::SimError;
use crate::verb::Verb;
use crate::wire::Reply;
use crate::{admin, component, link, provider, work};

/// What a handler gives back: the answer, if any, and the work that starts once it was sent.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) reply: Option<Reply>,
    pub(crate) then: Option<BoxFuture<'static, ()>>,
}

impl Answer {
    pub(crate) fn then(reply: Reply, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { reply: Some(reply), then: Some(Box::pin(work)) }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply: Some(reply), then: None }
    }
}

/// Subscriptions and the task that reads them.
#[derive(Debug)]
pub(crate) struct Served {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Served {
    fn spawn(subscribers: Vec<Subscriber>, receive: impl Fn(Message) + Send + 'static) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut messages = select_all(subscribers);
            loop {
                tokio::select! {
                    biased;
                    _ = &mut stopped => break,
                    message = messages.next() => match message {
                        Some(message) => receive(message),
                        None => break,
                    },
                }
            }
            for subscriber in messages {
                subscriber.unsubscribe().await;
            }
        });
        Self { stop, task }
    }

    /// Withdraws the interest; once this returns, NATS says "no responders".
    pub(crate) async fn withdraw(self, line: &Line) {
        drop(self.stop);
        // The task neither panics nor is aborted.
        let _ = self.task.await;
        line.round_trip().await;
    }
}

/// Returns once the server has done all that was sent on this connection before.
///
/// `Client::flush` only empties the client's own buffer: a subscription may still be on its way when
/// it returns, and what others publish meanwhile is missed. A request that nobody can answer comes
/// back as "no responders", after everything before it.
pub async fn round_trip(nats: &Client) {
    // Whatever the error is, there is nothing more to wait for.
    let _ = nats.request(nats.new_inbox(), "".into()).await;
}

/// Subscribes to the subjects of one host.
pub(crate) async fn serve_host(cx: &Cx) -> Result<(), SimError> {
    let prefix = cx.lattice.options.control_subject();
    let subject = format!("{prefix}.*.*.{}", cx.host.id);
    let subscriber = cx.lattice.line.subscribe(subject).await?;
    let own = cx.clone();
    let served = Served::spawn(vec![subscriber], move |message| receive_own(&own, message));
    *cx.host.served.lock().await = Some(served);
    Ok(())
}

/// Subscribes to what all hosts share if any host is subscribed, and withdraws it if none is: that
/// is how NATS comes to say that a lattice has no host.
pub(crate) async fn serve_shared(lattice: &Arc<Lattice>) -> Result<(), SimError> {
    let mut shared = lattice.shared.lock().await;
    let wanted = lock(&lattice.hosts).values().any(|host| host.looks_subscribed());
    if !wanted {
        if let Some(served) = shared.take() {
            served.withdraw(&lattice.line).await;
        }
    } else if shared.is_none() {
        let prefix = lattice.options.control_subject();
        let mut subscribers = Vec::new();
        for all in ["registry.put", "host.ping", "component.auction", "provider.auction"] {
            subscribers.push(lattice.line.subscribe(format!("{prefix}.{all}")).await?);
        }
        for (one, group) in [("link.*", "link"), ("claims.get", "claims"), ("config.>", "config")] {
            let (subject, group) = (format!("{prefix}.{one}"), format!("{prefix}.{group}"));
            subscribers.push(lattice.line.queue_subscribe(subject, group).await?);
        }
        let own = lattice.clone();
        *shared = Some(Served::spawn(subscribers, move |message| receive_shared(&own, message)));
    }
    Ok(())
}

/// One request, ready to be handled.
#[derive(Debug, Clone)]
struct Request {
    verb: Verb,
    target: Option<String>,
    message: Message,
}

impl Request {
    fn parse(lattice: &Lattice, message: Message) -> Self {
        let prefix = lattice.options.control_subject();
        let rest = message.subject.strip_prefix(prefix.as_str()).unwrap_or_default();
        let (verb, target) = Verb::parse(rest.trim_start_matches('.'));
        Self { verb, target: target.map(str::to_owned), message }
    }

    fn record(&self, lattice: &Lattice, host: Option<&str>) -> Command {
        let payload = &self.message.payload;
        let text = || Value::String(String::from_utf8_lossy(payload).into_owned());
        let body = if payload.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(payload).unwrap_or_else(|_| text())
        };
        let command = Command {
            at: lattice.clock.elapsed(),
            verb: self.verb,
            target: self.target.clone(),
            host: host.map(str::to_owned),
            body,
        };
        lock(&lattice.commands).push(command.clone());
        lattice.touch();
        command
    }
}

fn receive_own(cx: &Cx, message: Message) {
    let request = Request::parse(&cx.lattice, message);
    let command = request.record(&cx.lattice, Some(&cx.host.id));
    let nouns = ["component.", "provider.", "label.", "host."];
    let rest = request.message.subject.as_str();
    let prefix = cx.lattice.options.control_subject().len() + 1;
    // The one wildcard is wider than the real host's four.
    let subscribed =
        rest.get(prefix..).is_some_and(|rest| nouns.iter().any(|n| rest.starts_with(n)));
    if subscribed && cx.host.hears() {
        tokio::spawn(handle(cx.clone(), request, command));
    }
}

fn receive_shared(lattice: &Arc<Lattice>, message: Message) {
    let request = Request::parse(lattice, message);
    let hosts = lattice.all_hosts();
    let to_all = matches!(
        request.verb,
        Verb::HostPing | Verb::ComponentAuction | Verb::ProviderAuction | Verb::RegistryPut
    );
    if to_all {
        let command = request.record(lattice, None);
        for host in hosts.into_iter().filter(|host| host.hears()) {
            let cx = Cx { lattice: lattice.clone(), host };
            tokio::spawn(handle(cx, request.clone(), command.clone()));
        }
        return;
    }
    // A queue group picks among all that look subscribed: a dead one takes its share with it.
    let group: Vec<_> = hosts.into_iter().filter(|host| host.looks_subscribed()).collect();
    let picked = lock(&lattice.rng).below(group.len());
    let Some(host) = group.into_iter().nth(picked) else { return };
    let command = request.record(lattice, Some(&host.id));
    if host.hears() {
        let cx = Cx { lattice: lattice.clone(), host };
        tokio::spawn(handle(cx, request, command));
    }
}

async fn handle(cx: Cx, request: Request, command: Command) {
    drop(cx.host.deaf.read().await);
    let occasion =
        Occasion { host: &cx.host.id, id: command.id(), verb: Some(request.verb), event: None };
    let refusal = cx.lattice.strike(&occasion, |effect| match effect {
        Effect::Refuse(text) => Some(text.clone()),
        _ => None,
    });
    let begun = work::begin(&cx, &command);
    let answer = match refusal {
        Some(text) => Reply::refused(text).into(),
        None => route(&cx, &request).await,
    };
    if let (Some(reply), Some(to)) = (answer.reply, request.message.reply.clone()) {
        send_reply(&cx, to, &reply, &occasion).await;
    }
    if let Some(work) = answer.then {
        work.await;
    }
    drop(begun);
}

async fn route(cx: &Cx, request: &Request) -> Answer {
    let payload = request.message.payload.as_ref();
    let target = request.target.as_deref().unwrap_or_default();
    match request.verb {
        Verb::HostPing => Reply::with(cx.pong()).into(),
        Verb::HostGet => Reply::with(cx.inventory().await).into(),
        Verb::HostStop => admin::stop_host(cx, payload),
        Verb::LabelPut => admin::put_label(cx, payload).await,
        Verb::LabelDel => admin::del_label(cx, payload).await,
        Verb::ComponentScale => component::scale(cx, payload).await,
        Verb::ComponentUpdate => component::update(cx, payload).await,
        Verb::ComponentAuction => component::auction(cx, payload).await,
        Verb::ProviderStart => provider::start(cx, payload).await,
        Verb::ProviderStop => provider::stop(cx, payload).await,
        Verb::ProviderAuction => provider::auction(cx, payload).await,
        Verb::LinkPut => link::put(cx, payload).await,
        Verb::LinkGet => link::get(cx).into(),
        Verb::LinkDel => link::del(cx, payload).await,
        Verb::ConfigPut => admin::put_config(cx, target, payload).await,
        Verb::ConfigGet => admin::get_config(cx, target).into(),
        Verb::ConfigDel => admin::del_config(cx, target).await,
        Verb::RegistryPut => admin::put_registries(cx, payload).into(),
        Verb::ClaimsGet => admin::get_claims(cx).into(),
        Verb::Unsupported => Reply::refused("unsupported subject").into(),
    }
}

async fn send_reply(cx: &Cx, to: Subject, reply: &Reply, occasion: &Occasion<'_>) {
    let fate = cx.lattice.strike(occasion, |effect| match effect {
        Effect::LoseReply => Some(None),
        Effect::DelayReply(by) => Some(Some(*by)),
        _ => None,
    });
    let payload = serde_json::to_vec(reply).unwrap_or_default();
    let cx = cx.clone();
    match fate {
        Some(None) => {}
        Some(Some(by)) => {
            tokio::spawn(async move {
                sleep(by).await;
                answer(&cx, to, payload).await;
            });
        }
        None => answer(&cx, to, payload).await,
    }
}

async fn answer(cx: &Cx, to: Subject, payload: Vec<u8>) {
    if cx.host.speaks() {
        cx.lattice.answer(to, payload).await;
    }
}
