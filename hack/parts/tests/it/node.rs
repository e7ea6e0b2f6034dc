use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use parts::{Scratch, poll};

/// The watchdog gives processes two seconds to end by themselves.
const GONE: Duration = Duration::from_secs(15);

/// What the control groups and processes of the program with this id are called.
fn left_of(parent: u32) -> Vec<String> {
    let group = format!("trellis-node-{parent}");
    let folders = fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
    let groups = folders
        .map(|folder| folder.join(&group))
        .chain(["/sys/fs/cgroup".into()].map(|root: std::path::PathBuf| root.join(&group)))
        .filter(|group| group.exists())
        .map(|group| group.display().to_string());
    let listed = Command::new("ps").args(["-eo", "pid=,args="]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    // Its folder is among the arguments of the first process inside.
    let processes = listed.lines().filter(|line| line.contains(&group)).map(str::to_owned);
    groups.chain(processes).collect()
}

#[test]
fn namespaces_and_control_groups_end_with_who_entered_them() {
    let tmp = Scratch::new("namespaces").unwrap();
    let mut parent = Command::new(env!("CARGO_BIN_EXE_parts-test-parent"))
        .arg("namespaces")
        .env("TMPDIR", tmp.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if let Some(reason) = line.strip_prefix("impossible: ") {
        eprintln!("not run: {reason}");
        parent.wait().unwrap();
        return;
    }
    assert_eq!(line, "inside\n");
    assert!(left_of(parent.id()).len() >= 2, "{:?}", left_of(parent.id()));

    parent.kill().unwrap();
    parent.wait().unwrap();

    let gone = poll(GONE, || {
        let empty = fs::read_dir(tmp.path()).unwrap().next().is_none();
        (left_of(parent.id()).is_empty() && empty).then_some(())
    });
    assert!(gone.is_some(), "left: {:?}", left_of(parent.id()));
}
