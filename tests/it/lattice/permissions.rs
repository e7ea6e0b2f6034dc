//! What a lattice's watch does when NATS keeps something from it.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use parts::{Nats, NatsOptions, NatsUser};
use simhost::{HostHandle, HostOptions, LatticeOptions, SimLattice};
use tokio::{sync::mpsc, time::timeout};
use trellis::{
    lattice::{
        access::{Access, Credentials},
        fault::{Permission, Verb},
        fence::Fence,
        watch::{Handle, Settings, watch},
    },
    model::{Command, FewOf, Link, LinkKey},
};

use super::world::{HEARTBEAT, PATIENCE, annotations, app, host_id, scale, settings, start_nats};
use crate::permissions::{REFUSED, documented, documented_config};

fn credentials(user: &NatsUser) -> Credentials {
    let data = [("user", &user.name), ("password", &user.password)];
    let data = data.map(|(key, text)| (key.to_owned(), text.as_bytes().to_vec()));
    Credentials::from_secret(&BTreeMap::from(data)).unwrap()
}

/// As the operator connects.
pub(super) fn as_user(nats: &Nats, user: &NatsUser) -> Settings {
    let before = settings(nats.url(), credentials(user));
    let access = Access { inbox_prefix: Some("_INBOX.trellis".into()), ..before.access };
    Settings { access, ..before }
}

/// One command of each verb, about things that `name` alone has.
fn one_of_each(host: &HostHandle, name: &str) -> Vec<Command> {
    let key = |source: &str| LinkKey {
        source: format!("{name}-{source}").parse().unwrap(),
        name: "default".into(),
        namespace: "wasi".into(),
        package: "keyvalue".into(),
    };
    let link = Link {
        target: "kv".parse().unwrap(),
        interfaces: FewOf::from(["store".into()]),
        source_config: Vec::new(),
        target_config: Vec::new(),
    };
    let id = |what: &str| format!("{name}-{what}");
    vec![
        Command::PutConfig {
            name: id("put").parse().unwrap(),
            values: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        },
        Command::DeleteConfig { name: id("del").parse().unwrap() },
        Command::PutLink { key: key("put"), link },
        Command::DeleteLink { key: key("del") },
        Command::StartProvider {
            host: host_id(host),
            id: id("start").parse().unwrap(),
            image: "r/kv:1".into(),
            config: Vec::new(),
            annotations: annotations("1.a.b"),
        },
        Command::StopProvider { host: host_id(host), id: id("stop").parse().unwrap() },
        scale(host, &id("web"), "r/web:1", 1),
    ]
}

