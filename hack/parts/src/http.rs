//! Plain HTTP on the loopback interface.

use std::time::Duration;

use ureq::Agent;

/// Long enough for a component's first, unoptimized start.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client that gives every status back as an answer.
pub(crate) fn agent() -> Agent {
    Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        // Loopback only, whatever proxy the machine uses.
        .proxy(None)
        .build()
        .into()
}

/// The status and the body at `url`, or `None` when there is no whole answer.
#[must_use]
pub fn get(url: &str) -> Option<(u16, String)> {
    get_within(url, TIMEOUT)
}

/// As [`get`], from a caller who waits no longer than this.
#[must_use]
pub fn get_within(url: &str, patience: Duration) -> Option<(u16, String)> {
    let request = agent().get(url).config().timeout_global(Some(patience)).build();
    let mut response = request.call().ok()?;
    let body = response.body_mut().read_to_string().ok()?;
    Some((response.status().as_u16(), body))
}
