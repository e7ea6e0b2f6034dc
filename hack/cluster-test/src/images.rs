//! What the cluster pulls, made from programs that are built already.

use std::path::Path;

use parts::{
    components,
    images::{self, Compression, Image, Layout},
};

use crate::{failure::Failure, site::Site};

/// What each is called in the registry.
pub(crate) struct Images {
    pub(crate) operator: String,
    pub(crate) host: String,
    pub(crate) nats: String,
    pub(crate) component: String,
    /// How big each is, for people to read.
    pub(crate) sizes: Vec<String>,
}

/// Makes and stores everything. The tag of the operator's image is its own.
pub(crate) fn push(site: &Site, trellis: &Path) -> Result<Images, Failure> {
    let mut sizes = Vec::new();
    let operator = push_image(site, "trellis:test", &images::trellis(trellis)?, &mut sizes)?;
    let host = push_image(site, "host:test", &images::host()?, &mut sizes)?;
    let nats = push_image(site, "nats:test", &images::nats_server()?, &mut sizes)?;
    let component = site.image("hello:test");
    let folder = site.scratch().path().join("hello");
    images::component(&folder, &components::hello("v1")?)?.push(&component)?;
    Ok(Images { operator, host, nats, component, sizes })
}

fn push_image(
    site: &Site,
    name: &str,
    image: &Image,
    sizes: &mut Vec<String>,
) -> Result<String, Failure> {
    let reference = site.image(name);
    let folder = site.scratch().path().join(name);
    // Nothing is gained by making small what is unpacked a moment later.
    let layout: Layout = image.layout(&folder, &reference, Compression::None)?;
    layout.push(&reference)?;
    std::fs::remove_dir_all(&folder)?;
    sizes.push(format!("{name} {} MB", layout.unpacked / 1_000_000));
    Ok(reference)
}
