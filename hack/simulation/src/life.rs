//! One run: Applications come, change and go while everything goes wrong; then nothing does any more,
//! and all must become as it was asked for, and stay so, and leave nothing.
use std::time::Duration;

use simhost::{ANY_EVENT, Fault, SimError, Verb};

use crate::{
    asks::{App, SHARER, ZONES},
    chance::Chance,
    oracle,
    repeat::repeatable,
    stage::Stage,
};

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    pub log: Vec<String>,
    /// Why it failed, if it did.
    pub wrong: Vec<String>,
    /// How much of it was virtual time.
    pub took: Duration,
}

/// How long faults go on.
const FAULTS: Duration = Duration::from_mins(2);
/// By then all is as it was asked for: the longest pause after failures is 5 min, and may have begun
/// with the last fault.
const SETTLED: Duration = Duration::from_mins(12);
/// For so long nothing may happen after that.
const QUIET: Duration = Duration::from_mins(6);
/// Deleting has no pause to wait for but those.
const GONE: Duration = Duration::from_mins(12);
const STEP: Duration = Duration::from_secs(1);
const NAMES: [&str; 3] = [SHARER, "shop", "blog"];

/// Runs one seed.
#[must_use]
pub fn run(seed: u64) -> Run {
    repeatable(|| live(seed))
}

async fn live(seed: u64) -> Run {
    let mut chance = Chance::of(seed, "life");
    let hosts = usize::try_from(chance.between(1, 5)).unwrap_or(1);
    let begun = tokio::time::Instant::now();
    let (log, wrong) = match Stage::set(seed, hosts).await {
        Err(error) => (Vec::new(), vec![error.to_string()]),
        Ok(mut stage) => {
            let wrong = match acts(&mut stage, &mut chance).await {
                Ok(()) => Vec::new(),
                Err(wrong) => wrong,
            };
            (stage.log.lines(), wrong)
        }
    };
    Run { log, wrong, took: begun.elapsed() }
}

async fn acts(stage: &mut Stage, chance: &mut Chance) -> Result<(), Vec<String>> {
    stage.start_operator();
    for name in NAMES {
        if chance.percent(70) {
            stage.apply(App::any(name, chance));
        }
    }
    let end = tokio::time::Instant::now() + FAULTS;
    while tokio::time::Instant::now() < end {
        Stage::pass(Duration::from_millis(chance.between(100, 9000))).await;
        trouble(stage, chance).await.map_err(|error| vec![error.to_string()])?;
    }
    heal(stage).await.map_err(|error| vec![error.to_string()])?;
    stage.log.say("all is well from now on");
    until(stage, SETTLED, "what isn't as it was asked for", oracle::differences).await?;
    stage.log.say("all is as it was asked for");
    // What is told once more, late, is told by now.
    Stage::pass(Duration::from_secs(30)).await;
    quiet(stage).await?;
    let names: Vec<_> = stage.wanted.keys().cloned().collect();
    for name in names {
        stage.delete(&name);
    }
    until(stage, GONE, "left after all was deleted", oracle::left).await?;
    stage.log.say("nothing is left");
    Ok(())
}

/// Waits until nothing is wrong.
async fn until(
    stage: &Stage,
    patience: Duration,
    what: &str,
    look: impl Fn(&Stage) -> Vec<String>,
) -> Result<(), Vec<String>> {
    let end = tokio::time::Instant::now() + patience;
    loop {
        let clashes = stage.lattice.clashes();
        if !clashes.is_empty() {
            return Err(said("what may overtake each other", clashes, stage));
        }
        let wrong = look(stage);
        if wrong.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() >= end {
            return Err(said(what, wrong, stage));
        }
        stage.apply_gone();
        Stage::pass(STEP).await;
    }
}

async fn quiet(stage: &Stage) -> Result<(), Vec<String>> {
    let before = stage.done();
    stage.log.say("nothing is to happen from now on");
    Stage::pass(QUIET).await;
    if stage.done() == before {
        return Ok(());
    }
    let mut wrong = vec![format!("{} commands for nothing", stage.done().0 - before.0)];
    wrong.extend(stage.cluster.changes_since(before.1));
    Err(said("not quiet", wrong, stage))
}

fn said(what: &str, wrong: Vec<String>, stage: &Stage) -> Vec<String> {
    let mut said = vec![format!("{what}:")];
    said.extend(wrong.into_iter().map(|wrong| format!("  {wrong}")));
    said.push(format!("statuses:\n{}", stage.statuses()));
    said
}

async fn trouble(stage: &mut Stage, chance: &mut Chance) -> Result<(), SimError> {
    stage.apply_gone();
    if stage.weather.take_ended() {
        stage.kill_operator();
    }
    if stage.operator.is_none() {
        stage.start_operator();
        return Ok(());
    }
    match chance.between(0, 100) {
        0..=34 => user(stage, chance),
        35..=54 => host(stage, chance).await?,
        55..=69 => operator(stage, chance),
        70..=77 => network(stage, chance),
        78..=93 => fault(stage, chance),
        _ => weather(stage, chance),
    }
    Ok(())
}

