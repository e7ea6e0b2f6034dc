use std::{path::Path, process::Command, time::Duration};

use parts::{
    Nats, NatsOptions, Process, Program, Registry, Scratch,
    images::{self, Compression, Image},
    programs, toolchain,
};
use serde_json::Value;

const START: Duration = Duration::from_secs(20);

/// Stores `image` in a registry, gets it back, and unpacks it.
fn deliver(image: &Image) -> Scratch {
    let registry = Registry::start().unwrap();
    let reference = registry.push_image("test/image:1", image).unwrap();
    let scratch = Scratch::new("image").unwrap();
    let archive = scratch.path().join("archive.tar");
    let mut crane = Command::new(programs::crane().unwrap());
    toolchain::run(crane.args(["export", &reference]).arg(&archive)).unwrap();
    let root = scratch.folder("root").unwrap();
    toolchain::run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(root)).unwrap();
    scratch
}

/// `arguments` run with nothing but the files of `image`.
fn within(root: &Path, name: &str, arguments: &[&str]) -> Program {
    Program::new(name, "unshare")
        .args(["--user", "--map-root-user", "--root"])
        .arg(root)
        .args(arguments)
        .env_remove("PATH")
        .env_remove("LD_LIBRARY_PATH")
}

fn start(image: &Image, arguments: &[&str], ready: &str) -> (Process, Scratch) {
    let scratch = deliver(image);
    let program = within(
        &scratch.path().join("root"),
        &image.entrypoint,
        &[&[image.entrypoint.as_str()], arguments].concat(),
    );
    let mut process = Process::spawn(&program, &scratch.path().join("log")).unwrap();
    process.wait_for(ready, START, |process| process.log().contains(ready).then_some(())).unwrap();
    (process, scratch)
}

#[test]
fn the_same_inputs_make_the_same_image() {
    let scratch = Scratch::new("image").unwrap();
    for compression in [Compression::None, Compression::Gzip] {
        let layouts = ["a", "b"].map(|name| {
            let folder = scratch.path().join(format!("{name}-{compression:?}"));
            images::pause().unwrap().layout(&folder, "pause:1", compression).unwrap()
        });
        assert_eq!(layouts[0].digest, layouts[1].digest);
        assert_eq!(layouts[0].transferred < layouts[0].unpacked, compression == Compression::Gzip);
    }
}

#[test]
fn a_registry_gives_back_how_to_run_an_image() {
    let registry = Registry::start().unwrap();
    let reference = registry.push_image("test/nats:1", &images::nats_server().unwrap()).unwrap();
    let mut crane = Command::new(programs::crane().unwrap());
    let config = toolchain::run(crane.args(["config", &reference])).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["os"], "linux");
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/nats-server"]));
}

#[test]
fn a_pause_waits_in_its_image_until_it_is_told_to_end() {
    let (mut pause, _scratch) = start(&images::pause().unwrap(), &[], "waiting");
    assert!(pause.status().is_none());
    assert!(pause.stop().unwrap().success());
}

#[test]
fn nats_runs_in_its_image() {
    let arguments = ["--addr", "127.0.0.1", "--port", "-1", "--jetstream"];
    start(&images::nats_server().unwrap(), &arguments, "Server is ready");
}

#[test]
fn a_host_runs_in_its_image() {
    let nats = Nats::start(NatsOptions::default()).unwrap();
    start(&images::host().unwrap(), &["--nats", nats.url()], "ready");
}
