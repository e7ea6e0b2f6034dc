//! `components[]`: what runs, and its traits.
use std::sync::Arc;

use super::{
    Component, LinkTrait, Shared, config,
    cursor::{At, Fields, Shape, is_empty},
    image, limits, link, linkdef, name,
    scaler::{self, Scaler},
    secret,
    suggest::{closest, quote},
};
use crate::model::{WorkloadId, WorkloadKind};

const COMPONENT: Shape = Shape {
    known: &["name", "type", "properties", "traits", "scopes", "externalRevision"],
    not_yet: &["dependsOn", "inputs", "outputs", "replicaKey"],
    elsewhere: &[
        ("image", "belongs below properties", "write it as properties.image"),
        ("config", "belongs below properties", "write it as properties.config"),
        ("settings", "is of an older OAM version", "write it as properties"),
    ],
};
const PROPERTIES: Shape = Shape {
    known: &["image", "application", "id", "config", "secrets", "limits", "contract", "link_name"],
    not_yet: &[],
    elsewhere: &[
        ("env", "means nothing to Wasm", "write config"),
        ("cmd", "means nothing to Wasm", "remove it"),
        ("port", "means nothing to Wasm", "link an HTTP server capability to the component"),
        ("ports", "means nothing to Wasm", "link an HTTP server capability to the component"),
    ],
};
const TRAIT: Shape = Shape { known: &["type", "properties"], not_yet: &["name"], elsewhere: &[] };

const TYPES: &[&str] = &["component", "actor", "capability"];
const TRAITS: &[&str] = &["link", "spreadscaler", "daemonscaler", linkdef::TYPE];

/// Traits known from elsewhere, and what to write instead.
const TRAITS_ELSEWHERE: &[(&str, &str)] = &[
    ("scaler", "write a spreadscaler with instances"),
    ("manualscaler", "write a spreadscaler with instances"),
    ("expose", "link an HTTP server capability to the component"),
    ("gateway", "link an HTTP server capability to the component"),
    ("ingress", "link an HTTP server capability to the component"),
    ("service-binding", "write config"),
    ("env", "write config"),
    ("rollout", "write it as rollout in the properties of the scaler"),
    ("cpuscaler", "write a spreadscaler with instances"),
    ("hpa", "write a spreadscaler with instances"),
    ("affinity", "write a spreadscaler with requirements"),
    ("sidecar", "write it as a component with a link"),
];

const APPLICATION: Shape =
    Shape { known: &["name", "component", "namespace"], not_yet: &[], elsewhere: &[] };

/// An entry of `components`.
pub(super) enum Written {
    Own(Component),
    Shared(Shared),
}

pub(super) fn parse(at: &At) -> Option<Written> {
    let fields = at.object(&COMPONENT)?;
    for key in ["scopes", "externalRevision"] {
        if let Some(at) = fields.get(key) {
            at.warning("has no effect", "remove it");
        }
    }
    let name = fields.need("name", "give it a name").and_then(|at| name::part(&at));
    let kind = fields.need("type", "write component or capability").and_then(|at| kind(&at));
    let traits = traits(&fields, kind.as_ref().map(|(_, kind)| *kind));
    let properties = fields.need("properties", "write at least properties.image");
    let properties = properties.and_then(|at| at.object(&PROPERTIES));
    let properties = properties?;
    if let (None, Some(reference)) = (properties.get("image"), properties.get("application")) {
        return shared(&properties, &reference, (name, kind, traits)).map(Written::Shared);
    }
    let config = config::parse(&properties);
    let secrets = secret::parse(&properties);
    let id = match properties.get("id") {
        Some(at) => Some(name::token::<WorkloadId>(&at)?),
        None => None,
    };
    let max_memory = limits::max_memory(&properties, kind.as_ref().map(|(_, kind)| *kind));
    let (type_, kind) = kind?;
    let image = image(&properties, kind);
    let Traits { scaler, links, .. } = traits?;
    let Scaler { scaling, on_host_loss, layout, rollout } = scaler.unwrap_or_else(scaler::one);
    let (name, image, path) = (name?, image?, at.path.clone());
    Some(Written::Own(Component {
        name,
        kind,
        type_,
        image,
        id,
        config,
        secrets,
        scaling,
        on_host_loss,
        layout,
        rollout,
        max_memory: max_memory.ok()?,
        links,
        path,
    }))
}

fn kind(at: &At) -> Option<(Arc<str>, WorkloadKind)> {
    let text = at.text()?;
    let kind = match text {
        "component" | "actor" => WorkloadKind::Component,
        "capability" => WorkloadKind::Provider,
        _ => {
            let todo = match closest(text, TYPES) {
                Some(known) => format!("did you mean {known}?"),
                None => "use component with a Wasm image, or capability with a provider \
                         (definitions are not supported yet)"
                    .into(),
            };
            at.problem(format!("{} is not a built-in component type", quote(text)), todo);
            return None;
        }
    };
    Some((text.into(), kind))
}

