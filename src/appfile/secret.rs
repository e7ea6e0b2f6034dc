//! `secrets: [{name, properties}]` of components and of both ends of a link: what hosts ask of a
//! secrets backend. The value never comes here: a host fetches it when it starts the thing.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Component, Secret, SecretPolicy,
    cursor::{At, Fields, Shape},
    hash::canonical,
    image, name,
    policy::Policies,
    problem::Findings,
    suggest::{closest, quote},
};
use crate::model::id_part;

const SECRET: Shape = Shape {
    known: &["name", "properties"],
    not_yet: &[],
    elsewhere: &[
        ("policy", "belongs below properties", "write it as properties.policy"),
        ("key", "belongs below properties", "write it as properties.key"),
        ("value", "is kept nowhere in an Application", "put it into the secrets backend"),
    ],
};
const PROPERTIES: Shape = Shape {
    known: &["policy", "key", "field", "version"],
    not_yet: &[],
    elsewhere: &[
        ("backend", "belongs to the policy", "write it in the properties of the policy"),
        ("value", "is kept nowhere in an Application", "put it into the secrets backend"),
    ],
};

/// The type of the policies that secrets name.
pub(super) const POLICY_TYPE: &str = "policy.secret.wasmcloud.dev/v1alpha1";

/// What a host takes a config entry for, by `type`.
const REFERENCE: &str = "secret.wasmcloud.dev/v1alpha1";
/// What a backend takes the policy for, by `type`.
const POLICY_PROPERTIES: &str = "properties.secret.wasmcloud.dev/v1alpha1";

/// The entries of the field `secrets`, in order; none if it is missing.
pub(super) fn parse(fields: &Fields) -> Vec<Secret> {
    let (mut seen, mut parsed) = (BTreeSet::new(), Vec::new());
    for at in fields.list("secrets") {
        let Some(secret) = entry(&at) else { continue };
        if seen.insert(Arc::clone(&secret.name)) {
            parsed.push(secret);
        } else {
            at.problem(format!("{} is listed twice", quote(&secret.name)), "remove one");
        }
    }
    parsed
}

fn entry(at: &At) -> Option<Secret> {
    let fields = at.object(&SECRET)?;
    let name = fields.need("name", "give it the name by which it is asked for");
    let name = name.and_then(|at| name::any(&at));
    let properties = fields.need("properties", "write at least policy and key")?;
    let properties = properties.object(&PROPERTIES)?;
    let text = |at: At| at.text().map(str::to_owned);
    let optional = |key| properties.get(key).map(text);
    let policy = properties.need("policy", &format!("name a policy of type {POLICY_TYPE}"));
    let policy = policy.and_then(text);
    let key = properties.need("key", "write what the backend knows it by").and_then(text);
    let (field, version) = (optional("field"), optional("version"));
    let path = at.path.clone();
    Some(Secret {
        name: name?,
        policy: policy?.into(),
        key: key?,
        field: field.map_or(Some(None), |text| text.map(Some))?,
        version: version.map_or(Some(None), |text| text.map(Some))?,
        path,
    })
}

/// What a policy of [`POLICY_TYPE`] says, from its `properties` if it has any.
pub(super) fn policy(policy: &Fields) -> Option<SecretPolicy> {
    let path = super::cursor::join(&policy.at.path, "properties");
    let Some(properties) = policy.get("properties") else {
        return Some(SecretPolicy { backend: None, properties: BTreeMap::new(), path });
    };
    let fields = properties.fields()?;
    let backend = match fields.get("backend") {
        Some(at) => Some(backend(&at)?),
        None => None,
    };
    let passed = fields.entries().filter(|(key, _)| *key != "backend");
    let properties = passed.map(|(key, at)| (key.to_owned(), at.value.clone())).collect();
    Some(SecretPolicy { backend, properties, path })
}

/// Hosts ask it at a subject that contains its name.
fn backend(at: &At) -> Option<Arc<str>> {
    let text = at.text()?;
    let forbidden = |c: char| matches!(c, '*' | '>') || c.is_whitespace() || c.is_control();
    if text.contains(forbidden) || text.split('.').any(str::is_empty) {
        at.problem(
            format!("{} cannot stand in a NATS subject", quote(text)),
            "use letters, digits, - and _",
        );
        return None;
    }
    Some(text.into())
}

/// Every secret names a policy that tells its backend, and no name means two things.
pub(super) fn check(components: &[Component], policies: &Policies, findings: &Findings) {
    let secrets: Vec<&Secret> = components.iter().flat_map(secrets).collect();
    let mut without_backend = BTreeSet::new();
    for secret in &secrets {
        match policies.secrets.get(&secret.policy) {
            Some(policy) if policy.backend.is_some() => {}
            Some(policy) => {
                if without_backend.insert(&policy.path) {
                    findings.problem(
                        &format!("{}.backend", policy.path),
                        format!("is missing, and {} needs it", secret.path),
                        "name the secrets backend to ask",
                    );
                }
            }
            None => no_such_policy(secret, policies, findings),
        }
    }
    names(components, &secrets, findings);
    warn_of_builtins(components, findings);
}

