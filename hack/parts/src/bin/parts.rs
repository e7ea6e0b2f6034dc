//! `cargo run -p parts -- prepare` builds what tests and the demo need, ahead of them;
//! `… image TRELLIS FOLDER REGISTRY TAG` makes the operator's image in `FOLDER`, and pushes it
//! unless `REGISTRY` is empty.

use std::{env, error::Error, fs, io, path::Path, process::ExitCode};

use parts::images::{self, Compression};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["prepare"] => parts::prepare().map_err(Into::into),
        ["image", trellis, folder, registry, tag] => {
            make_image(Path::new(trellis), Path::new(folder), registry, tag)
        }
        _ => {
            eprintln!("usage: parts prepare | parts image TRELLIS FOLDER REGISTRY TAG");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = outcome {
        eprintln!("parts: {}", parts::chain(&*error));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
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
