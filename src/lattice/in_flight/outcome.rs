use crate::model::{Command, Inventory};

/// Whether an inventory shows what `command` asked for; links and config never are in one.
#[must_use]
pub fn shows(inventory: &Inventory, command: &Command) -> bool {
    match command {
        Command::StopProvider { id, .. } => !inventory.providers.contains_key(id),
        Command::StartProvider { id, image, annotations, .. } => {
            inventory.providers.get(id).is_some_and(|running| {
                running.annotations == *annotations && same_image(image, &running.image)
            })
        }
        Command::ScaleComponent { id, count: 0, .. } => !inventory.components.contains_key(id),
        Command::ScaleComponent { id, image, count, annotations, .. } => {
            inventory.components.get(id).is_some_and(|running| {
                running.instances == *count
                    && running.annotations == *annotations
                    && same_image(image, &running.image)
            })
        }
        Command::PutConfig { .. }
        | Command::DeleteConfig { .. }
        | Command::PutLink { .. }
        | Command::DeleteLink { .. } => false,
    }
}

/// Whether two references name one image. Hosts repeat some in another form: without their
/// scheme, and registries' names in lower case.
#[must_use]
pub fn same_image(asked: &str, shown: &str) -> bool {
    bare(asked).eq_ignore_ascii_case(bare(shown))
}

/// A reference as hosts repeat it, but for the case of its letters.
#[must_use]
pub fn bare(image: &str) -> &str {
    let schemes = ["wasmcloud+builtin://", "file://", "oci://"];
    schemes.iter().find_map(|scheme| image.strip_prefix(scheme)).unwrap_or(image)
}