fn user(stage: &mut Stage, chance: &mut Chance) {
    let Some(name) = chance.pick(&NAMES) else { return };
    match stage.wanted.get(*name).cloned() {
        None => stage.apply(App::any(name, chance)),
        Some(_) if chance.percent(20) => stage.delete(name),
        Some(app) => stage.apply(app.changed(chance)),
    }
}

async fn host(stage: &mut Stage, chance: &mut Chance) -> Result<(), SimError> {
    let at = usize::try_from(chance.between(0, stage.hosts.len() as u64)).unwrap_or_default();
    let Some(host) = stage.hosts.get(at).cloned() else { return Ok(()) };
    let name = host.name().to_owned();
    let log = stage.log.clone();
    let say = |what: &str| log.say(format_args!("{name} {what}"));
    match chance.between(0, 12) {
        0 => {
            say("dies");
            host.kill().await;
        }
        1 | 2 if host.lives() => {
            say("restarts");
            let host = host.restart().await?;
            stage.replace_host(at, host);
        }
        3 if host.lives() => {
            say("restarts under another id");
            let host = host.restart_with_new_id().await?;
            stage.replace_host(at, host);
        }
        4 | 5 => {
            say("hears and says nothing");
            host.silence();
            stage.lose(&host);
        }
        6 => {
            say("hears and speaks again");
            host.unsilence();
        }
        7 => {
            say("is cut off");
            host.cut_off().await;
            stage.lose(&host);
        }
        8 if host.lives() => {
            say("is back");
            host.reconnect().await?;
        }
        9 => {
            say("loses its machine");
            host.lose_machine();
            stage.lose(&host);
        }
        10 => {
            say("is told to stop");
            host.stop().await;
        }
        _ if stage.hosts.len() < 7 => {
            stage.log.say("a host joins");
            let zone = chance.pick(&ZONES).copied().unwrap_or("a");
            stage.add_host(zone).await?;
        }
        _ => {}
    }
    Ok(())
}

fn operator(stage: &mut Stage, chance: &mut Chance) {
    if chance.percent(30) {
        stage.kill_operator();
    } else {
        stage.weather.end_after(chance.between(0, 12));
    }
}

fn network(stage: &Stage, chance: &mut Chance) {
    if chance.percent(50) {
        stage.log.say("NATS can't be reached");
        stage.network.close();
    } else {
        stage.log.say("NATS can be reached");
        stage.network.open();
    }
}

fn fault(stage: &Stage, chance: &mut Chance) {
    let times = u32::try_from(chance.between(1, 5)).unwrap_or(1);
    let late = Duration::from_millis(chance.between(100, 8000));
    let verbs = [Verb::ComponentScale, Verb::ProviderStart, Verb::LinkPut, Verb::ConfigPut];
    let verb = *chance.pick(&verbs).unwrap_or(&Verb::ComponentScale);
    let (name, fault) = match chance.between(0, 8) {
        0 => ("answers are lost", Fault::lose_reply().on(verb)),
        1 => ("answers are late", Fault::delay_reply(late).on(verb)),
        2 => ("events are lost", Fault::lose_event(ANY_EVENT)),
        3 => ("events come twice", Fault::double_event(ANY_EVENT)),
        4 => ("events are late", Fault::delay_event(ANY_EVENT, late)),
        5 => ("starts fail", Fault::fail_start("no luck")),
        6 => ("starts are slow", Fault::slow_start(late)),
        _ => ("commands are refused", Fault::refuse("no").on(verb)),
    };
    stage.log.say(format_args!("next {times} times {name}"));
    stage.lattice.inject(fault.times(times));
}

fn weather(stage: &Stage, chance: &mut Chance) {
    let mut bad = || if chance.percent(50) { chance.between(0, 30) } else { 0 };
    let (loss, late, api) = (bad(), bad(), bad());
    stage.log.say(format_args!(
        "of commands, {loss} % are lost, {late} % late; of writes to the API server, {api} % fail"
    ));
    stage.weather.set(loss, late, api);
}

/// Everything that is broken is mended but for hosts that are dead; one lives.
async fn heal(stage: &mut Stage) -> Result<(), SimError> {
    stage.weather.set(0, 0, 0);
    stage.weather.end_never();
    stage.lattice.heal();
    stage.network.open();
    for host in stage.hosts.clone() {
        host.unsilence();
        if host.lives() {
            host.reconnect().await?;
        } else {
            // The server has found out by now that a machine is dead, and sends nothing there.
            host.kill().await;
        }
    }
    if stage.living().is_empty() {
        stage.add_host("a").await?;
    }
    if stage.weather.take_ended() || stage.operator.is_none() {
        stage.kill_operator();
        stage.start_operator();
    }
    stage.end_sharing_of_what_goes();
    Ok(())
}
