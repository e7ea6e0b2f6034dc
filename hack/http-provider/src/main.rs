//! The wasmCloud HTTP server as a capability provider process.
//!
//! Started by a host it serves; started as `http-provider --pack FILE` it writes itself into a
//! provider archive, the form in which a host takes providers from a registry. The keys that sign
//! the archive are made for it and thrown away: hosts check that the signature fits, not whose it is.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use nkeys::KeyPair;
use provider_archive::ProviderArchive;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (None, None) => wasmcloud_provider_http_server::run().await,
        (Some(flag), Some(archive)) if flag == "--pack" => pack(archive.into()).await,
        _ => bail!("usage: http-provider [--pack FILE]"),
    }
}

/// Writes this very program as a provider archive. Left uncompressed: an unoptimized host takes
/// longer to unpack it than a loopback registry takes to send it.
async fn pack(archive: PathBuf) -> Result<()> {
    let program = env::current_exe().context("cannot find this program")?;
    let program = std::fs::read(program).context("cannot read this program")?;
    // The name hosts look for: their own architecture and system.
    let target = format!("{}-{}", env::consts::ARCH, env::consts::OS);
    let mut contents = ProviderArchive::new(
        "http-server",
        "trellis-tests",
        Some(0),
        Some(env!("CARGO_PKG_VERSION").to_owned()),
    );
    let compress = false;
    async {
        contents.add_library(&target, &program)?;
        contents.write(&archive, &KeyPair::new_account(), &KeyPair::new_service(), compress).await
    }
    .await
    .map_err(|cause| anyhow!("cannot write the archive: {cause}"))
}
