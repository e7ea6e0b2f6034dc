//! `trellis check`: whether the operator can run in a cluster, and the repair of what it can repair.
use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::json;

use super::{
    Failure, cluster,
    scope::{ReplicaArgs, ScopeArgs},
};
use crate::{
    controller::chain,
    preflight::{self, Finding, Step},
};

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The namespace whose Secrets hold the lattices' credentials
    #[arg(long, env = "POD_NAMESPACE", default_value = "trellis-system")]
    namespace: String,

    #[command(flatten)]
    scope: ScopeArgs,

    #[command(flatten)]
    replicas: ReplicaArgs,

    /// Put our CustomResourceDefinitions in the place of others' and older ones, and remove an
    /// APIService that hides them; no object of a user is deleted
    #[arg(long)]
    takeover: bool,

    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// What was found, and what was done about it.
#[derive(Debug)]
pub struct Report {
    pub text: String,
    /// How many findings are a reason to say no.
    pub blocking: usize,
}

/// Looks at the cluster, and repairs it if asked to.
///
/// # Errors
///
/// What kept it from looking or from repairing.
pub fn check(args: &CheckArgs) -> Result<Report, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("could not start", error))?;
    runtime.block_on(async {
        let cluster = cluster::reach().await.map_err(|error| Failure::Failed(chain(&error)))?;
        let failed = |error: &(dyn std::error::Error + 'static)| {
            cluster.names(Failure::Failed(chain(error)))
        };
        let kube = &cluster.client;
        let scope = args.scope.of_check(&args.namespace, args.replicas.leader_elect);
        let facts = preflight::read(kube, &scope).await.map_err(|error| failed(&error))?;
        let (done, facts) = if args.takeover {
            let taken = preflight::takeover(kube, &scope, &facts).await;
            taken.map_err(|error| failed(&error))?
        } else {
            (Vec::new(), facts)
        };
        Ok(report(&done, &preflight::findings(&facts), args.output))
    })
}

fn report(done: &[Step], findings: &[Finding], output: Output) -> Report {
    let blocking = findings.iter().filter(|finding| finding.severity.blocks()).count();
    let done = done.iter().map(ToString::to_string);
    let text = match output {
        Output::Text => {
            let mut lines: Vec<_> = done.chain(findings.iter().map(ToString::to_string)).collect();
            if blocking == 0 {
                lines.push("fine: nothing keeps the operator from running".into());
            }
            lines.iter().fold(String::new(), |mut text, line| {
                // Writing to a text can't fail.
                let _ = writeln!(text, "{line}");
                text
            })
        }
        Output::Json => {
            let whole = json!({
                "ok": blocking == 0,
                "done": done.collect::<Vec<_>>(),
                "findings": findings,
            });
            format!("{whole:#}\n")
        }
    };
    Report { text, blocking }
}
