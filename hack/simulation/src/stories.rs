//! A few stories whose every line is known.
use std::{collections::BTreeMap, time::Duration};

use futures::future::LocalBoxFuture;
use simhost::{Fault, SimError, Verb};

use crate::{
    asks::{App, Component, Provider, Scale},
    oracle,
    repeat::repeatable,
    stage::Stage,
};

/// What happens in a story, line by line, without the times, which a request more would change; `None` if there is none of that name.
#[must_use]
pub fn tell(name: &str) -> Option<Vec<String>> {
    let act: for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, ()> = match name {
        "a-whole-life" => |stage| Box::pin(whole_life(stage)),
        "a-component-goes" => |stage| Box::pin(component_goes(stage)),
        "a-host-dies-with-the-operator" => |stage| Box::pin(host_dies(stage)),
        _ => return None,
    };
    Some(repeatable(move || async move {
        match opened().await {
            Err(error) => vec![error.to_string()],
            Ok(mut stage) => {
                act(&mut stage).await;
                stage
                    .log
                    .lines()
                    .iter()
                    .filter_map(|line| line.get(10..))
                    .map(str::to_owned)
                    .collect()
            }
        }
    }))
}

/// Two hosts, and the shop on them.
async fn opened() -> Result<Stage, SimError> {
    let mut stage = Stage::set(1, 2).await?;
    stage.start_operator();
    stage.apply(shop());
    settle(&stage).await;
    Ok(stage)
}

fn shop() -> App {
    let component = |name: &str, instances, config, calls| Component {
        name: name.to_owned(),
        image: 1,
        scale: Scale::Spread(instances, BTreeMap::new()),
        config,
        calls,
    };
    let web = component("web", 4, None, Some("api".to_owned()));
    let api = component("api", 1, Some(1), None);
    let provider = Some(Provider { image: 1, address: 8080, everywhere: false });
    App { name: "shop".to_owned(), components: vec![web, api], provider, shares: false }
}

/// Waits until all is as it was asked for.
async fn settle(stage: &Stage) {
    for _ in 0..300 {
        Stage::pass(Duration::from_millis(200)).await;
        if oracle::differences(stage).is_empty() {
            return stage.log.say("all is as it was asked for");
        }
    }
    for difference in oracle::differences(stage) {
        stage.log.say(difference);
    }
}

async fn whole_life(stage: &mut Stage) {
    let mut changed = shop();
    if let [web, api] = changed.components.as_mut_slice() {
        web.image = 2;
        api.config = Some(2);
    }
    stage.apply(changed);
    settle(stage).await;
    stage.delete("shop");
    settle(stage).await;
}

async fn component_goes(stage: &mut Stage) {
    let mut changed = shop();
    changed.components.pop();
    for component in &mut changed.components {
        component.calls = None;
    }
    stage.apply(changed);
    settle(stage).await;
}

/// In the middle of a rollout whose answers are lost.
async fn host_dies(stage: &mut Stage) {
    let mut changed = shop();
    if let Some(web) = changed.components.first_mut() {
        web.image = 2;
    }
    stage.lattice.inject(Fault::lose_reply().on(Verb::ComponentScale).times(2));
    stage.apply(changed);
    Stage::pass(Duration::from_millis(30)).await;
    stage.kill_operator();
    if let Some(host) = stage.hosts.first() {
        stage.log.say("host-1 dies");
        host.kill().await;
    }
    stage.start_operator();
    settle(stage).await;
}
