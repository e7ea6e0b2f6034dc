//! `scale alone`: the operator with many hosts and Applications.

use std::{path::Path, time::Duration};

use parts::Stopwatch;
use simhost::{HostOptions, SimLattice, Verb};
use tokio::time::sleep;

use crate::{
    control::Control,
    failure::Failure,
    figures::{Figures, percentile},
    kubernetes::Kubernetes,
    lattices::Lattices,
    nats,
    size::Size,
    trellis::Trellis,
    usage::percent,
};

/// Far over every bar, so that a miss is measured and not only noticed.
const LIMIT: Duration = Duration::from_mins(15);
/// By then the first heartbeat after a change, which is read whole, has come from each host.
const HEARD: Duration = Duration::from_secs(40);
/// How long it is watched while nothing happens.
const IDLE: Duration = Duration::from_mins(1);
/// How many foreign stops are answered to measure the time from an event to its command.
const SAMPLES: usize = 1000;
/// Between two of them, so that none is measured under what is written because of the one before.
const PAUSE: Duration = Duration::from_millis(100);
/// Every so many of them one is taken where no operator is on the way.
const CONTROLLED: usize = 4;
/// Longer than the default `lossGrace`.
const APART: Duration = Duration::from_mins(1);

pub(crate) async fn measure(program: &Path, size: Size) -> Result<(), Failure> {
    let figures = Figures::default();
    let nats = nats::start()?;
    let kubernetes = Kubernetes::start(program).await?;
    let lattices = Lattices::start(&nats, size).await?;
    kubernetes.create_lattices(size, nats.url()).await?;
    let creating = Stopwatch::start();
    kubernetes.create_applications(size).await?;
    figures.note("Applications created in the API", seconds(creating.elapsed()));

    let before = kubernetes.written().await?;
    let mut trellis = Trellis::start(program, &kubernetes)?;
    deploy(&figures, &trellis, &kubernetes, &lattices).await?;
    let writes = kubernetes.rest(before, LIMIT).await?;
    figures.note("API server at rest, after writes", writes.to_string());
    idle(&figures, &trellis).await?;
    let each = usize::try_from(lattices.running()).unwrap_or_default() / size.hosts.max(1);
    let control = Control::start(&nats, each).await?;
    events(&figures, &lattices, &control, size).await?;
    drop(control);
    kill(&figures, &lattices).await?;
    trellis = restart(&figures, trellis, program, &kubernetes, &lattices).await?;
    join(&figures, &mut trellis, &lattices, size).await?;
    trellis.stop()
}

async fn deploy(
    figures: &Figures,
    trellis: &Trellis,
    kubernetes: &Kubernetes,
    lattices: &Lattices,
) -> Result<(), Failure> {
    let clock = Stopwatch::start();
    lattices.all_run(LIMIT).await?;
    figures.bar("start → all instances run", seconds(clock.elapsed()), "≤ 120 s");
    let mut left = kubernetes.not_running().await?;
    while left > 0 {
        if clock.elapsed() > LIMIT {
            return Err(Failure::Never {
                what: "every Application is `running`".to_owned(),
                seconds: LIMIT.as_secs(),
                seen: format!("{left} or more aren't"),
            });
        }
        sleep(Duration::from_millis(500)).await;
        left = kubernetes.not_running().await?;
    }
    figures.bar("start → every status says running", seconds(clock.elapsed()), "≤ 120 s");
    figures.note("instances", lattices.running().to_string());
    figures.note("commands", lattices.writes().to_string());
    figures.note("processor until then", format!("{:.1} s of a core", trellis.usage()?.cpu));
    Ok(())
}

async fn idle(figures: &Figures, trellis: &Trellis) -> Result<(), Failure> {
    sleep(HEARD).await;
    let before = trellis.usage()?;
    sleep(IDLE).await;
    let after = trellis.usage()?;
    figures.bar("idle", format!("{:.2} % of a core", percent(before, after, IDLE)), "< 1 %");
    figures.bar("resident", megabytes(after.resident), "≤ 250 MB");
    figures.note("resident at most", megabytes(after.peak));
    Ok(())
}

