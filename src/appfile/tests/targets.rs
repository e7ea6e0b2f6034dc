use std::collections::BTreeMap;

use super::app;
use crate::{
    api::{AllowedNamespaces, CrossNamespace, NamespacesFrom},
    appfile::{LatticeFacts, NamespaceFacts, TargetFacts},
    workflow,
};

/// An Application `app` in namespace `default` with these policies.
fn with(policies: &str) -> crate::appfile::Appfile {
    app(&format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: app}}\nspec:\n  \
         components:\n    - {{name: a, type: component, properties: {{image: 'ghcr.io/x/a:1'}}}}\n    \
         - {{name: b, type: component, properties: {{image: 'ghcr.io/x/b:1'}}}}\n  \
         policies: [{policies}]\n"
    ))
}

fn topology(name: &str, properties: &str) -> String {
    format!("{{name: {name}, type: topology, properties: {{{properties}}}}}")
}

fn strings(text: &str) -> BTreeMap<String, String> {
    let entries = text.split_whitespace().filter_map(|entry| entry.split_once('='));
    entries.map(|(key, value)| (key.into(), value.into())).collect()
}

/// Lattices from lines such as `eu region=eu`, where `default` among the words means what it says,
/// `team-only` that only namespaces of a team are admitted, and `consent` that a target must agree.
fn lattices(lines: &[&str]) -> TargetFacts {
    let lattice = |line: &&str| {
        let (name, words) = line.split_once(' ').unwrap_or((line, ""));
        let has = |word: &str| words.split(' ').any(|w| w == word);
        let allowed_namespaces = if has("team-only") {
            AllowedNamespaces { from: NamespacesFrom::Selector, selector: strings("team=a") }
        } else {
            AllowedNamespaces::default()
        };
        let cross_namespace =
            if has("consent") { CrossNamespace::Consent } else { CrossNamespace::Allow };
        let default = has("default");
        let labels = strings(words);
        let facts = LatticeFacts { labels, default, allowed_namespaces, cross_namespace };
        (name.parse().unwrap(), facts)
    };
    TargetFacts { lattices: lines.iter().map(lattice).collect(), ..TargetFacts::default() }
}

fn namespace(facts: TargetFacts, name: &str, labels: &str, annotations: &str) -> TargetFacts {
    let mut facts = facts;
    let namespace = NamespaceFacts { labels: strings(labels), annotations: strings(annotations) };
    facts.namespaces.insert(name.into(), namespace);
    facts
}

/// `lattice/namespace` of each target, or the problems.
fn targets(policies: &[String], facts: &TargetFacts) -> String {
    match with(&policies.join(", ")).targets(facts) {
        Ok(targets) => {
            let shown = targets.iter().map(|t| format!("{}/{}", t.lattice, t.namespace));
            shown.collect::<Vec<_>>().join(" ")
        }
        Err(problems) => format!("{}: {problems}", problems.reason()),
    }
}

#[test]
fn without_topology_it_is_the_default_lattice() {
    let cases = [
        ("the only one", lattices(&["eu"]), "eu/default"),
        ("the one that says so", lattices(&["eu default", "us"]), "eu/default"),
        ("the only one that admits it", lattices(&["eu team-only", "us"]), "us/default"),
        (
            "the one that the namespace names",
            namespace(lattices(&["eu default", "us"]), "default", "", "lattice.oam.dev/default=us"),
            "us/default",
        ),
    ];
    for (name, facts, expected) in cases {
        assert_eq!(targets(&[], &facts), expected, "{name}");
        let local = topology("t", "clusters: [local]");
        assert_eq!(targets(&[local], &facts), expected, "{name}, as local");
    }
}

#[test]
fn without_a_default_lattice_it_says_what_to_do() {
    let cases = [
        (lattices(&[]), "NoDefaultLattice: spec: no Lattice admits namespace default; create one"),
        (
            lattices(&["eu", "us"]),
            "NoDefaultLattice: spec: 2 Lattices admit namespace default, none is the default; write",
        ),
        (
            lattices(&["eu default", "us default"]),
            "NoDefaultLattice: spec: 2 Lattices are the default of namespace default; write",
        ),
        (
            namespace(lattices(&["eu"]), "default", "", "lattice.oam.dev/default=us"),
            "UnknownLattice: spec: there is no Lattice us, which namespace default names",
        ),
    ];
    for (facts, expected) in cases {
        let shown = targets(&[], &facts);
        assert!(shown.starts_with(expected), "{shown}");
    }
}

