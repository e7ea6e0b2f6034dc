//! What NATS has to grant, as `docs/nats-permissions.md` says and as the tests' servers enforce.
use std::{collections::BTreeSet, fs, path::Path};

use parts::NatsUser;

/// Who the operator is on the tests' NATS servers.
pub(crate) const USER: &str = "trellis";
const PASSWORD: &str = "change-me";

/// What a NATS server logs of each refusal.
pub(crate) const REFUSED: &str = " Violation - ";

fn document() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/nats-permissions.md");
    fs::read_to_string(file).unwrap()
}

/// The server configuration that users copy.
pub(crate) fn documented_config() -> String {
    let document = document();
    let (_, rest) = document.split_once("```text\n").expect("a block of configuration");
    rest.split_once("```").expect("the block's end").0.to_owned()
}

/// The operator's user with just what that configuration grants.
pub(crate) fn documented() -> NatsUser {
    let config = documented_config();
    let list = |name: &str| -> Vec<String> {
        let (_, rest) = config.split_once(&format!("{name} = [")).expect(name);
        let (list, _) = rest.split_once(']').expect("the list's end");
        list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    for said in [format!("user: \"{USER}\""), format!("password: \"{PASSWORD}\"")] {
        assert!(config.contains(&said), "{said} is not in {config}");
    }
    NatsUser {
        name: USER.into(),
        password: PASSWORD.into(),
        publish: list("publish"),
        subscribe: list("subscribe"),
    }
}

/// The table's rows of what may be published or subscribed to, under the heading that says so.
fn rows(document: &str, heading: &str, verb: &str) -> BTreeSet<String> {
    let (_, table) = document.split_once(heading).expect(heading);
    let row = format!("| {verb} | `");
    let lines = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let rows = lines.filter_map(|line| line.strip_prefix(&row));
    rows.map(|row| row.split('`').next().unwrap().to_owned()).collect()
}

/// The user that is granted what the page calls optional, too.
pub(crate) fn documented_with_options() -> NatsUser {
    let mut user = documented();
    let optional = rows(&document(), "| may, optionally |", "publish");
    assert_eq!(optional.len(), 1, "{optional:?}");
    user.publish.extend(optional);
    user
}

#[test]
fn the_table_and_the_nsc_command_say_the_same_as_the_configuration() {
    let (document, user) = (document(), documented());
    let rows = |verb: &str| rows(&document, "| may | ", verb);
    let option = |name: &str| -> BTreeSet<String> {
        let (_, rest) = document.split_once(&format!("{name} '")).expect(name);
        rest.split('\'').next().unwrap().split(',').map(str::to_owned).collect()
    };
    let publish: BTreeSet<_> = user.publish.into_iter().collect();
    let subscribe: BTreeSet<_> = user.subscribe.into_iter().collect();
    assert_eq!((rows("publish"), rows("subscribe")), (publish.clone(), subscribe.clone()));
    assert_eq!((option("--allow-pub"), option("--allow-sub")), (publish, subscribe));
}
