//! The operator's image.
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use parts::{
    Auth, Nats, NatsOptions, Registry, Scratch,
    images::{self, Compression, Entry, Image},
    programs, toolchain,
};
use serde_json::Value;

fn image() -> Image {
    static IMAGE: LazyLock<Image> =
        LazyLock::new(|| images::trellis(Path::new(env!("CARGO_BIN_EXE_trellis"))).unwrap());
    IMAGE.clone()
}

fn run(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    toolchain::run(Command::new(program.as_ref()).args(arguments)).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn it_has_the_program_and_what_that_needs_and_nothing_else() {
    let image = image();
    let is_library = |path: &str| path.starts_with("lib") || path.starts_with("usr/lib");
    let (libraries, files): (Vec<_>, Vec<_>) =
        image.root.entries().map(|(path, _)| path).partition(|path| is_library(path));
    assert_eq!(
        files,
        [
            "etc",
            "etc/group",
            "etc/nsswitch.conf",
            "etc/passwd",
            "etc/ssl",
            "etc/ssl/certs",
            "etc/ssl/certs/ca-certificates.crt",
            "trellis",
        ]
    );
    // Of Rust and of the C library, which older ones split in more files.
    let known = ["ld-linux-", "libc.", "libdl.", "libgcc_s.", "libm.", "libpthread.", "librt."];
    for library in libraries.iter().filter(|path| path.contains(".so")) {
        let name = library.rsplit('/').next().unwrap();
        assert!(known.iter().any(|known| name.starts_with(known)), "{library}");
    }
}

#[test]
fn its_files_belong_to_root_alone_and_nobody_else_writes_them() {
    for (path, entry) in image().root.entries() {
        let (Entry::File { mode, .. } | Entry::Folder { mode }) = entry;
        assert_eq!(mode & 0o7022, 0, "{path}");
    }
}

#[test]
fn the_same_program_makes_the_same_image() {
    let scratch = Scratch::new("image").unwrap();
    let [first, second] = ["first", "second"].map(|name| {
        let folder = scratch.path().join(name);
        image().layout(&folder, "trellis:1", Compression::None).unwrap().digest
    });
    assert_eq!(first, second);
}

/// `trellis` with the files below `root` and nothing else.
fn within(root: &Path, arguments: &[&str]) -> Result<String, toolchain::Error> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--root", text(root), "/trellis"]);
    toolchain::run(unshare.args(arguments).env_clear())
}

#[test]
fn the_operator_runs_with_nothing_but_its_image() {
    let scratch = Scratch::new("image").unwrap();
    let root = scratch.path().join("root");
    image().root.write(&root).unwrap();
    let said = within(&root, &["version"]).unwrap();
    assert_eq!(said.trim(), concat!("trellis ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn in_its_image_the_operator_finds_names_and_whom_to_trust() {
    let scratch = Scratch::new("image").unwrap();
    let root = scratch.path().join("root");
    image().root.write(&root).unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/hello-world.yaml");
    fs::copy(sample, root.join("hello.yaml")).unwrap();
    // As a Pod gets it from its kubelet; nothing else here knows the name.
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();

    let options = NatsOptions { auth: Auth::Tls, ..NatsOptions::default() };
    let nats = Nats::start(options).unwrap();
    let url = nats.url().replace("nats://127.0.0.1", "tls://localhost");
    let plan = ["plan", "-f", "/hello.yaml", "--nats", &url];
    // The server is found by its name, and is a stranger.
    let distrust = "UnknownIssuer";
    let refused = within(&root, &plan).unwrap_err().to_string();
    assert!(refused.contains(distrust), "{refused}");

    let certificates = root.join("etc/ssl/certs/ca-certificates.crt");
    let mut certificates = fs::File::options().append(true).open(certificates).unwrap();
    let authority = nats.client().authority.as_ref().unwrap();
    certificates.write_all(&fs::read(authority).unwrap()).unwrap();
    // It is trusted now, and the lattice has no host.
    let planned = within(&root, &plan).unwrap();
    assert!(planned.contains("NoEligibleHosts"), "{planned}");
}

/// An image as its registry gives it back.
struct Delivered {
    config: Value,
    /// Kind, mode, owner, size, time and name of each file, a line each, in order.
    files: Vec<String>,
    /// Where it is unpacked.
    root: PathBuf,
}

fn delivered(reference: &str, scratch: &Scratch, name: &str) -> Delivered {
    let crane = programs::crane().unwrap();
    let config: Value = serde_json::from_str(&run(&crane, &["config", reference])).unwrap();
    let archive = scratch.path().join(format!("{name}.tar"));
    run(&crane, &["export", reference, text(&archive)]);
    let list = run("tar", &["--numeric-owner", "--utc", "-tvf", text(&archive)]);
    let mut files: Vec<_> = list.lines().map(ToOwned::to_owned).collect();
    files.sort_unstable();
    let root = scratch.folder(name).unwrap();
    run("tar", &["-xf", text(&archive), "-C", text(&root)]);
    Delivered { config: config["config"].clone(), files, root }
}

/// Builds the Dockerfile with the files of `image` and stores what comes out as `reference`.
fn build_dockerfile(image: &Image, reference: &str, scratch: &Scratch) {
    let context = scratch.folder("context").unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(project.join(".dockerignore"), context.join(".dockerignore")).unwrap();
    image.root.write(&context.join("target/image/root")).unwrap();

    let tools = programs::buildah().unwrap();
    let home = scratch.folder("buildah").unwrap();
    // Every image is as good as any other here: nobody signs them.
    let policy = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
    let policy = scratch.write("policy.json", policy).unwrap();
    let buildah = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount"])
            .arg(tools.path("buildah"))
            .args(["--storage-driver", "vfs", "--root", text(&home.join("storage"))])
            .args(["--runroot", text(&home.join("run"))])
            .args(arguments)
            .envs(tools.environment())
            // Nothing of the user's, and nothing that stays.
            .envs(["HOME", "TMPDIR", "XDG_RUNTIME_DIR"].map(|name| (name, &home)));
        toolchain::run(&mut command).unwrap();
    };
    let dockerfile = project.join("Dockerfile");
    buildah(&[
        "build",
        "--isolation=chroot",
        &format!("--signature-policy={}", text(&policy)),
        &format!("--file={}", text(&dockerfile)),
        "--tag=trellis",
        text(&context),
    ]);
    buildah(&[
        "push",
        "--tls-verify=false",
        &format!("--signature-policy={}", text(&policy)),
        "trellis",
        &format!("docker://{reference}"),
    ]);
}

#[test]
fn the_dockerfile_makes_the_same() {
    let scratch = Scratch::new("image").unwrap();
    let registry = Registry::start().unwrap();
    let ours = registry.push_image("trellis:ours", &image()).unwrap();
    let theirs = format!("{}/trellis:dockerfile", registry.authority());
    build_dockerfile(&image(), &theirs, &scratch);

    let ours = delivered(&ours, &scratch, "ours");
    let mut theirs = delivered(&theirs, &scratch, "theirs");
    let labels = theirs.config["Labels"].as_object_mut().unwrap();
    labels.retain(|name, _| !name.starts_with("io.buildah."));
    assert_eq!(ours.config, theirs.config);
    assert!(ours.files.iter().any(|file| file.ends_with(" trellis")), "{:?}", ours.files);
    assert_eq!(ours.files, theirs.files);
    run("diff", &["-r", text(&ours.root), text(&theirs.root)]);
}
