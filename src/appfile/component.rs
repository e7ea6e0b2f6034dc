//! `components[]`: what runs, and its traits.
use std::sync::Arc;

use super::{
    Component, LinkTrait, config,
    cursor::{At, Fields, Shape},
    image, limits, link, name,
    scaler::{self, Scaler},
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
    known: &["image", "application", "id", "config", "limits"],
    not_yet: &["secrets"],
    elsewhere: &[
        ("contract", "is of wasmCloud before 1.0", "remove it and write a link with WIT names"),
        ("link_name", "is of wasmCloud before 1.0", "write it as the name of the link"),
        ("env", "means nothing to Wasm", "write config"),
        ("cmd", "means nothing to Wasm", "remove it"),
        ("port", "means nothing to Wasm", "link an HTTP server capability to the component"),
        ("ports", "means nothing to Wasm", "link an HTTP server capability to the component"),
    ],
};
const TRAIT: Shape = Shape { known: &["type", "properties"], not_yet: &["name"], elsewhere: &[] };

const TYPES: &[&str] = &["component", "actor", "capability"];
const TRAITS: &[&str] = &["link", "spreadscaler", "daemonscaler"];

/// Traits known from elsewhere, and what to write instead.
const TRAITS_ELSEWHERE: &[(&str, &str)] = &[
    ("linkdef", "write a link trait with target, namespace, package and interfaces"),
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

pub(super) fn parse(at: &At) -> Option<Component> {
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
    let config = config::parse(&properties);
    let id = match properties.get("id") {
        Some(at) => Some(name::token::<WorkloadId>(&at)?),
        None => None,
    };
    let max_memory = limits::max_memory(&properties, kind.as_ref().map(|(_, kind)| *kind));
    let (type_, kind) = kind?;
    let image = image(&properties, kind);
    let (Scaler { scaling, layout, rollout }, links) = traits?;
    Some(Component {
        name: name?,
        kind,
        type_,
        image: image?,
        id,
        config,
        scaling,
        layout,
        rollout,
        max_memory: max_memory.ok()?,
        links,
        path: at.path.clone(),
    })
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

/// Exactly one of `image` and `application`; only the first is built.
fn image(properties: &Fields, kind: WorkloadKind) -> Option<Arc<str>> {
    match (properties.get("image"), properties.get("application")) {
        (Some(_), Some(application)) => {
            application.problem("stands beside image", "keep one of them");
            None
        }
        (None, Some(application)) => {
            application.problem(
                "a component of another Application can't be used yet",
                "write image, or put both into one Application",
            );
            None
        }
        (image, None) => {
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
}

/// The scaler and the links; `None` if any trait is wrong.
fn traits(component: &Fields, kind: Option<WorkloadKind>) -> Option<(Scaler, Vec<LinkTrait>)> {
    let (mut scaler, mut links, mut complete) = (None, Vec::new(), true);
    let mut scaler_at: Option<String> = None;
    for at in component.list("traits") {
        let Some((type_, type_at)) = trait_type(&at) else {
            complete = false;
            continue;
        };
        if type_ != "link" {
            if let Some(first) = &scaler_at {
                at.problem(
                    format!("is a second scaler, after {first}"),
                    "keep one (several entries of its spread may share the instances)",
                );
            }
            scaler_at.get_or_insert(at.path.clone());
        }
        match parse_trait(&at, (type_, &type_at), kind) {
            Some(Trait::Scaler(parsed)) => scaler = Some(parsed),
            Some(Trait::Link(link)) => links.push(link),
            None => complete = false,
        }
    }
    complete.then(|| (scaler.unwrap_or_else(scaler::one), links))
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
        "link" => link::parse(&properties?).map(Trait::Link),
        "spreadscaler" => scaler::spread(&properties?, kind).map(Trait::Scaler),
        "daemonscaler" => scaler::daemon(&properties?).map(Trait::Scaler),
        _ => {
            type_at.problem("is not a built-in trait", "remove it");
            None
        }
    }
}
