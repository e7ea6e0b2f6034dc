//! `cargo run -p parts -- prepare` builds what tests and the demo need, ahead of them;
//! `… node COMMAND…` runs a command with a whole Kubernetes node, by its `KUBECONFIG`.

use std::{
    env,
    error::Error,
    ffi::OsString,
    process::{Command, ExitCode},
};

use parts::{
    Node,
    node::{self, Entered},
};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let verb = arguments.next();
    let rest: Vec<_> = arguments.collect();
    let outcome = match (verb.as_deref().and_then(|verb| verb.to_str()), &rest[..]) {
        (Some("prepare"), []) => parts::prepare().map(|()| ExitCode::SUCCESS).map_err(Into::into),
        (Some("node"), [program, arguments @ ..]) => with_node(program, arguments),
        _ => {
            eprintln!("usage: parts prepare | parts node COMMAND…");
            return ExitCode::from(2);
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("parts: {}", parts::chain(&*error));
        ExitCode::FAILURE
    })
}

/// Runs a command where the node is, so that it reaches Services and Pods, and `REGISTRY`, where
/// Pods' images come from.
fn with_node(program: &OsString, arguments: &[OsString]) -> Result<ExitCode, Box<dyn Error>> {
    let status = match node::enter(node::prepare)? {
        Entered::Impossible(reason) => return Err(reason.into()),
        Entered::Outside(status) => status,
        Entered::Inside => {
            let node = Node::start()?;
            Command::new(program)
                .args(arguments)
                .env("KUBECONFIG", node.cluster().kubeconfig())
                .env("KUBECACHEDIR", node.cluster().kubeconfig().with_file_name("kubectl-cache"))
                .env("REGISTRY", node.registry().authority())
                .status()?
        }
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
