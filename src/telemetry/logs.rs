use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line, for collectors.
    Json,
}

/// What is logged where the user says nothing. async-nats logs every attempt to connect that fails
/// as an error, for as long as it fails; ours are told once, and say more. What kube's watches say
/// of a failure, we say too.
const DEFAULT: &str =
    "info,async_nats=off,kube_client=warn,kube_runtime=warn,kube_runtime::watcher=error";

/// Starts logging to standard error; `filter` is in `tracing`'s directive syntax.
pub fn init(format: LogFormat, filter: Option<&str>) {
    let filter = EnvFilter::new(filter.unwrap_or(DEFAULT));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
