//! `scale beside`: the operator and wadm, one after the other, with the same hosts and manifests.

use std::{path::Path, time::Duration};

use parts::{Nats, Stopwatch};
use tokio::time::sleep;

use crate::{
    failure::Failure,
    kubernetes::Kubernetes,
    lattices::Lattices,
    nats,
    size::Size,
    trellis::Trellis,
    usage::{Usage, percent},
    wadm::Wadm,
};

/// What either may take before it counts as not done.
const LIMIT: Duration = Duration::from_mins(4);
const IDLE: Duration = Duration::from_mins(1);

/// What was measured of one of the two; `None` where it was not done within [`LIMIT`].
struct Row {
    deployed: Option<Duration>,
    /// Applications whose status doesn't say so, once it was done or given up.
    unsaid: usize,
    deploy_cpu: f64,
    deploy_messages: u64,
    idle_percent: f64,
    idle_messages: u64,
    made_up: Option<Duration>,
    resident: u64,
}

/// Either of the two.
trait Subject {
    async fn deploy(&self, size: Size) -> Result<(), Failure>;
    async fn unsaid(&self, size: Size) -> Result<usize, Failure>;
    fn usage(&self) -> Result<Usage, Failure>;
}

struct Operator {
    trellis: Trellis,
    kubernetes: Kubernetes,
}

impl Subject for Operator {
    async fn deploy(&self, size: Size) -> Result<(), Failure> {
        self.kubernetes.create_applications(size).await
    }

    async fn unsaid(&self, _: Size) -> Result<usize, Failure> {
        self.kubernetes.not_running().await
    }

    fn usage(&self) -> Result<Usage, Failure> {
        self.trellis.usage()
    }
}

impl Subject for Wadm {
    async fn deploy(&self, size: Size) -> Result<(), Failure> {
        Self::deploy(self, size).await
    }

    async fn unsaid(&self, size: Size) -> Result<usize, Failure> {
        self.not_deployed(size).await
    }

    fn usage(&self) -> Result<Usage, Failure> {
        Self::usage(self)
    }
}

pub(crate) async fn measure(program: &Path, size: Size) -> Result<(), Failure> {
    let ours = {
        let nats = nats::start()?;
        let kubernetes = Kubernetes::start(program).await?;
        kubernetes.create_lattices(size, nats.url()).await?;
        let mut trellis = Trellis::start(program, &kubernetes)?;
        let lattices = Lattices::start(&nats, size).await?;
        trellis.until("trellis_lattice_synced", LIMIT, |synced| synced >= 1.0)?;
        row(&Operator { trellis, kubernetes }, &nats, &lattices, size).await?
    };
    let theirs = {
        let nats = nats::start()?;
        let wadm = Wadm::start(&nats).await?;
        let lattices = Lattices::start(&nats, size).await?;
        row(&wadm, &nats, &lattices, size).await?
    };
    print(&ours, &theirs);
    Ok(())
}

async fn row(
    subject: &impl Subject,
    nats: &Nats,
    lattices: &Lattices,
    size: Size,
) -> Result<Row, Failure> {
    let (before, messages) = (subject.usage()?, nats::messages(nats)?);
    let clock = Stopwatch::start();
    subject.deploy(size).await?;
    let run = lattices.all_run(LIMIT.saturating_sub(clock.elapsed())).await;
    let deployed = run.is_ok().then(|| clock.elapsed());
    let mut unsaid = subject.unsaid(size).await?;
    while unsaid > 0 && clock.elapsed() < LIMIT {
        sleep(Duration::from_secs(1)).await;
        unsaid = subject.unsaid(size).await?;
    }
    let deploy_cpu = subject.usage()?.cpu - before.cpu;
    let deploy_messages = nats::messages(nats)? - messages;

    let (before, messages) = (subject.usage()?, nats::messages(nats)?);
    sleep(IDLE).await;
    let after = subject.usage()?;
    let idle_messages = nats::messages(nats)? - messages;

    // Of what wasn't deployed it can't be told whether it is made up for.
    let made_up = match (deployed, lattices.all[0].hosts().first()) {
        (Some(_), Some(host)) => {
            let clock = Stopwatch::start();
            host.kill().await;
            lattices.all_run(LIMIT).await.is_ok().then(|| clock.elapsed())
        }
        _ => None,
    };
    Ok(Row {
        deployed,
        unsaid,
        deploy_cpu,
        deploy_messages,
        idle_percent: percent(before, after, IDLE),
        idle_messages,
        made_up,
        resident: after.resident,
    })
}

fn print(ours: &Row, theirs: &Row) {
    println!("{:<44} {:>12} {:>12} {:>8}", "", "Trellis", "wadm", "ratio");
    time("deploy → all instances run, s", ours.deployed, theirs.deployed);
    line("statuses that don't say so in the end", exact(ours.unsaid), exact(theirs.unsaid), 0);
    line("processor to deploy, s of a core", ours.deploy_cpu, theirs.deploy_cpu, 2);
    let messages = (exact(ours.deploy_messages), exact(theirs.deploy_messages));
    line("messages on the wire to deploy", messages.0, messages.1, 0);
    line("idle, percent of a core", ours.idle_percent, theirs.idle_percent, 2);
    line("idle, messages a minute", exact(ours.idle_messages), exact(theirs.idle_messages), 0);
    time("host killed → made up for, s", ours.made_up, theirs.made_up);
    let [resident, peer] = [ours.resident, theirs.resident].map(|bytes| exact(bytes / 1_000_000));
    line("resident, MB", resident, peer, 0);
}

fn time(what: &str, ours: Option<Duration>, theirs: Option<Duration>) {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => line(what, ours.as_secs_f64(), theirs.as_secs_f64(), 2),
        (ours, theirs) => {
            let text = |time: Option<Duration>| {
                time.map_or_else(|| "never".to_owned(), |it| format!("{:.2}", it.as_secs_f64()))
            };
            println!("{what:<44} {:>12} {:>12} {:>8}", text(ours), text(theirs), "");
        }
    }
}

fn line(what: &str, ours: f64, theirs: f64, digits: usize) {
    let ratio = if ours > 0.0 { format!("{:.1}", theirs / ours) } else { String::new() };
    println!("{what:<44} {ours:>12.digits$} {theirs:>12.digits$} {ratio:>8}");
}

/// Counts here are far below what a double holds exactly.
fn exact(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}
