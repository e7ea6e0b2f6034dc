use std::collections::BTreeMap;

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::ResourceExt;
use serde_json::json;

use super::*;
use crate::api::{MARK, crds};

/// A cluster that is as it should be.
fn well() -> Facts {
    let scope =
        Scope { watched: Vec::new(), own: "trellis-system".into(), class: None, lease: None };
    Facts {
        crds: crds().into_iter().map(|crd| (crd.name_any(), Seen::Present(crd))).collect(),
        api_services: BTreeMap::from([("v1beta1.core.oam.dev".into(), Seen::Absent)]),
        rights: rights(&scope, &["nats".into()])
            .into_iter()
            .map(|r| (r, Seen::Present(())))
            .collect(),
        user: Some("system:serviceaccount:trellis-system:trellis".into()),
    }
}

/// `well`, but for one definition.
fn with(name: &str, change: impl FnOnce(&mut CustomResourceDefinition)) -> Facts {
    let mut facts = well();
    let Some(Seen::Present(crd)) = facts.crds.get_mut(name) else { panic!("{name}") };
    change(crd);
    facts
}

fn mark(crd: &mut CustomResourceDefinition, mark: &str) {
    crd.annotations_mut().insert(MARK.into(), mark.into());
}

fn severities(facts: &Facts) -> Vec<Severity> {
    findings(facts).into_iter().map(|finding| finding.severity).collect()
}

const APPLICATIONS: &str = "applications.core.oam.dev";
const LATTICES: &str = "lattices.lattice.oam.dev";

#[test]
fn a_cluster_that_is_as_it_should_be_has_no_findings_and_is_left_alone() {
    assert_eq!(findings(&well()), []);
    assert_eq!(steps(&well()), []);
}

#[test]
fn a_definition_that_is_missing_stops_the_start_and_is_created() {
    let mut facts = well();
    facts.crds.insert(LATTICES.into(), Seen::Absent);
    let found = findings(&facts);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "fatal: CustomResourceDefinition lattices.lattice.oam.dev is missing: what is not defined \
         cannot be watched; run: trellis crds | kubectl apply --server-side --force-conflicts -f -"
    );
    assert!(matches!(&steps(&facts)[..], [Step::Apply(crd)] if crd.name_any() == LATTICES));
}

#[test]
fn marks_tell_older_from_newer_and_other_builds() {
    let current = env!("CARGO_PKG_VERSION");
    let cases = [
        ("0.0.9+0", Some(Severity::Fault), "older", 1),
        ("999.0.0+0", Some(Severity::Warning), "newer", 0),
        (&format!("{current}+0"), Some(Severity::Fault), "another build", 1),
        ("nonsense", Some(Severity::Fault), "another build", 1),
    ];
    for (text, severity, says, changes) in cases {
        let facts = with(APPLICATIONS, |crd| mark(crd, text));
        let found = findings(&facts);
        assert_eq!(found.first().map(|finding| finding.severity), severity, "{text}");
        assert!(found[0].what.contains(says), "{}", found[0].what);
        assert_eq!(steps(&facts).len(), changes, "{text}");
        assert!(steps(&facts).iter().all(|step| matches!(step, Step::Apply(_))));
    }
    // The same definition under another version is the same.
    let same = with(APPLICATIONS, |crd| {
        let hash = crd.annotations()[MARK].split_once('+').unwrap().1.to_owned();
        mark(crd, &format!("0.0.9+{hash}"));
    });
    assert_eq!(findings(&same), []);
}

#[test]
fn anothers_definition_is_named_and_replaced_only_as_it_was_seen() {
    let vela = |crd: &mut CustomResourceDefinition| {
        crd.metadata.annotations = None;
        crd.metadata.uid = Some("u".into());
        crd.metadata.resource_version = Some("7".into());
        crd.spec.names.short_names = Some(vec!["app".into(), "velaapp".into()]);
    };
    let facts = with(APPLICATIONS, vela);
    let found = findings(&facts);
    assert_eq!(severities(&facts), [Severity::Fatal]);
    assert!(found[0].what.contains("KubeVela's"), "{}", found[0].what);
    let [Step::Replace(ours)] = &steps(&facts)[..] else { panic!("{:?}", steps(&facts)) };
    assert_eq!(ours.metadata.uid.as_deref(), Some("u"));
    assert_eq!(ours.metadata.resource_version.as_deref(), Some("7"));

    let chart = with(LATTICES, |crd| {
        let (key, space) = ("meta.helm.sh/release-name", "meta.helm.sh/release-namespace");
        crd.metadata.annotations =
            Some(BTreeMap::from([(key.into(), "other".into()), (space.into(), "there".into())]));
    });
    let text = findings(&chart)[0].to_string();
    assert!(text.contains("helm uninstall other --namespace there"), "{text}");
}