/// Name, type and traits of a component, as far as they are right.
type Head<'a> = (Option<Arc<str>>, Option<(Arc<str>, WorkloadKind)>, Option<Traits<'a>>);

/// A reference to a component of another Application, which says itself how it runs.
fn shared(properties: &Fields, reference: &At, (name, kind, traits): Head) -> Option<Shared> {
    if let Some(at) = properties.get("id") {
        at.warning("has no effect, for the id is that of the shared component", "remove it");
    }
    for key in ["config", "secrets"] {
        if let Some(at) = properties.get(key).filter(|at| !is_empty(at.value)) {
            at.problem(
                "can't be given to a component of another Application",
                "write it in that Application, or on the link",
            );
        }
    }
    let fields = reference.object(&APPLICATION)?;
    let application = fields.need("name", "name the Application that shares it");
    let component = fields.need("component", "name the component of that Application");
    let namespace = match fields.get("namespace") {
        Some(at) => Some(name::namespace(&at)?),
        None => None,
    };
    let (application, component) = (application?.text()?, component?.text()?);
    let Traits { links, scaled_at, .. } = traits?;
    if let Some(at) = scaled_at {
        at.problem(
            "scales a component of another Application",
            "remove it (that Application says how many run)",
        );
        return None;
    }
    Some(Shared {
        name: name?,
        kind: kind?.1,
        application: application.into(),
        namespace,
        component: component.into(),
        links,
        path: reference.path.strip_suffix(".application").unwrap_or(&reference.path).into(),
    })
}

/// The image, where there is no `application`.
fn image(properties: &Fields, kind: WorkloadKind) -> Option<Arc<str>> {
    match (properties.get("image"), properties.get("application")) {
        (Some(_), Some(application)) => {
            application.problem("stands beside image", "keep one of them");
            None
        }
        (image, _) => {
            let at = match image {
                Some(at) => at,
                None => properties.need("image", "write the image to run")?,
            };
            image::parse(&at, kind)
        }
    }
}

enum Trait {
    Scaler(Scaler),
    Link(LinkTrait),
    /// Read once all components are.
    Linkdef,
}

/// What the traits of one component say.
struct Traits<'a> {
    scaler: Option<Scaler>,
    links: Vec<LinkTrait>,
    /// Where it is scaled.
    scaled_at: Option<At<'a>>,
}

/// `None` if any trait is wrong.
fn traits<'a>(component: &Fields<'a>, kind: Option<WorkloadKind>) -> Option<Traits<'a>> {
    let (mut scaler, mut links, mut complete) = (None, Vec::new(), true);
    let mut scaled_at: Option<At> = None;
    for at in component.list("traits") {
        let Some((type_, type_at)) = trait_type(&at) else {
            complete = false;
            continue;
        };
        if !matches!(type_, "link" | linkdef::TYPE) {
            if let Some(first) = &scaled_at {
                at.problem(
                    format!("is a second scaler, after {}", first.path),
                    "keep one (several entries of its spread may share the instances)",
                );
            }
            if scaled_at.is_none() {
                scaled_at = Some(at.clone());
            }
        }
        match parse_trait(&at, (type_, &type_at), kind) {
            Some(Trait::Scaler(parsed)) => scaler = Some(parsed),
            Some(Trait::Link(link)) => links.push(link),
            Some(Trait::Linkdef) => {}
            None => complete = false,
        }
    }
    links.shrink_to_fit();
    complete.then_some(Traits { scaler, links, scaled_at })
}

/// The trait's type, if it is a built-in one.
fn trait_type<'a>(at: &At<'a>) -> Option<(&'a str, At<'a>)> {
    let fields = at.object(&TRAIT)?;
    let type_at = fields.need("type", "write link, spreadscaler or daemonscaler")?;
    let text = type_at.text()?;
    if TRAITS.contains(&text) {
        return Some((text, type_at));
    }
    let known = TRAITS_ELSEWHERE.iter().find(|(name, _)| *name == text);
    let todo = match (known, closest(text, TRAITS)) {
        (Some((_, instead)), _) => (*instead).to_owned(),
        (None, Some(known)) => format!("did you mean {known}?"),
        (None, None) => "use link, spreadscaler or daemonscaler, or remove it (definitions \
                         are not supported yet)"
            .into(),
    };
    type_at.problem(format!("{} is not a built-in trait", quote(text)), todo);
    None
}

fn parse_trait(
    at: &At,
    (type_, type_at): (&str, &At),
    kind: Option<WorkloadKind>,
) -> Option<Trait> {
    let fields = at.fields()?;
    let properties = fields.need("properties", "write what the trait takes");
    match type_ {
        linkdef::TYPE => properties.map(|_| Trait::Linkdef),
        "link" => link::parse(&properties?).map(Trait::Link),
        "spreadscaler" => scaler::spread(&properties?, kind).map(Trait::Scaler),
        "daemonscaler" => scaler::daemon(&properties?).map(Trait::Scaler),
        _ => {
            type_at.problem("is not a built-in trait", "remove it");
            None
        }
    }
}
