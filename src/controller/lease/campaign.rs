//! Reads and writes the Lease, and tells the others here what came of it.
use std::{
    hash::{BuildHasher, RandomState},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::{
    api::authentication::v1::SelfSubjectReview, apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Api, Client, api::PostParams, runtime::watcher::Event};
use tokio::{sync::oneshot, task::JoinHandle, time::sleep};

use super::{
    Election,
    decision::{Candidate, LONGEST, Record, Step, Terms, Why, Words},
    record::{self, Age, Lease},
};
use crate::{
    controller::{
        call::{CallError, within_time, written},
        chain,
        context::Context,
        run::Options,
        watches,
    },
    lattice::{clock, inventory::Predecessor},
    model::Moment,
};

/// A release that meets a newer version of the Lease is tried again this often.
const RELEASES: usize = 3;

/// A task of its own, so that nothing else here can keep it from renewing.
pub(crate) struct Campaign {
    release: oneshot::Sender<bool>,
    task: JoinHandle<()>,
}

impl Campaign {
    /// Takes part in the election that `options` tell of, if any, once this process is ready.
    /// `kube` writes also while another replica leads.
    #[must_use]
    pub(crate) fn begin(kube: Client, options: &Options, ctx: &Arc<Context>) -> Option<Self> {
        let Election { name, terms } = options.election.clone()?;
        let me = identity(options.instance.as_deref());
        tracing::info!(lease = name, identity = me, "takes part in an election");
        let runner = Runner {
            api: Api::namespaced(kube, &ctx.namespace),
            candidate: Candidate::new(me, terms),
            lease: None,
            owner: None,
            failing: false,
            odd: None,
            name,
            terms,
            ctx: Arc::clone(ctx),
        };
        let (release, released) = oneshot::channel();
        let task = tokio::spawn(runner.run(options.ready.subscribe(), released));
        Some(Self { release, task })
    }

    /// Waits for its end, which is never a good one; without a campaign, for ever.
    pub(crate) async fn ended(campaign: &mut Option<Self>) {
        let Some(campaign) = campaign else { return std::future::pending().await };
        if let Err(error) = (&mut campaign.task).await {
            tracing::error!(error = chain(&error), "the election");
        }
    }

    /// Leaves the Lease to the others, if it is ours. `drained`: nothing that we sent is under way.
    pub(crate) async fn release(self, drained: bool) {
        // One that has ended by itself has failed, which was said.
        if self.release.send(drained).is_ok() {
            self.task.await.ok();
        }
    }
}

/// A Pod's name stays when its container starts again, so it isn't enough.
fn identity(instance: Option<&str>) -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("{}_{random:016x}", instance.unwrap_or("trellis"))
}

type Ready = tokio::sync::watch::Receiver<bool>;

struct Runner {
    api: Api<Lease>,
    name: String,
    terms: Terms,
    candidate: Candidate,
    /// What `candidate` saw last.
    lease: Option<Lease>,
    /// What the Lease goes with.
    owner: Option<OwnerReference>,
    /// Whether the last call came to nothing.
    failing: bool,
    /// What the Lease says that isn't what is configured, as it was logged.
    odd: Option<Duration>,
    ctx: Arc<Context>,
}

impl Runner {
    async fn run(mut self, mut ready: Ready, mut release: oneshot::Receiver<bool>) {
        tokio::select! {
            _ = &mut release => return,
            // An error means that the process ends.
            _ = ready.wait_for(|ready| *ready) => {}
        }
        self.owner = self.owner().await;
        let mut seen = pin!(watches::one(self.api.clone(), &self.name));
        loop {
            let now = clock::now();
            match self.candidate.next(now) {
                Step::Begin => self.begin().await,
                Step::Look => self.look().await,
                Step::Lay => self.lay().await,
                Step::Take | Step::Renew => self.write().await,
                Step::Resign(why) => self.step_down(&why),
                Step::Wait { until } => tokio::select! {
                    drained = &mut release => return self.release(drained.unwrap_or(false)).await,
                    event = seen.next() => self.watched(event),
                    () = sleep(until.since(now)) => {}
                },
            }
        }
    }

    /// Who doesn't learn who it is leaves a Lease behind, and is none the worse for it.
    async fn owner(&self) -> Option<OwnerReference> {
        let reviews = Api::<SelfSubjectReview>::all(self.api.clone().into_client());
        let (params, review) = (PostParams::default(), SelfSubjectReview::default());
        let review = reviews.create(&params, &review);
        let review = within_time(self.terms.interval(), review).await.ok()?;
        record::owner(&review.status?.user_info?, &self.ctx.namespace)
    }

    fn watched(&mut self, event: Option<Event<Lease>>) {
        match event {
            Some(Event::InitApply(lease) | Event::Apply(lease)) => {
                let age = self.age(&lease, false);
                if age != Age::Late {
                    self.observe(Some(lease), age);
                }
            }
            // Whether there is a new one by now isn't known.
            Some(Event::Delete(_)) => self.candidate.outdated(),
            Some(Event::Init | Event::InitDone) | None => {}
        }
    }

    async fn begin(&mut self) {
        let sent = clock::now();
        let trace = record::trace(&self.name, self.owner.as_ref());
        match within_time(self.terms.interval(), self.api.create(&written(), &trace)).await {
            Ok(_) => self.began(Some(sent)),
            Err(error) if error.is_already_exists() => self.began(None),
            Err(error) => self.failed("write", &error),
        }
    }

    fn began(&mut self, ours: Option<Moment>) {
        self.failing = false;
        self.candidate.began(ours);
    }

