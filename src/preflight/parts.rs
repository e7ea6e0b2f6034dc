//! In which parts two definitions of one name differ. Pure.
use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionSpec,
    CustomResourceDefinitionVersion,
};

/// A part of what a definition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Scope,
    Kind,
    /// Which there are, which are served, and which is stored.
    Versions,
    Conversion,
    /// Those that people may use instead of the kind.
    Names,
    /// With what kubectl prints, and subresources.
    Schema,
}

impl Part {
    /// Whether the API server refuses any change of it.
    pub(super) fn is_fixed(self) -> bool {
        match self {
            Self::Scope | Self::Kind => true,
            Self::Versions | Self::Conversion | Self::Names | Self::Schema => false,
        }
    }

    /// Whether who reads and writes objects finds others than it counts on.
    pub(super) fn is_contract(self) -> bool {
        match self {
            Self::Scope | Self::Kind | Self::Versions | Self::Conversion => true,
            Self::Names | Self::Schema => false,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scope => "scope",
            Self::Kind => "kind",
            Self::Versions => "versions",
            Self::Conversion => "conversion",
            Self::Names => "names",
            Self::Schema => "schema",
        })
    }
}

/// The parts in which the definitions differ, the weightiest first. What the API server fills in by
/// itself is no difference.
pub(super) fn differences(
    one: &CustomResourceDefinition,
    other: &CustomResourceDefinition,
) -> Vec<Part> {
    let (one, other) = (&one.spec, &other.spec);
    let pairs = [
        (Part::Scope, one.scope == other.scope),
        (Part::Kind, one.names.kind == other.names.kind),
        (Part::Versions, versions(one) == versions(other)),
        (Part::Conversion, converts(one) == converts(other)),
        (Part::Names, names(&one.names) == names(&other.names)),
        (Part::Schema, schemas(one) == schemas(other)),
    ];
    pairs.into_iter().filter_map(|(part, same)| (!same).then_some(part)).collect()
}

/// What applying `ours` makes of `theirs`: of what ours says nothing about, theirs may stay.
pub(super) fn applied(
    theirs: &CustomResourceDefinition,
    ours: &CustomResourceDefinition,
) -> CustomResourceDefinition {
    let mut merged = ours.clone();
    let (spec, left) = (&mut merged.spec, theirs.spec.clone());
    spec.conversion = spec.conversion.take().or(left.conversion);
    spec.preserve_unknown_fields = spec.preserve_unknown_fields.or(left.preserve_unknown_fields);
    let (names, left) = (&mut spec.names, left.names);
    names.categories = names.categories.take().or(left.categories);
    names.list_kind = names.list_kind.take().or(left.list_kind);
    names.short_names = names.short_names.take().or(left.short_names);
    names.singular = names.singular.take().or(left.singular);
    merged
}

fn versions(spec: &CustomResourceDefinitionSpec) -> Vec<(&str, bool, bool)> {
    spec.versions.iter().map(|it| (it.name.as_str(), it.served, it.storage)).collect()
}

/// Whether somebody is asked to.
fn converts(spec: &CustomResourceDefinitionSpec) -> bool {
    spec.conversion.as_ref().is_some_and(|conversion| conversion.strategy != "None")
}

fn names(names: &CustomResourceDefinitionNames) -> CustomResourceDefinitionNames {
    let mut whole = names.clone();
    whole.singular.get_or_insert_with(|| names.kind.to_lowercase());
    whole.list_kind.get_or_insert_with(|| format!("{}List", names.kind));
    // None and an empty list are one.
    whole.short_names = whole.short_names.filter(|all| !all.is_empty());
    whole.categories = whole.categories.filter(|all| !all.is_empty());
    whole
}

fn schemas(spec: &CustomResourceDefinitionSpec) -> (bool, Vec<CustomResourceDefinitionVersion>) {
    let keeps_all = spec.preserve_unknown_fields.unwrap_or_default();
    let versions = spec.versions.iter().cloned().map(|mut version| {
        let columns = version.additional_printer_columns;
        version.additional_printer_columns = columns.filter(|all| !all.is_empty());
        let fields = version.selectable_fields;
        version.selectable_fields = fields.filter(|all| !all.is_empty());
        // A part of its own, and no part of what its objects may be.
        (version.served, version.storage, version.deprecated) = (true, true, None);
        version
    });
    (keeps_all, versions.collect())
}
