use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use parts::{Process, Program, Scratch, poll};

/// The watchdog gives a process that ignores SIGTERM two seconds.
const GONE: Duration = Duration::from_secs(15);

/// A process that has started parts, and the groups in which they run.
struct Parent {
    child: Child,
    groups: Vec<u32>,
    tmp: Scratch,
}

impl Parent {
    fn start(ending: &str) -> Self {
        // Its temporary folders go where nobody else's are.
        let tmp = Scratch::new("exits").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_parts-test-parent"))
            .arg(ending)
            .env("TMPDIR", tmp.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let groups: Vec<_> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert_eq!(groups.len(), 3, "{line:?}");
        Self { child, groups, tmp }
    }

    fn leaves_nothing_behind(mut self) {
        self.child.wait().unwrap();
        let gone = poll(GONE, || {
            let alive = self.groups.iter().any(|group| has_processes(*group));
            let empty = fs::read_dir(self.tmp.path()).unwrap().next().is_none();
            (!alive && empty).then_some(())
        });
        let left: Vec<_> =
            fs::read_dir(self.tmp.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(gone.is_some(), "groups {:?}, folders {left:?}", self.groups);
    }
}

/// Whether any process of the group still runs. One that has ended and is not collected does not.
pub(crate) fn has_processes(group: u32) -> bool {
    let listed = Command::new("ps").args(["-eo", "pgid=,stat="]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().any(|line| {
        let mut fields = line.split_whitespace();
        let id = fields.next().unwrap().parse::<u32>().unwrap();
        id == group && !fields.next().unwrap().starts_with('Z')
    })
}

#[test]
fn nothing_outlives_a_parent_that_is_killed() {
    let mut parent = Parent::start("wait");
    assert!(parent.groups.iter().all(|group| has_processes(*group)));
    parent.child.kill().unwrap();
    parent.leaves_nothing_behind();
}

#[test]
fn nothing_outlives_a_parent_that_ends() {
    for ending in ["return", "error", "exit", "abort", "static"] {
        Parent::start(ending).leaves_nothing_behind();
    }
}

#[test]
fn a_dropped_process_takes_its_children_and_its_folder_along() {
    let scratch = Scratch::new("drop").unwrap();
    let folder = scratch.path().to_owned();
    let program = Program::new("family", "sh").args(["-c", "sleep 1000 & sleep 1000"]);
    let process = Process::spawn(&program, &folder.join("log")).unwrap();
    let group = process.id();

    drop(process);
    drop(scratch);

    assert!(poll(GONE, || (!has_processes(group)).then_some(())).is_some());
    assert!(!Path::new(&folder).exists());
}

#[test]
fn a_part_that_does_not_start_is_quoted() {
    let scratch = Scratch::new("failing").unwrap();
    let program = Program::new("failing", "sh").args(["-c", "echo no such luck; exit 4"]);
    let mut process = Process::spawn(&program, &scratch.path().join("log")).unwrap();

    let error = process.wait_for("it was ready", GONE, |_| None::<()>).unwrap_err();

    let text = error.to_string();
    assert!(text.contains("failing ended (exit status: 4) before it was ready"), "{text}");
    assert!(text.contains("no such luck"), "{text}");
}
