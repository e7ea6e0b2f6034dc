//! A small model of the registries that hosts pull from.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::lock;

/// What is behind a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Content {
    #[default]
    Good,
    Missing,
    Garbage,
    CoreModule,
}

#[derive(Debug, Clone, Default)]
struct Image {
    content: Content,
    pull: Option<Duration>,
    compile: Duration,
    held: bool,
    signed: bool,
}

/// What hosts find when they pull. A ref nobody spoke about is there and takes the default time;
/// a host that has pulled it once has it for good.
#[derive(Debug)]
pub struct Images {
    table: Mutex<BTreeMap<String, Image>>,
    changed: watch::Sender<()>,
    default_pull: Duration,
}

/// Why an image can't be run, in the words of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadImage {
    /// Nothing came. A stop and a change of scale go on without it.
    Missing(String),
    /// What came isn't WebAssembly: any scale fails, one to 0 too.
    Garbage(String),
}

const GARBAGE: &str = "failed to extract module claims: I/O error: magic header not detected: \
     bad magic number - expected=[\n    0x0,\n    0x61,\n    0x73,\n    0x6d,\n] actual=[\n    \
     0x70,\n    0x61,\n    0x63,\n    0x6b,\n] (at offset 0x0)";

const CORE_MODULE: &str = "failed to encode a component from module: failed to decode world from \
     module: module was not valid: failed to resolve import";

impl Images {
    pub(crate) fn new(default_pull: Duration) -> Self {
        let (changed, _) = watch::channel(());
        Self { table: Mutex::default(), changed, default_pull }
    }

    /// Nothing is behind `image`.
    pub fn missing(&self, image: &str) {
        self.change(image, |image| image.content = Content::Missing);
    }

    /// What is behind `image` isn't WebAssembly.
    pub fn garbage(&self, image: &str) {
        self.change(image, |image| image.content = Content::Garbage);
    }

    /// What is behind `image` is WebAssembly that the host can't make a component of.
    pub fn core_module(&self, image: &str) {
        self.change(image, |image| image.content = Content::CoreModule);
    }

    /// All is well with `image` again.
    pub fn good(&self, image: &str) {
        self.change(image, |image| *image = Image::default());
    }

    /// `image` is a signed component: its events carry claims, and it may have secrets. One that isn't
    /// can't be started with any. Archives of providers are always signed.
    pub fn signed(&self, image: &str) {
        self.change(image, |image| image.signed = true);
    }

    /// A first pull of `image` takes `pull`.
    pub fn slow(&self, image: &str, pull: Duration) {
        self.change(image, |image| image.pull = Some(pull));
    }

    /// Compiling `image` takes `compile`, during which the host's lock is held (T13).
    pub fn compile_takes(&self, image: &str, compile: Duration) {
        self.change(image, |image| image.compile = compile);
    }

    /// Pulls of `image` don't end until [`Images::release`].
    pub fn hold(&self, image: &str) {
        self.change(image, |image| image.held = true);
    }

    /// Lets the pulls of `image` go on that [`Images::hold`] held.
    pub fn release(&self, image: &str) {
        self.change(image, |image| image.held = false);
    }

    pub(crate) fn is_signed(&self, image: &str) -> bool {
        let image = self.get(image);
        image.signed && image.content == Content::Good
    }

    fn change(&self, image: &str, change: impl FnOnce(&mut Image)) {
        change(lock(&self.table).entry(image.to_owned()).or_default());
        self.changed.send_replace(());
    }

    fn get(&self, image: &str) -> Image {
        lock(&self.table).get(image).cloned().unwrap_or_default()
    }

    /// Waits as long as a pull of `image` takes. `cached` images aren't pulled again.
    pub(crate) async fn pull(
        &self,
        image: &str,
        what: Pulled,
        cached: bool,
    ) -> Result<(), BadImage> {
        if !cached {
            sleep(self.get(image).pull.unwrap_or(self.default_pull)).await;
            self.released(image).await;
        }
        match self.get(image).content {
            Content::Good | Content::CoreModule => Ok(()),
            Content::Missing => Err(BadImage::Missing(what.not_found(image))),
            Content::Garbage => Err(BadImage::Garbage(GARBAGE.to_owned())),
        }
    }

    async fn released(&self, image: &str) {
        let mut changed = self.changed.subscribe();
        while self.get(image).held {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits as long as compiling takes.
    pub(crate) async fn compile(&self, image: &str) -> Result<(), String> {
        let Image { content, compile, .. } = self.get(image);
        if !compile.is_zero() {
            sleep(compile).await;
        }
        if content == Content::CoreModule { Err(CORE_MODULE.to_owned()) } else { Ok(()) }
    }
}

/// What an image is pulled for: the errors of the two differ.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pulled {
    Component,
    Provider,
}

impl Pulled {
    fn not_found(self, image: &str) -> String {
        match (self, image.strip_prefix("file://")) {
            (Self::Component, Some(_)) => {
                "failed to fetch component: failed to read component: No \
                 such file or directory (os error 2)"
                    .to_owned()
            }
            (Self::Provider, Some(path)) => format!(
                "failed to fetch provider: failed to read provider: failed to load provider \
                 archive: failed to load target [x86_64-linux] from PAR from file [{path}]: No \
                 such file or directory (os error 2)"
            ),
            (Self::Component, None) => not_in_registry("component", image),
            (Self::Provider, None) => not_in_registry("provider", image),
        }
    }
}

fn not_in_registry(what: &str, image: &str) -> String {
    let (name, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
    let (registry, name) = name.split_once('/').unwrap_or(("", name));
    format!(
        "failed to fetch {what}: failed to fetch {what} under OCI reference `{image}`: failed to \
         fetch OCI path: failed to fetch OCI bytes: Registry error: url \
         http://{registry}/v2/{name}/manifests/{tag}, envelope: OCI API errors: [OCI API error: \
         manifest unknown]"
    )
}
