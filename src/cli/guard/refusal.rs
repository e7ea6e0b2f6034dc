//! What is said of what is left. Pure.
use super::{
    left::{InNamespace, Left},
    release::Release,
};

/// So many are named of a kind of thing.
const NAMED: usize = 20;

/// Why the operator, or with it the definitions, have to stay, and what to do about it: one thing a
/// line, the most important first, for Helm shows all of it as one line.
pub(super) fn refusal(
    left: &Left,
    with_definitions: bool,
    release: Option<&Release>,
) -> Option<String> {
    let applications: usize = left.applications.values().map(|of| of.names.len()).sum();
    let counts = [counted(applications, "Application"), counted(left.lattices.len(), "Lattice")];
    let counts: Vec<_> = counts.into_iter().flatten().collect();
    if counts.is_empty() {
        return None;
    }
    let counts = counts.join(" and ");
    let mut lines = vec![if with_definitions {
        format!(
            "deleting the definitions would delete {counts}, whichever installation acts on them:"
        )
    } else {
        format!("without the operator nobody could delete {counts}:")
    }];
    lines.extend(capped(objects(left), "more"));
    if with_definitions {
        lines.push("keep the definitions with:".to_owned());
        lines.extend(release.map(back));
        lines.push(format!("  {}", upgrade(release)));
        lines.push("or delete these first:".to_owned());
    } else {
        lines.push("delete them first:".to_owned());
    }
    lines.extend(capped(
        left.applications.iter().map(|(at, of)| delete_applications(at, of)),
        "more namespaces",
    ));
    if !left.lattices.is_empty() {
        lines.push(format!("  kubectl delete lattices {}", some(&left.lattices)));
    }
    if applications > 0 {
        lines.push(
            "that takes down what they run, unless the Application has the annotation \
             lattice.oam.dev/deletion-policy: Orphan"
                .to_owned(),
        );
    }
    if let Some(release) = release {
        let Release { namespace, name, revision: _ } = release;
        lines.push("then:".to_owned());
        lines.push(format!("  helm uninstall {name} --namespace {namespace}"));
        lines
            .push("or go on with the release, which Helm doesn't upgrade as it is now:".to_owned());
        lines.push(back(release));
        lines.push("where this is shown as one line, read it with:".to_owned());
        lines.push(format!("  kubectl logs job/{name}-guard --namespace {namespace}"));
    }
    Some(lines.join("\n"))
}

fn counted(count: usize, kind: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {kind}")),
        many => Some(format!("{many} {kind}s")),
    }
}

fn objects(left: &Left) -> impl Iterator<Item = String> {
    let applications = left
        .applications
        .iter()
        .flat_map(|(at, of)| of.names.iter().map(move |name| format!("Application {at}/{name}")));
    applications.chain(left.lattices.iter().map(|name| format!("Lattice {name}")))
}

/// The first of them, indented, and how many more there are.
fn capped(all: impl Iterator<Item = String>, more: &str) -> Vec<String> {
    let mut lines: Vec<_> = all.map(|line| format!("  {line}")).collect();
    let left_out = lines.len().saturating_sub(NAMED);
    lines.truncate(NAMED);
    if left_out > 0 {
        lines.push(format!("  and {left_out} {more}"));
    }
    lines
}

/// Who deletes all of a namespace would delete what others act on, too.
fn delete_applications(namespace: &str, of: &InNamespace) -> String {
    let which = if of.beside_others { some(&of.names) } else { "--all".to_owned() };
    format!("kubectl delete applications {which} --namespace {namespace}")
}

fn some(names: &[String]) -> String {
    names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Helm upgrades nothing whose uninstallation has begun, refused or not.
fn back(Release { namespace, name, revision }: &Release) -> String {
    format!("  helm rollback {name} {revision} --namespace {namespace}")
}

fn upgrade(release: Option<&Release>) -> String {
    match release {
        Some(Release { namespace, name, revision: _ }) => format!(
            "helm upgrade {name} CHART --namespace {namespace} --reuse-values --set crds.keep=true"
        ),
        None => "helm upgrade --reuse-values --set crds.keep=true".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn left(applications: &[(&str, &[&str])], lattices: &[&str]) -> Left {
        let of = |names: &[&str]| InNamespace { names: owned(names), beside_others: false };
        let by = applications.iter().map(|(at, names)| ((*at).to_owned(), of(names)));
        Left { applications: by.collect(), lattices: owned(lattices) }
    }

    fn release() -> Release {
        "trellis-system/trellis/7".parse().unwrap()
    }

    #[test]
    fn what_is_left_is_named_with_how_to_delete_it() {
        assert_eq!(refusal(&left(&[], &[]), false, None), None);
        let mut left = left(&[("shop", &["web", "api"]), ("till", &["pay"])], &["edge"]);
        left.applications.get_mut("till").unwrap().beside_others = true;
        let text = refusal(&left, false, Some(&release()));
        insta::assert_snapshot!(text.unwrap(), @r"
        without the operator nobody could delete 3 Applications and 1 Lattice:
          Application shop/web
          Application shop/api
          Application till/pay
          Lattice edge
        delete them first:
          kubectl delete applications --all --namespace shop
          kubectl delete applications pay --namespace till
          kubectl delete lattices edge
        that takes down what they run, unless the Application has the annotation lattice.oam.dev/deletion-policy: Orphan
        then:
          helm uninstall trellis --namespace trellis-system
        or go on with the release, which Helm doesn't upgrade as it is now:
          helm rollback trellis 7 --namespace trellis-system
        where this is shown as one line, read it with:
          kubectl logs job/trellis-guard --namespace trellis-system
        ");
        let text = refusal(&left, true, Some(&release()));
        insta::assert_snapshot!(text.unwrap(), @r"
        deleting the definitions would delete 3 Applications and 1 Lattice, whichever installation acts on them:
          Application shop/web
          Application shop/api
          Application till/pay
          Lattice edge
        keep the definitions with:
          helm rollback trellis 7 --namespace trellis-system
          helm upgrade trellis CHART --namespace trellis-system --reuse-values --set crds.keep=true
        or delete these first:
          kubectl delete applications --all --namespace shop
          kubectl delete applications pay --namespace till
          kubectl delete lattices edge
        that takes down what they run, unless the Application has the annotation lattice.oam.dev/deletion-policy: Orphan
        then:
          helm uninstall trellis --namespace trellis-system
        or go on with the release, which Helm doesn't upgrade as it is now:
          helm rollback trellis 7 --namespace trellis-system
        where this is shown as one line, read it with:
          kubectl logs job/trellis-guard --namespace trellis-system
        ");
    }

    #[test]
    fn of_many_a_few_are_named() {
        let names: Vec<_> = (0..30).map(|number| format!("it-{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let one: &[&str] = &["web"];
        let everywhere: Vec<_> = names.iter().map(|name| (*name, one)).collect();
        let text = refusal(&left(&everywhere, &names), false, None).unwrap();
        assert!(text.starts_with("without the operator nobody could delete 30 Applications and"));
        assert!(text.contains("it-26/web\n  and 40 more\n"), "{text}");
        assert!(text.contains("--namespace it-26\n  and 10 more namespaces\n"), "{text}");
        assert!(text.lines().count() < 50, "{text}");
    }

    #[test]
    fn a_release_has_a_namespace_and_a_name() {
        for wrong in ["trellis", "/trellis", "trellis-system/"] {
            assert!(wrong.parse::<Release>().is_err(), "{wrong}");
        }
    }
}
