//! What becomes of revisions once everything is as wanted: written down beside the passes, one
//! Application after the other, for nothing depends on when.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::ResourceExt;
use tokio::sync::Notify;

use super::{
    Error, chain,
    context::Context,
    release::{Release, record},
    revisions,
};
use crate::{
    api::{ApplicationRevision, RevisionTarget},
    model::ApplicationKey,
};

/// After one that failed: mostly the API server's trouble, and so the next one's too.
const PAUSE: Duration = Duration::from_secs(1);

/// The Applications whose revisions are to be swept.
#[derive(Debug, Default)]
pub struct Sweeps {
    waiting: Mutex<BTreeMap<ApplicationKey, Sweep>>,
    some: Notify,
}

/// The revision in force has succeeded and needs only its present targets, and the others have
/// nothing left to remove, nor has an Application that had this name before.
#[derive(Debug)]
struct Sweep {
    in_force: Arc<ApplicationRevision>,
    /// What it needs.
    targets: Vec<RevisionTarget>,
    /// Earlier ones that aren't marked yet.
    earlier: Vec<Arc<ApplicationRevision>>,
}

impl Sweeps {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<ApplicationKey, Sweep>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it written down that a release is whole, and nothing else is left.
    pub(super) fn add(&self, ctx: &Context, key: &ApplicationKey, release: &Release) {
        let Some(current) = &release.current else { return };
        let in_force = Arc::clone(&current.revision);
        let name = in_force.name_any();
        let targets: BTreeSet<_> = current.targets.iter().map(record).collect();
        let others = release.unswept.iter().filter(|revision| revision.name_any() != name);
        let sweep = Sweep {
            targets: targets.into_iter().collect(),
            earlier: others.cloned().collect(),
            in_force,
        };
        if sweep.is_done(ctx, key) {
            self.remove(key);
        } else {
            self.waiting().insert(key.clone(), sweep);
            self.some.notify_one();
        }
    }

    /// Not so any more.
    pub(super) fn remove(&self, key: &ApplicationKey) {
        self.waiting().remove(key);
    }

    /// Writes down what is to be written; it has no end.
    pub(super) async fn drive(&self, ctx: &Context) {
        loop {
            if self.waiting().is_empty() {
                self.some.notified().await;
            }
            ctx.touched.calm().await;
            let Some((key, sweep)) = self.waiting().pop_first() else { continue };
            if !ctx.leads() {
                continue;
            }
            if sweep.is_outdated(&ctx.revisions.of(&key)) {
                ctx.touched.add(&key);
                continue;
            }
            match sweep.carry_out(ctx, &key).await {
                Ok(()) => {}
                Err(error) if error.is_stale() => ctx.touched.add(&key),
                Err(error) => {
                    ctx.metrics.failed(error.step());
                    tracing::warn!(app = %key, error = chain(&error), "could not sweep revisions");
                    tokio::time::sleep(PAUSE).await;
                    ctx.touched.add(&key);
                }
            }
        }
    }
}

impl Sweep {
    fn is_done(&self, ctx: &Context, key: &ApplicationKey) -> bool {
        let all = ctx.revisions.of(key);
        self.earlier.is_empty()
            && self.is_recorded()
            && revisions::superfluous(&all, &self.in_force.name_any()).is_empty()
    }

    fn is_recorded(&self) -> bool {
        let succeeded = self.in_force.status.as_ref().is_some_and(|status| status.succeeded);
        succeeded && self.in_force.targets() == self.targets
    }

    /// Whether it was decided on other versions than are known by now: by a pass that ran while the
    /// sweep before this one was written.
    fn is_outdated(&self, known: &[Arc<ApplicationRevision>]) -> bool {
        let known: BTreeSet<_> = known.iter().map(|it| it.resource_version()).collect();
        let mut decided_on = self.earlier.iter().chain([&self.in_force]);
        decided_on.any(|revision| !known.contains(&revision.resource_version()))
    }

    async fn carry_out(&self, ctx: &Context, key: &ApplicationKey) -> Result<(), Error> {
        for revision in &self.earlier {
            ctx.revisions.learn(revisions::record_sweep(&ctx.kube, revision).await?);
        }
        if !self.is_recorded() {
            let written =
                revisions::record_success(&ctx.kube, &self.in_force, &self.targets).await?;
            ctx.revisions.learn(written);
        }
        let all = ctx.revisions.of(key);
        for revision in revisions::superfluous(&all, &self.in_force.name_any()) {
            revisions::delete(&ctx.kube, revision).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revision(number: i64, version: &str) -> Arc<ApplicationRevision> {
        let name = format!("shop-v{number}");
        let metadata = json!({ "name": name, "namespace": "default", "resourceVersion": version });
        let revision = json!({
            "apiVersion": "core.oam.dev/v1beta1",
            "kind": "ApplicationRevision",
            "metadata": metadata,
            "spec": { "revision": number, "hash": "", "application": {} },
        });
        serde_json::from_value(revision).unwrap()
    }

    #[test]
    fn regression_a_pass_during_a_sweep_has_nothing_written_twice() {
        let sweep = Sweep {
            in_force: revision(2, "20"),
            targets: Vec::new(),
            earlier: vec![revision(1, "10")],
        };
        assert!(!sweep.is_outdated(&[revision(1, "10"), revision(2, "20"), revision(3, "30")]));
        assert!(sweep.is_outdated(&[revision(1, "10"), revision(2, "21")]), "written meanwhile");
        assert!(sweep.is_outdated(&[revision(1, "11"), revision(2, "20")]), "swept meanwhile");
        assert!(sweep.is_outdated(&[revision(2, "20")]), "gone meanwhile");
    }
}
