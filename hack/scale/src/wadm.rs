//! wadm as a process, and its API on NATS.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use parts::{Nats, Process, Program, Scratch, programs};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    size::{self, Size},
    usage::Usage,
};

const START: Duration = Duration::from_mins(1);
const ANSWER: Duration = Duration::from_mins(1);
/// Requests at a time, as the operator's side has.
const AT_ONCE: usize = 16;

pub(crate) struct Wadm {
    process: Process,
    nats: async_nats::Client,
    _scratch: Scratch,
}

impl Wadm {
    pub(crate) async fn start(nats: &Nats) -> Result<Self, Failure> {
        let scratch = Scratch::new("wadm")?;
        let server = format!("127.0.0.1:{}", nats.port());
        let program = Program::new("wadm", programs::wadm()?).args(["--nats", &server]);
        let mut process = Process::spawn(&program, &scratch.path().join("wadm.log"))?;
        process
            .wait_for("it was ready", START, |it| it.log().contains("is ready").then_some(()))?;
        let nats = async_nats::ConnectOptions::new()
            .request_timeout(Some(ANSWER))
            .connect(nats.url())
            .await
            .map_err(Failure::step("reach NATS"))?;
        Ok(Self { process, nats, _scratch: scratch })
    }

    pub(crate) fn usage(&self) -> Result<Usage, Failure> {
        Usage::of(self.process.id()).ok_or_else(|| Failure::Wrong("wadm has ended".to_owned()))
    }

    /// Puts and deploys all Applications.
    pub(crate) async fn deploy(&self, size: Size) -> Result<(), Failure> {
        let deploy = |number| async move {
            self.ask(size, "put", &size.application(number)).await?;
            self.ask(size, &format!("deploy.{}", size::name(number)), &json!({})).await?;
            Ok::<_, Failure>(())
        };
        stream::iter(0..size.applications).map(deploy).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// How many Applications aren't `deployed` by their status.
    pub(crate) async fn not_deployed(&self, size: Size) -> Result<usize, Failure> {
        let models = self.ask(size, "get", &Value::Null).await?;
        let deployed = |model: &&Value| model["status"] == "deployed";
        let models = models["models"].as_array().cloned().unwrap_or_default();
        Ok(size.applications - models.iter().filter(deployed).count())
    }

    async fn ask(&self, size: Size, what: &str, body: &Value) -> Result<Value, Failure> {
        let subject = format!("wadm.api.{}.model.{what}", size.lattice(0));
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = self
            .nats
            .request(subject, body.into())
            .await
            .map_err(Failure::step("get an answer from wadm"))?;
        let answer: Value = serde_json::from_slice(&answer.payload)
            .map_err(Failure::step("read an answer of wadm"))?;
        if answer["result"] == "error" {
            return Err(Failure::Wrong(format!("wadm refused {what}: {answer}")));
        }
        Ok(answer)
    }
}