/// What somebody has changed under our mark, how bad that is, and what it is called.
type Change = (fn(&mut CustomResourceDefinition), Severity, &'static str);

#[test]
fn our_mark_on_anothers_definition_does_not_make_it_ours() {
    let rows: [Change; 6] = [
        (|crd| crd.spec.versions[0].served = false, Severity::Fatal, "somebody else's"),
        (
            |crd| {
                crd.spec.conversion = serde_json::from_value(json!({ "strategy": "Webhook" })).ok();
            },
            Severity::Fatal,
            "somebody else's",
        ),
        (
            |crd| crd.spec.names.short_names = Some(vec!["app".into(), "velaapp".into()]),
            Severity::Fatal,
            "KubeVela's",
        ),
        (
            |crd| crd.spec.names.short_names = Some(vec!["other".into()]),
            Severity::Fault,
            "with other names",
        ),
        (|crd| crd.spec.versions[0].schema = None, Severity::Fault, "with other schema"),
        (|crd| crd.spec.preserve_unknown_fields = Some(true), Severity::Fault, "with other schema"),
    ];
    for (change, severity, said) in rows {
        let facts = with(APPLICATIONS, |crd| {
            crd.metadata.resource_version = Some("7".into());
            change(crd);
        });
        let found = findings(&facts);
        assert_eq!(severities(&facts), [severity], "{found:?}");
        assert!(found[0].what.contains(said), "{found:?}");
        let [Step::Replace(ours)] = &steps(&facts)[..] else { panic!("{:?}", steps(&facts)) };
        assert_eq!(ours.metadata.resource_version.as_deref(), Some("7"));
    }
    // What the API server fills in by itself is nobody's change.
    let filled = with(APPLICATIONS, |crd| {
        crd.spec.names.list_kind = Some("ApplicationList".into());
        crd.spec.names.singular = Some("application".into());
        crd.spec.conversion = serde_json::from_value(json!({ "strategy": "None" })).ok();
        crd.spec.preserve_unknown_fields = Some(false);
    });
    assert_eq!((findings(&filled), steps(&filled)), (vec![], vec![]));
}

#[test]
fn of_an_older_one_nothing_stays_that_applying_ours_would_leave() {
    type Change = fn(&mut CustomResourceDefinition);
    let webhook: Change = |crd| {
        crd.spec.conversion = serde_json::from_value(json!({ "strategy": "Webhook" })).ok();
    };
    let all_fields: Change = |crd| crd.spec.preserve_unknown_fields = Some(true);
    let categories: Change = |crd| crd.spec.names.categories = Some(vec!["theirs".into()]);
    let schema: Change = |crd| crd.spec.versions[0].schema = None;
    let current = format!("{}+0", env!("CARGO_PKG_VERSION"));
    for older in ["0.0.9+0", &current] {
        for (change, replaces) in
            [(webhook, true), (all_fields, true), (categories, false), (schema, false)]
        {
            let facts = with(APPLICATIONS, |crd| {
                mark(crd, older);
                crd.metadata.resource_version = Some("7".into());
                change(crd);
            });
            let steps = steps(&facts);
            let [step] = &steps[..] else { panic!("{steps:?}") };
            match step {
                Step::Replace(ours) if replaces => {
                    assert_eq!(ours.metadata.resource_version.as_deref(), Some("7"));
                }
                Step::Apply(_) if !replaces => {}
                other => panic!("{older}: {other}"),
            }
        }
    }
}

#[test]
fn what_the_api_server_never_changes_is_told_with_what_deleting_it_costs() {
    let is_of = |mark: Option<&'static str>| {
        with(LATTICES, move |crd| {
            crd.spec.scope = "Namespaced".into();
            crd.metadata.annotations =
                mark.map(|mark| BTreeMap::from([(MARK.to_owned(), mark.to_owned())]));
        })
    };
    for facts in [is_of(None), is_of(Some("0.0.9+0")), is_of(Some("999.0.0+0"))] {
        assert_eq!(severities(&facts), [Severity::Fatal]);
        let text = findings(&facts)[0].to_string();
        assert!(text.contains("never changes its scope"), "{text}");
        assert!(text.contains("all objects of its kind"), "{text}");
        assert!(text.contains("kubectl delete crd lattices.lattice.oam.dev; then"), "{text}");
        assert_eq!(steps(&facts), [], "the API server would refuse it");
    }
}

