//! `cargo run -p parts -- prepare` builds what tests and the demo need, ahead of them;
//! `… image TRELLIS FOLDER REGISTRY TAG` makes the operator's image in `FOLDER`, and pushes it
//! unless `REGISTRY` is empty; `… node COMMAND…` runs a command with a whole Kubernetes node.

use std::{
    env,
    error::Error,
    fs, io,
    path::Path,
    process::{Command, ExitCode},
};

use parts::{
    Node,
    images::{self, Compression},
    node::{self, Entered},
};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["prepare"] => parts::prepare().map(|()| ExitCode::SUCCESS).map_err(Into::into),
        ["image", trellis, folder, registry, tag] => {
            make_image(Path::new(trellis), Path::new(folder), registry, tag)
                .map(|()| ExitCode::SUCCESS)
        }
        ["node", program, ref arguments @ ..] => with_node(program, arguments),
        _ => {
            eprintln!(
                "usage: parts prepare | parts image TRELLIS FOLDER REGISTRY TAG | \
                 parts node COMMAND…"
            );
            return ExitCode::from(2);
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("parts: {}", parts::chain(&*error));
        ExitCode::FAILURE
    })
}

/// Runs a command where the node is, so that it reaches Services and Pods, with its `KUBECONFIG`
/// and `REGISTRY`, where Pods' images come from.
fn with_node(program: &str, arguments: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    let status = match node::enter(node::prepare)? {
        Entered::Impossible(reason) => return Err(reason.into()),
        Entered::Outside(status) => status,
        Entered::Inside => {
            let node = Node::start()?;
            Command::new(program)
                .args(arguments)
                .env("KUBECONFIG", node.cluster().kubeconfig())
                .env("KUBECACHEDIR", node.cluster().kubeconfig().with_file_name("kubectl-cache"))
                .env("REGISTRY", node.registry().authority())
                .status()?
        }
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Without a `tag` the image has that of its version.
fn make_image(
    trellis: &Path,
    folder: &Path,
    registry: &str,
    tag: &str,
) -> Result<(), Box<dyn Error>> {
    let (root, oci) = (folder.join("root"), folder.join("oci"));
    for earlier in [&root, &oci] {
        match fs::remove_dir_all(earlier) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("could not remove {}: {error}", earlier.display()).into());
            }
            Ok(()) | Err(_) => {}
        }
    }

    let image = images::trellis(trellis)?;
    let tag = if tag.is_empty() { image.version().unwrap_or("latest") } else { tag };
    let name = match registry.trim_end_matches('/') {
        "" => format!("docker.io/library/trellis:{tag}"),
        registry => format!("{registry}/trellis:{tag}"),
    };
    image.root.write(&root)?;
    let layout = image.layout(&oci, &name, Compression::Gzip)?;
    println!("{name}");
    println!("  digest  {}", layout.digest);
    println!(
        "  size    {}, {} unpacked",
        megabytes(layout.transferred),
        megabytes(layout.unpacked)
    );
    println!("  files   {} (docker build . makes the same of them)", root.display());
    if registry.is_empty() {
        println!("  image   {} (tar -C {0} -c . | docker load)", oci.display());
    } else {
        layout.push(&name)?;
        println!("  pushed");
    }
    Ok(())
}

fn megabytes(bytes: usize) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