/// Has `handle` do all that it ever does, until `enough` of what it was refused and has sent.
async fn do_everything(
    handle: &Handle,
    host: &HostHandle,
    enough: impl Fn(&BTreeSet<Permission>, usize) -> bool,
) -> BTreeSet<Permission> {
    let name = handle.name().to_string();
    handle.want_configs(&app(), FewOf::from([format!("{name}-read").parse().unwrap()]));
    let mut unsent = one_of_each(host, &name);
    let doing = async {
        loop {
            // What the gate doesn't let through yet is submitted again.
            if !unsent.is_empty() && handle.observed().gate.may_remove() {
                unsent.retain(|command| handle.submit(&app(), vec![command.clone()]) == 0);
            }
            let (refused, sent) = (handle.health().refused, handle.metrics().commands().len());
            if enough(&refused, sent) {
                return refused;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, doing)
        .await
        .unwrap_or_else(|_| panic!("{name}: {:#?} {:#?}", handle.health(), handle.metrics()))
}

/// Who lacks one of what `user` may do, and what that is.
fn each_lacks_one(user: &NatsUser) -> Vec<(NatsUser, Permission)> {
    let mut all = Vec::new();
    for (verb, subjects) in [(Verb::Publish, &user.publish), (Verb::Subscribe, &user.subscribe)] {
        for subject in subjects {
            let mut user = user.clone();
            user.name = format!("lacks-{}", all.len());
            let list = if verb == Verb::Publish { &mut user.publish } else { &mut user.subscribe };
            list.retain(|other| other != subject);
            all.push((user, Permission { verb, subject: subject.as_str().into() }));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_documented_is_enough_and_each_of_it_is_needed() {
    let user = documented();
    let lacking = each_lacks_one(&user);
    let users = lacking.iter().map(|(user, _)| user.clone()).chain([user.clone()]).collect();
    let nats = start_nats(NatsOptions { users, ..NatsOptions::default() }).await;
    let options = LatticeOptions { heartbeat_interval: HEARTBEAT, ..LatticeOptions::default() };
    let sim = SimLattice::start(nats.url(), options).await.unwrap();
    let host = sim.add_host(HostOptions::default()).await.unwrap();
    let (tell, mut changes) = mpsc::channel(16);
    tokio::spawn(async move { while changes.recv().await.is_some() {} });
    let watched = |user: &NatsUser| {
        let name = user.name.parse().unwrap();
        watch(Settings { name, ..as_user(&nats, user) }, Arc::new(Fence::open()), tell.clone())
    };

    let enough = watched(&user);
    let verbs = one_of_each(&host, "any").len();
    let refused = do_everything(&enough, &host, |_, sent| sent == verbs).await;
    assert_eq!(refused, BTreeSet::new());
    assert!(!nats.log().contains(REFUSED), "{}", nats.log());

    let lacks = lacking.iter().map(|(user, permission)| {
        let (handle, host) = (watched(user), &host);
        async move {
            let refused = do_everything(&handle, host, |refused, _| !refused.is_empty()).await;
            assert_eq!(refused, BTreeSet::from([permission.clone()]));
            handle.stop().await;
        }
    });
    join_all(lacks).await;
    assert_eq!(enough.health().refused, BTreeSet::new());
    assert!(nats.log().contains(REFUSED), "what a server logs reads otherwise by now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_configuration_is_one() {
    let config = documented_config();
    let nats = start_nats(NatsOptions { config, ..NatsOptions::default() }).await;
    let (tell, mut changes) = mpsc::channel(16);
    let handle = watch(as_user(&nats, &documented()), Arc::new(Fence::open()), tell);
    super::world::until(&handle, &mut changes, "the lattice to be open", |o| o.gate.may_remove())
        .await;
    assert!(!nats.log().contains(REFUSED), "{}", nats.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_granted_to_a_living_connection_is_noticed() {
    let user = documented();
    let lacking = each_lacks_one(&user);
    let mut users: Vec<_> = lacking.iter().map(|(user, _)| user.clone()).collect();
    let options = NatsOptions { users: users.clone(), ..NatsOptions::default() };
    let mut nats = start_nats(options).await;
    let options = LatticeOptions { heartbeat_interval: HEARTBEAT, ..LatticeOptions::default() };
    let sim = SimLattice::start(nats.url(), options).await.unwrap();
    let host = sim.add_host(HostOptions::default()).await.unwrap();
    let (tell, mut changes) = mpsc::channel(16);
    tokio::spawn(async move { while changes.recv().await.is_some() {} });
    let handles = lacking.iter().map(|(user, _)| {
        let name = user.name.parse().unwrap();
        watch(Settings { name, ..as_user(&nats, user) }, Arc::new(Fence::open()), tell.clone())
    });
    let handles: Vec<_> = handles.collect();
    let refused = |refused: &BTreeSet<_>, _| !refused.is_empty();
    join_all(handles.iter().map(|handle| do_everything(handle, &host, refused))).await;

    for granted in &mut users {
        (granted.publish, granted.subscribe) = (user.publish.clone(), user.subscribe.clone());
    }
    tokio::task::block_in_place(|| nats.grant(&users).unwrap());
    let healed = |refused: &BTreeSet<_>, _| refused.is_empty();
    join_all(handles.iter().map(|handle| do_everything(handle, &host, healed))).await;
}
