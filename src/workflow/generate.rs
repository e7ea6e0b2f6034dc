use std::{fmt, sync::Arc};

use crate::appfile::{Appfile, Target};

/// How generated steps and their sub-steps run: all at once, as far as nothing waits for another.
pub const MODE: &str = "DAG-DAG";

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: Arc<str>,
    pub kind: StepKind,
    /// Names of the components that it applies.
    pub components: Vec<Arc<str>>,
    /// Where it applies them.
    pub targets: Vec<Target>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// All components, to the targets of a topology.
    Deploy,
    /// One component, to all targets.
    ApplyComponent,
}

impl StepKind {
    /// KubeVela's word for it, as it stands in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::ApplyComponent => "apply-component",
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The steps of an Application that has no workflow of its own: one `deploy` a topology, or else
/// one `apply-component` a component; in the order written.
///
/// `targets` are those that [`Appfile::targets`] gave.
#[must_use]
pub fn generate(app: &Appfile, targets: &[Target]) -> Vec<Step> {
    let all = || app.components.iter().map(|component| Arc::clone(&component.name)).collect();
    if !app.topologies.is_empty() {
        let deploy = |topology: &crate::appfile::Topology| Step {
            name: format!("deploy-{}", topology.name).into(),
            kind: StepKind::Deploy,
            components: all(),
            targets: targets
                .iter()
                .filter(|target| target.topologies.contains(&topology.name))
                .cloned()
                .collect(),
        };
        return app.topologies.iter().map(deploy).collect();
    }
    let apply = |component: &crate::appfile::Component| Step {
        name: Arc::clone(&component.name),
        kind: StepKind::ApplyComponent,
        components: vec![Arc::clone(&component.name)],
        targets: targets.to_vec(),
    };
    app.components.iter().map(apply).collect()
}
