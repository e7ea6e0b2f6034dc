//! `trellis plan`: what Applications would do on a lattice, without doing it.
//!
//! It needs no Kubernetes: manifests come from files, what a lattice shows from a file or over
//! NATS.
//!
//! ```text
//! documents ──▶ wanted ──┐
//!                        ├─ placement::plan ──▶ text or json
//! inventory ──▶ observed ┘
//! ```

mod documents;
mod json;
mod live;
mod observe;
mod text;
mod wanted;
mod yaml;

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::Failure;
use crate::{
    model::{
        ApplicationKey, Blocked, Later, LatticeName, Moment, Plan, Planned, Progress, WorkloadId,
    },
    placement::{self, Inputs, Removal},
};
use wanted::Wanted;

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Manifests in YAML or JSON: Applications, and the Lattices that they name; - is standard input
    #[arg(short, long = "file", required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The lattice that is looked at, to which Applications without a topology go
    #[arg(long, value_name = "NAME")]
    lattice: Option<LatticeName>,
    /// Look at it through this NATS server, such as nats://127.0.0.1:4222
    #[arg(long, value_name = "URL", conflicts_with = "inventory")]
    nats: Option<String>,
    /// Take what it shows from this JSON: hosts, links and config; nothing if this is left out too
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

/// What would be done, and what to mind.
#[derive(Debug)]
pub struct Report {
    pub text: String,
    /// One warning a line.
    pub warnings: Vec<String>,
}

/// The plan for one target.
struct TargetPlan {
    application: ApplicationKey,
    lattice: LatticeName,
    namespace: Arc<str>,
    now: Vec<Planned>,
    later: Vec<Later>,
    blocked: Vec<Blocked>,
    components: Vec<Component>,
}

/// How far one component is, in the words of an Application's status.
struct Component {
    id: WorkloadId,
    progress: Progress,
    obstacle: Option<String>,
}

/// Plans all Applications of the files.
///
/// # Errors
///
/// A manifest that is refused, or something that can't be read.
pub fn plan(args: &PlanArgs) -> Result<Report, Failure> {
    let documents = documents::read(&args.files)?;
    let warnings = documents.warnings();
    let wanted = Wanted::of(&documents, args.lattice.as_ref())?;
    let observed = observe::all(args, &wanted)?;
    let mut targets = Vec::new();
    for one in &wanted.each {
        let Some(observed) = observed.get(&one.lattice) else { continue };
        let plan = placement::plan(&Inputs {
            desired: &one.desired,
            former: &[],
            observed,
            claims: wanted.claims(&one.lattice),
            removal: Removal::Allowed,
            time: Moment::default(),
        });
        for namespace in &one.namespaces {
            targets.push(TargetPlan::of(one, namespace, &plan));
        }
    }
    let text = match args.output {
        Output::Text => text::render(&targets),
        Output::Json => json::render(&targets),
    };
    Ok(Report { text, warnings })
}

impl TargetPlan {
    /// The part of `plan` that is for this namespace.
    fn of(wanted: &wanted::OnLattice, namespace: &Arc<str>, plan: &Plan) -> Self {
        let now = plan.now.iter().filter(|planned| planned.namespace == *namespace);
        let later = plan.later.iter().filter(|later| later.namespace == *namespace);
        let blocked = plan.blocked.iter().filter(|blocked| blocked.namespace == *namespace);
        let progress = plan.progress.iter().filter(|(_, it)| it.namespace == *namespace);
        let components = progress.map(|(id, progress)| Component {
            id: id.clone(),
            progress: progress.clone(),
            obstacle: plan.obstacle(id),
        });
        Self {
            components: components.collect(),
            application: wanted.application.clone(),
            lattice: wanted.lattice.clone(),
            namespace: Arc::clone(namespace),
            now: now.cloned().collect(),
            later: later.cloned().collect(),
            blocked: blocked.cloned().collect(),
        }
    }
}
