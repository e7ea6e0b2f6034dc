//! The operator as a process.

use std::{path::Path, time::Duration};

use parts::{Process, Program, Scratch, http};

use crate::{failure::Failure, kubernetes::Kubernetes, usage::Usage};

pub(crate) const START: Duration = Duration::from_mins(2);

pub(crate) struct Trellis {
    process: Process,
    metrics: String,
    _scratch: Scratch,
}

impl Trellis {
    /// Starts `program` with its default settings; returns once it serves its metrics.
    pub(crate) fn start(program: &Path, kubernetes: &Kubernetes) -> Result<Self, Failure> {
        let scratch = Scratch::new("scale")?;
        let program = Program::new("trellis", program)
            .args(["run", "--http-bind", "127.0.0.1:0", "--namespace", "default"])
            .env("KUBECONFIG", kubernetes.cluster.kubeconfig());
        let mut process = Process::spawn(&program, &scratch.path().join("trellis.log"))?;
        let address = process.wait_for("it served", START, |it| {
            let log = it.log();
            let (_, after) = log.split_once("address=")?;
            Some(after.split_whitespace().next()?.to_owned())
        })?;
        Ok(Self { process, metrics: format!("http://{address}/metrics"), _scratch: scratch })
    }

    pub(crate) fn usage(&self) -> Result<Usage, Failure> {
        Usage::of(self.process.id())
            .ok_or_else(|| Failure::Wrong("the operator has ended".to_owned()))
    }

    /// The sum of a metric over all its labels.
    pub(crate) fn metric(&self, name: &str) -> Result<f64, Failure> {
        let told = http::get(&self.metrics);
        let told = told.ok_or_else(|| Failure::Wrong("the operator tells no metrics".to_owned()));
        Ok(sum(&told?.1, name))
    }

    /// Waits until `holds` of the sum of a metric over all its labels.
    pub(crate) fn until(
        &mut self,
        metric: &str,
        limit: Duration,
        holds: impl Fn(f64) -> bool,
    ) -> Result<(), Failure> {
        let url = &self.metrics;
        let what = format!("{metric} was as it should be");
        self.process
            .wait_for(&what, limit, |_| holds(sum(&http::get(url)?.1, metric)).then_some(()))?;
        Ok(())
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        self.process.stop()?;
        Ok(())
    }
}

/// The sum of a metric over all its labels, 0 as long as it isn't there.
fn sum(exposition: &str, metric: &str) -> f64 {
    let values = exposition.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        (series.split('{').next() == Some(metric)).then(|| value.parse::<f64>().ok())?
    });
    values.sum()
}