#[test]
fn a_stored_version_that_ours_lacks_is_never_dropped() {
    let facts = with(APPLICATIONS, |crd| {
        crd.metadata.annotations = None;
        let status = crd.status.get_or_insert_default();
        status.stored_versions = Some(vec!["v1alpha2".into(), "v1beta1".into()]);
    });
    assert_eq!(severities(&facts), [Severity::Fatal, Severity::Fault]);
    let text = findings(&facts)[1].to_string();
    assert!(text.contains("stored as v1alpha2"), "{text}");
    assert!(text.contains(r#"'{"status":{"storedVersions":["v1beta1"]}}'"#), "{text}");
    assert_eq!(steps(&facts), []);
}

#[test]
fn what_is_being_deleted_is_waited_for() {
    let facts = with(APPLICATIONS, |crd| {
        crd.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    });
    assert_eq!(severities(&facts), [Severity::Fatal]);
    assert_eq!(steps(&facts), []);
}

fn api_service(labels: &serde_json::Value, service: &serde_json::Value) -> Facts {
    let object: APIService = serde_json::from_value(json!({
        "metadata": { "name": "v1beta1.core.oam.dev", "uid": "u", "labels": labels },
        "spec": {
            "group": "core.oam.dev", "version": "v1beta1",
            "groupPriorityMinimum": 1, "versionPriority": 1, "service": service,
        },
    }))
    .unwrap();
    let mut facts = well();
    facts.api_services.insert(object.name_any(), Seen::Present(object));
    facts
}

#[test]
fn an_api_service_that_hides_our_definitions_is_removed_and_no_other() {
    let service = json!({ "namespace": "wasmcloud", "name": "wadm-operator", "port": 8443 });
    let managed = json!({ "kube-aggregator.kubernetes.io/automanaged": "true" });
    let stale = api_service(&json!({}), &service);
    let text = findings(&stale)[0].to_string();
    assert!(text.starts_with("fatal: APIService v1beta1.core.oam.dev sends"), "{text}");
    assert!(text.contains("Service wasmcloud/wadm-operator"), "{text}");
    assert!(text.contains("kubectl delete apiservice v1beta1.core.oam.dev"), "{text}");
    let delete =
        Step::DeleteApiService { name: "v1beta1.core.oam.dev".into(), uid: Some("u".into()) };
    assert_eq!(steps(&stale), [delete]);
    for well in [api_service(&managed, &json!(null)), api_service(&json!({}), &json!(null))] {
        assert_eq!((findings(&well), steps(&well)), (vec![], vec![]));
    }
}

#[test]
fn rights_that_lack_are_told_by_what_they_are_for() {
    let mut facts = well();
    for (right, held) in &mut facts.rights {
        if right.resource == "applications" || right.resource == "secrets" {
            *held = Seen::Absent;
        }
    }
    let told: Vec<_> = findings(&facts).iter().map(ToString::to_string).collect();
    assert_eq!(severities(&facts), [Severity::Fault; 3]);
    assert_eq!(
        told[0],
        "fault: system:serviceaccount:trellis-system:trellis may not list, watch \
         applications.core.oam.dev: no Application is seen; the chart grants it; by hand: kubectl \
         create clusterrole trellis-applications-list-watch --verb=list,watch \
         --resource=applications.core.oam.dev && kubectl create clusterrolebinding \
         trellis-applications-list-watch --clusterrole=trellis-applications-list-watch \
         --serviceaccount=trellis-system:trellis"
    );
    assert!(told[2].contains("secrets nats in namespace trellis-system"), "{}", told[2]);
    assert!(told[2].contains("--resource-name=nats --namespace trellis-system"), "{}", told[2]);
}

#[test]
fn what_may_not_be_looked_at_is_unknown_and_blocks_nothing() {
    let mut facts = well();
    let unknown = || Seen::Unknown("forbidden".into());
    facts.crds.values_mut().for_each(|seen| *seen = Seen::Unknown("forbidden".into()));
    facts.api_services.insert("v1beta1.core.oam.dev".into(), Seen::Unknown("forbidden".into()));
    facts.rights.iter_mut().for_each(|(_, held)| *held = unknown());
    let found = findings(&facts);
    assert_eq!(severities(&facts), [Severity::Unknown; 5]);
    assert!(!found.iter().any(|finding| finding.severity.blocks()));
    assert_eq!(steps(&facts), []);
}

#[test]
fn an_operator_of_some_namespaces_needs_rights_there_alone() {
    let scope =
        Scope { watched: vec!["a".into(), "b".into()], own: "o".into(), class: None, lease: None };
    let all = rights(&scope, &[]);
    let places = |resource: &str| -> Vec<_> {
        let of = all.iter().filter(|right| right.resource == resource && right.verb != "list");
        of.map(|right| (right.place.clone(), right.name.as_deref())).collect()
    };
    let namespace = |name: &str| Place::Namespace(name.into());
    assert_eq!(
        places("events"),
        [(namespace("a"), None), (namespace("b"), None), (namespace("default"), None)]
    );
    assert_eq!(places("namespaces"), [(Place::Cluster, Some("a")), (Place::Cluster, Some("b"))]);
}
