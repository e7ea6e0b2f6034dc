//! Images as folders in the form of the OCI image layout, which everybody can load or push.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use flate2::{GzBuilder, write::GzEncoder};
use serde_json::{Value, json};

use super::{Error, Image, PATH, USER};
use crate::{
    oci::{self, CONFIG, INDEX, MANIFEST},
    programs, toolchain,
};

/// How a layer is kept. Its files are the same either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// For images that are used at once and stay on the machine.
    None,
    Gzip,
}

/// An image in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub folder: PathBuf,
    /// The image's, `sha256:…`.
    pub digest: String,
    /// The bytes of its layer, as it is transferred.
    pub transferred: usize,
    /// The bytes of its layer, as an archive.
    pub unpacked: usize,
}

impl Layout {
    /// Stores the image as `reference` (`REGISTRY/PATH:TAG`) with the user's login there; over
    /// plain HTTP if the registry is on this machine.
    pub fn push(&self, reference: &str) -> Result<(), Error> {
        let mut crane = Command::new(programs::crane()?);
        toolchain::run(crane.arg("push").arg(&self.folder).arg(reference))?;
        Ok(())
    }
}

impl Image {
    /// Writes the image into `folder`, which must not be there yet. `name` is what programs that
    /// load it from there call it, such as `example.org/trellis:0.1.0`.
    pub fn layout(
        &self,
        folder: &Path,
        name: &str,
        compression: Compression,
    ) -> Result<Layout, Error> {
        let in_memory = Path::new("the image's layer");
        let mut archive = Vec::new();
        self.root.archive(&mut archive).map_err(Error::at(in_memory))?;
        let (unpacked, digest) = (archive.len(), oci::digest(&archive));
        let (layer_type, layer) = match compression {
            Compression::None => ("application/vnd.oci.image.layer.v1.tar", archive),
            Compression::Gzip => (
                "application/vnd.oci.image.layer.v1.tar+gzip",
                gzip(&archive).map_err(Error::at(in_memory))?,
            ),
        };

        let blobs = Blobs::new(folder)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blobs.put(CONFIG, self.config(&digest).to_string().as_bytes())?,
            "layers": [blobs.put(layer_type, &layer)?],
        });
        let mut image = blobs.put(MANIFEST, manifest.to_string().as_bytes())?;
        image["platform"] = json!({ "architecture": self.architecture, "os": "linux" });
        image["annotations"] = json!({
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name,
        });
        let digest = image["digest"].as_str().unwrap_or_default().to_owned();

        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [image] });
        let version = json!({ "imageLayoutVersion": "1.0.0" });
        for (name, contents) in [("index.json", index), ("oci-layout", version)] {
            let file = folder.join(name);
            fs::write(&file, contents.to_string()).map_err(Error::at(&file))?;
        }
        Ok(Layout { folder: folder.to_owned(), digest, transferred: layer.len(), unpacked })
    }

    /// How to run it. `digest` is that of its layer when unpacked.
    fn config(&self, digest: &str) -> Value {
        let ports: serde_json::Map<_, _> =
            self.ports.iter().map(|port| (format!("{port}/tcp"), json!({}))).collect();
        json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": {
                "User": USER,
                "Env": [PATH],
                "Entrypoint": [self.entrypoint],
                "Cmd": self.arguments,
                "WorkingDir": "/",
                "ExposedPorts": ports,
                "Labels": self.labels,
            },
            "rootfs": { "type": "layers", "diff_ids": [digest] },
        })
    }
}

/// Without name, time and system, which would differ from one run or machine to another.
fn gzip(archive: &[u8]) -> io::Result<Vec<u8>> {
    const NO_SYSTEM: u8 = 255;
    let builder = GzBuilder::new().mtime(0).operating_system(NO_SYSTEM);
    let mut gzip: GzEncoder<_> = builder.write(Vec::new(), flate2::Compression::best());
    gzip.write_all(archive)?;
    gzip.finish()
}

/// The files of a layout, named by their digests.
struct Blobs(PathBuf);

impl Blobs {
    fn new(layout: &Path) -> Result<Self, Error> {
        let folder = layout.join("blobs/sha256");
        fs::create_dir_all(&folder).map_err(Error::at(&folder))?;
        Ok(Self(folder))
    }

    /// Keeps `bytes`; what to say of them in a manifest.
    fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Value, Error> {
        let descriptor = oci::descriptor(media_type, bytes);
        let name = descriptor["digest"].as_str().unwrap_or_default();
        let blob = self.0.join(name.trim_start_matches("sha256:"));
        fs::write(&blob, bytes).map_err(Error::at(&blob))?;
        Ok(descriptor)
    }
}