#[test]
fn a_lattice_of_another_class_is_not_said_to_be_missing() {
    let mut facts = lattices(&["eu"]);
    facts.left = [("us", Some("b")), ("af", None)]
        .map(|(name, class)| (name.parse().unwrap(), class.map(ToOwned::to_owned)))
        .into();
    let todo = "give it and the Application the same lattice.oam.dev/controller-class, or name a \
                Lattice that has the Application's";
    for (name, whose) in [("us", "of controller class b"), ("af", "of no controller class")] {
        let path = "spec.policies[0].properties.lattices[0]";
        assert_eq!(
            targets(&[topology("a", &format!("lattices: [{name}]"))], &facts),
            format!("ForeignLattice: {path}: Lattice {name} is {whose}; {todo}")
        );
        let choice = format!("lattice.oam.dev/default={name}");
        let by = "namespace default names it in lattice.oam.dev/default";
        assert_eq!(
            targets(&[], &namespace(facts.clone(), "default", "", &choice)),
            format!("ForeignLattice: spec: Lattice {name} is {whose}, and {by}; {todo}")
        );
    }
    facts.lattices.clear();
    let hint = " (those of other installations don't count: Lattice af is of no controller class)";
    let shown = targets(&[], &facts);
    assert!(shown.starts_with("NoDefaultLattice: ") && shown.ends_with(hint), "{shown}");
}

#[test]
fn topologies_are_united_in_order() {
    let facts = lattices(&["eu region=eu", "us region=us", "us2 region=us default"]);
    let cases = [
        (vec![topology("a", "lattices: [us, eu, us]")], "us/default eu/default"),
        (vec![topology("a", "latticeSelector: {region: us}")], "us/default us2/default"),
        (vec![topology("a", "namespace: prod")], "us2/prod"),
        (
            vec![topology("a", "clusters: [us]"), topology("b", "latticeSelector: {region: us}")],
            "us/default us2/default",
        ),
        (
            vec![topology("a", "lattices: [us]"), topology("b", "lattices: [us], namespace: prod")],
            "us/default us/prod",
        ),
        (vec![topology("a", "lattices: [], allowEmpty: true")], ""),
        (vec![topology("a", "latticeSelector: {region: af}, allowEmpty: true")], ""),
    ];
    for (policies, expected) in cases {
        assert_eq!(targets(&policies, &facts), expected, "{policies:?}");
    }
}

#[test]
fn a_selection_leaves_out_lattices_that_do_not_admit_the_namespace() {
    let facts = lattices(&["eu region=eu team-only", "eu2 region=eu"]);
    let select = topology("a", "latticeSelector: {region: eu}");
    assert_eq!(targets(&[select], &facts), "eu2/default");
}

#[test]
fn a_named_lattice_must_admit_both_namespaces() {
    let facts = namespace(lattices(&["eu team-only"]), "default", "team=a", "");
    let own = topology("a", "lattices: [eu]");
    assert_eq!(targets(&[own], &facts), "eu/default");
    assert_eq!(
        targets(&[topology("a", "lattices: [eu], namespace: prod")], &facts),
        "NotAdmitted: spec.policies[0].properties.lattices[0]: Lattice eu doesn't admit namespace \
         prod; choose another, or ask its owner to change allowedNamespaces"
    );
}

#[test]
fn where_consent_is_asked_the_target_s_namespace_gives_it() {
    let facts = lattices(&["eu consent"]);
    let prod = [topology("a", "lattices: [eu], namespace: prod")];
    assert_eq!(
        targets(&prod, &facts),
        "NoConsent: spec.policies[0].properties.lattices[0]: namespace prod doesn't accept \
         Applications of default, as Lattice eu demands; run kubectl annotate namespace prod \
         lattice.oam.dev/accept-from=default"
    );
    for accepted in ["default", "other,default", "*"] {
        let accept = format!("lattice.oam.dev/accept-from={accepted}");
        let facts = namespace(facts.clone(), "prod", "", &accept);
        assert_eq!(targets(&prod, &facts), "eu/prod", "{accepted}");
    }
    assert_eq!(targets(&[], &facts), "eu/default", "its own namespace needs none");
}

#[test]
fn a_step_a_topology_with_its_own_targets() {
    let facts = lattices(&["eu", "us default"]);
    let app =
        with(&[topology("a", "lattices: [eu, us]"), topology("b", "lattices: [us]")].join(","));
    let shown: Vec<String> = workflow::generate(&app, &app.targets(&facts).unwrap())
        .iter()
        .map(|step| {
            let targets: Vec<_> = step.targets.iter().map(|t| t.lattice.as_str()).collect();
            format!("{} {} {:?} {targets:?}", step.name, step.kind, step.components)
        })
        .collect();
    assert_eq!(
        shown,
        [r#"deploy-a deploy ["a", "b"] ["eu", "us"]"#, r#"deploy-b deploy ["a", "b"] ["us"]"#]
    );
}

#[test]
fn without_topology_a_step_a_component() {
    let app = with("");
    let steps = workflow::generate(&app, &app.targets(&lattices(&["eu"])).unwrap());
    let shown: Vec<String> = steps
        .iter()
        .map(|step| format!("{} {} {:?}", step.name, step.kind, step.components))
        .collect();
    assert_eq!(shown, [r#"a apply-component ["a"]"#, r#"b apply-component ["b"]"#]);
}