/// Stops instances behind the operator's back, one after the other, and looks how long after the
/// stop arrived at the host the start that makes up for it does; and now and then the same where no
/// operator is on the way.
async fn events(
    figures: &Figures,
    lattices: &Lattices,
    control: &Control,
    size: Size,
) -> Result<(), Failure> {
    let (mut times, mut without) = (Vec::with_capacity(SAMPLES), Vec::new());
    for sample in 0..SAMPLES {
        let number = sample * size.applications / SAMPLES;
        let lattice = &lattices.all[number % size.lattices];
        let id = format!("default-{}-web", crate::size::name(number).replace('-', "_"));
        let Some(host) = lattice.hosts().into_iter().find(|it| it.component(&id).is_some()) else {
            return Err(Failure::Wrong(format!("{id} runs nowhere")));
        };
        times.extend(stopped(lattices, lattice, host.id(), &id).await?);
        if sample % CONTROLLED == 0 {
            let (lattice, host) = (&control.lattice, control.host.id());
            without.extend(stopped(lattices, lattice, host, &Control::id(0)).await?);
        }
    }
    let measured =
        [("event → command", &mut times, "≤ 5 ms"), ("the same without", &mut without, "")];
    for (what, times, bar) in measured {
        times.sort_unstable();
        figures.note(&format!("{what}, median"), milliseconds(percentile(times, 50)));
        figures.bar(&format!("{what}, 99 of 100"), milliseconds(percentile(times, 99)), bar);
    }
    Ok(())
}

/// Stops an instance, and waits until it is made up for: how long that took.
async fn stopped(
    lattices: &Lattices,
    lattice: &SimLattice,
    host: &str,
    id: &str,
) -> Result<Option<Duration>, Failure> {
    let before = lattice.instances(id);
    let mark = lattice.elapsed();
    lattices.stop(lattice, host, id).await?;
    lattice
        .wait_until(Duration::from_secs(30), |it| {
            answered(it, id, mark).is_some() && it.instances(id) == before
        })
        .await?;
    let took = answered(lattice, id, mark);
    sleep(PAUSE).await;
    Ok(took)
}

/// The time from the first stop of `id` after `mark` to the start after it.
fn answered(lattice: &SimLattice, id: &str, mark: Duration) -> Option<Duration> {
    lattice.with_commands(|commands| {
        let since = commands.iter().rev().take_while(|it| it.at >= mark);
        let scales = since.filter(|it| it.verb == Verb::ComponentScale && it.id() == id);
        let (mut stop, mut start) = (None, None);
        for scale in scales {
            match scale.count() {
                Some(0) => stop = Some(scale.at),
                _ => start = Some(scale.at),
            }
        }
        start?.checked_sub(stop?)
    })
}

async fn kill(figures: &Figures, lattices: &Lattices) -> Result<(), Failure> {
    let host = |number: usize| {
        let hosts = lattices.all[0].hosts();
        hosts.into_iter().nth(number).ok_or_else(|| Failure::Wrong("there is no host".to_owned()))
    };
    let clock = Stopwatch::start();
    host(0)?.kill().await;
    lattices.all_run(LIMIT).await?;
    figures.bar("process of a host killed → made up for", seconds(clock.elapsed()), "≤ 7 s");
    // Two in a row would count as several that go together, which are given more time.
    sleep(APART).await;
    let clock = Stopwatch::start();
    host(1)?.lose_machine();
    lattices.all_run(LIMIT).await?;
    figures.bar("host silent → made up for", seconds(clock.elapsed()), "≤ 20 s");
    Ok(())
}

async fn restart(
    figures: &Figures,
    trellis: Trellis,
    program: &Path,
    kubernetes: &Kubernetes,
    lattices: &Lattices,
) -> Result<Trellis, Failure> {
    trellis.stop()?;
    let before = lattices.writes();
    let clock = Stopwatch::start();
    let mut trellis = Trellis::start(program, kubernetes)?;
    let all = f64::from(u32::try_from(lattices.all.len()).unwrap_or(u32::MAX));
    trellis.until("trellis_lattice_synced", LIMIT, |synced| synced >= all)?;
    figures.bar("restart → synced", seconds(clock.elapsed()), "≤ 3 s");
    sleep(IDLE).await;
    figures.bar("commands after it", (lattices.writes() - before).to_string(), "0");
    Ok(trellis)
}

async fn join(
    figures: &Figures,
    trellis: &mut Trellis,
    lattices: &Lattices,
    size: Size,
) -> Result<(), Failure> {
    let more = f64::from(u32::try_from(size.hosts).unwrap_or(u32::MAX));
    let wanted = trellis.metric("trellis_lattice_hosts")? + more;
    let (before, passes) = (trellis.usage()?, trellis.metric("trellis_reconciles_total")?);
    for (number, lattice) in lattices.all.iter().enumerate() {
        lattice.add_hosts(size.hosts_of(number), |_| HostOptions::default()).await?;
    }
    let clock = Stopwatch::start();
    trellis.until("trellis_lattice_hosts", LIMIT, |hosts| hosts >= wanted)?;
    figures.bar("as many hosts again joined → all known", seconds(clock.elapsed()), "≤ 2 s");
    let used = trellis.usage()?.cpu - before.cpu;
    figures.note("processor for that", format!("{used:.2} s of a core"));
    // Their inventories follow.
    sleep(Duration::from_secs(5)).await;
    let looked = trellis.metric("trellis_reconciles_total")? - passes;
    figures.bar("Applications looked at for them", looked.to_string(), "0");
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes / 1_000_000)
}