/// Hosts give secrets to what is signed, and leave out links whose secrets they can't get.
fn warn_of_builtins(components: &[Component], findings: &Findings) {
    let builtins: BTreeSet<&str> = components
        .iter()
        .filter(|component| image::is_builtin(&component.image))
        .map(|component| &*component.name)
        .collect();
    let is_builtin = |name: &str| builtins.contains(name);
    for component in components {
        let own = component.secrets.iter().filter(|_| is_builtin(&component.name));
        let linked = component
            .links
            .iter()
            .filter(|link| is_builtin(&component.name) || is_builtin(&link.target))
            .flat_map(|link| link.source_secrets.iter().chain(&link.target_secrets));
        for secret in own.chain(linked) {
            findings.warning(
                &secret.path,
                "is for a provider of the host, which isn't signed, and hosts give secrets to signed \
                 ones only",
                "use a provider with an image of its own",
            );
        }
    }
}

fn no_such_policy(secret: &Secret, policies: &Policies, findings: &Findings) {
    let path = format!("{}.properties.policy", secret.path);
    let name = quote(&secret.policy);
    if let Some(type_) = policies.types.get(&secret.policy) {
        // What else is wrong with a policy of the right type is said there.
        if **type_ != *POLICY_TYPE {
            findings.problem(
                &path,
                format!("{name} is not a secret policy, but one of type {}", quote(type_)),
                format!("name a policy of type {POLICY_TYPE}"),
            );
        }
        return;
    }
    let todo = match closest(&secret.policy, policies.secrets.keys()) {
        Some(known) => format!("did you mean {known}?"),
        None => format!("add a policy of this name, of type {POLICY_TYPE}"),
    };
    findings.problem(&path, format!("{name} is not a policy of this Application"), todo);
}

/// A name has one meaning in the whole Application, and names stay apart on the lattice.
fn names(components: &[Component], secrets: &[&Secret], findings: &Findings) {
    let configs: BTreeMap<&str, &str> = components
        .iter()
        .flat_map(|component| {
            let links = component.links.iter();
            let linked =
                links.flat_map(|link| link.source_config.iter().chain(&link.target_config));
            component.config.iter().chain(linked)
        })
        .map(|config| (config.name.as_str(), config.path.as_str()))
        .collect();
    let mut by_name: BTreeMap<&str, &Secret> = BTreeMap::new();
    let mut by_part: BTreeMap<String, &Secret> = BTreeMap::new();
    for secret in secrets {
        let first = by_name.entry(&secret.name).or_insert(secret);
        if !first.asks_the_same(secret) {
            findings.problem(
                &secret.path,
                format!("{} is another secret in {}", quote(&secret.name), first.path),
                "use the same properties, or another name",
            );
        }
        let like = by_part.entry(id_part(&secret.name)).or_insert(secret);
        if like.name != secret.name {
            findings.problem(
                &format!("{}.name", secret.path),
                format!(
                    "{} and {} of {} are one name on the lattice",
                    quote(&secret.name),
                    quote(&like.name),
                    like.path
                ),
                "rename one",
            );
        }
        if let Some(config) = configs.get(&*secret.name) {
            findings.problem(
                &format!("{}.name", secret.path),
                format!("{} is the name of the config {config} too", quote(&secret.name)),
                "rename one of the two",
            );
        }
    }
}

/// All of a component: its own, and those of its links.
fn secrets(component: &Component) -> impl Iterator<Item = &Secret> {
    let linked = component
        .links
        .iter()
        .flat_map(|link| link.source_secrets.iter().chain(&link.target_secrets));
    component.secrets.iter().chain(linked)
}

impl Secret {
    /// Whether `other` says the same, wherever it stands.
    pub(super) fn asks_the_same(&self, other: &Self) -> bool {
        (&self.name, &self.policy, &self.key, &self.field, &self.version)
            == (&other.name, &other.policy, &other.key, &other.field, &other.version)
    }

    /// The config entry by which hosts know what to ask which backend for.
    pub(super) fn reference(&self, policy: &SecretPolicy) -> BTreeMap<String, String> {
        // The order in which other tools write it, so that they find it unchanged.
        let properties = canonical(&policy.properties.clone().into_iter().collect());
        let passed = format!(r#"{{"type":"{POLICY_PROPERTIES}","properties":{properties}}}"#);
        let backend = policy.backend.as_deref().unwrap_or_default();
        let always = [
            ("name", &*self.name),
            ("type", REFERENCE),
            ("backend", backend),
            ("key", &self.key),
            ("policy", &passed),
        ];
        let optional = [("field", self.field.as_deref()), ("version", self.version.as_deref())];
        let optional = optional.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let entries = always.into_iter().chain(optional);
        entries.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}