    async fn lay(&mut self) {
        match self.put(&self.candidate.laid(Timestamp::now())).await {
            Ok(lease) => {
                self.failing = false;
                self.observe(Some(lease), Age::New);
            }
            Err(error) if self.is_outdated(&error) => self.candidate.outdated(),
            Err(error) => self.failed("write", &error),
        }
    }

    async fn look(&mut self) {
        match within_time(self.terms.interval(), self.api.get_opt(&self.name)).await {
            Ok(lease) => {
                self.failing = false;
                let age = lease.as_ref().map_or(Age::New, |lease| self.age(lease, true));
                self.observe(lease, age);
            }
            Err(error) => self.failed("read", &error),
        }
    }

    fn age(&self, lease: &Lease, read: bool) -> Age {
        self.lease.as_ref().map_or(Age::New, |known| record::age(lease, known, read))
    }

    /// Takes note of what was read or seen. Whoever had a Lease since the moment that a restored one is
    /// of may still act, as if somebody had edited it.
    fn observe(&mut self, lease: Option<Lease>, age: Age) {
        let before = self.candidate.holder().map(str::to_owned);
        let record = lease.as_ref().map(|lease| self.read(lease));
        let record = record.map(|it| Record { intact: it.intact && age != Age::Restored, ..it });
        if lease != self.lease
            && let Some(record) = &record
        {
            self.compare(record);
        }
        self.candidate.observe(record, clock::now());
        self.lease = lease;
        let holder = self.candidate.holder();
        if !self.candidate.leads() && holder != before.as_deref() {
            tracing::info!(lease = self.name, holder, "standing by");
        }
    }

    /// Says so if a Lease has come to say something else than what is configured, or was edited.
    fn compare(&mut self, record: &Record) {
        let configured = self.terms.written();
        let odd = (record.intact && record.duration != configured).then_some(record.duration);
        if std::mem::replace(&mut self.odd, odd) != odd
            && let Some(said) = odd
        {
            let (said, configured) = (said.as_secs(), configured.as_secs());
            tracing::warn!(
                "Lease {} says {said} s, and this operator is configured for {configured} s; its \
                 holder is waited for as long as the longer of both says",
                self.name
            );
        }
        if !record.intact {
            let longest = LONGEST.as_secs();
            tracing::warn!(
                "Lease {} isn't as a replica of this version wrote it last: it was edited, restored \
                 from a backup or written by another version, and who had it may act for up to \
                 {longest} s",
                self.name
            );
        }
    }

    fn read(&self, lease: &Lease) -> Record {
        record::read(lease, self.terms.written())
    }

    async fn write(&mut self) {
        // Before it is sent: whoever sees it granted counts from a later moment.
        let sent = clock::now();
        match self.put(&self.candidate.claim(Timestamp::now())).await {
            Ok(lease) => {
                self.failing = false;
                let won = self.candidate.accepted(self.read(&lease), sent);
                self.lease = Some(lease);
                if let Some(won) = won {
                    let from = if won.clean { Predecessor::Drained } else { Predecessor::Unknown };
                    tracing::info!(lease = self.name, ?from, "leading");
                    self.ctx.take_over(from);
                }
                if let Some(until) = self.candidate.acts_until() {
                    self.ctx.lattices.fence().open_until(until);
                }
                if won.is_some() {
                    self.ctx.look_at_everything();
                }
            }
            Err(error) if self.is_outdated(&error) => self.candidate.outdated(),
            Err(error) => self.failed("write", &error),
        }
    }

    /// Whether it wasn't written because the Lease isn't any more what it was when it was read.
    fn is_outdated(&self, error: &CallError) -> bool {
        match &self.lease {
            Some(_) => error.is_conflict() || error.is_not_found(),
            None => error.is_already_exists(),
        }
    }

    async fn put(&self, words: &Words) -> Result<Lease, CallError> {
        let lease = record::written(&self.name, self.owner.as_ref(), self.lease.as_ref(), words);
        let longest = self.terms.interval();
        match &self.lease {
            Some(_) => within_time(longest, self.api.replace(&self.name, &written(), &lease)).await,
            None => within_time(longest, self.api.create(&written(), &lease)).await,
        }
    }

    /// It is tried again soon; of a row of failures the first is news.
    fn failed(&mut self, what: &str, error: &CallError) {
        self.candidate.failed(clock::now());
        if std::mem::replace(&mut self.failing, true) {
            return tracing::debug!(error = chain(error), "could not {what} the Lease");
        }
        let advice = if error.is_forbidden() {
            "; grant the operator create on leases there, and get, watch and update on this one"
        } else {
            ""
        };
        let (namespace, name, error) = (&self.ctx.namespace, &self.name, chain(error));
        tracing::warn!(error, "could not {what} Lease {namespace}/{name}{advice}");
    }

    fn step_down(&mut self, why: &Why) {
        self.ctx.lattices.fence().close();
        self.ctx.metrics.leader.set(0);
        self.candidate.step_down();
        match why {
            Why::NotRenewed => {
                tracing::warn!(lease = self.name, "standing by: not renewed in time");
            }
            Why::Lost { to } => {
                tracing::warn!(lease = self.name, holder = to, "standing by: lost to another");
            }
        }
    }

    async fn release(mut self, drained: bool) {
        if !self.candidate.leads() {
            return;
        }
        self.ctx.lattices.fence().close();
        self.ctx.metrics.leader.set(0);
        for _ in 0..RELEASES {
            let Some(words) = self.candidate.release(Timestamp::now(), drained) else { return };
            match self.put(&words).await {
                Ok(_) => return tracing::info!(lease = self.name, drained, "released"),
                Err(error) if self.is_outdated(&error) => self.look().await,
                Err(error) => return self.failed("release", &error),
            }
        }
    }
}
