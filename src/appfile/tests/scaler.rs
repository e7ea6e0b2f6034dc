use std::time::Duration;

use super::{app, sample};
use crate::{
    appfile::Component,
    model::{Bound, Fill, Layout, Rebalance, Rollout, Strategy, Unsatisfiable},
};

/// The component that is scaled like this, and what is warned of.
fn scaled(type_: &str, properties: &str) -> (Component, Vec<String>) {
    let app = app(&format!(
        "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: app}}
spec:
  components:
    - name: a
      type: component
      properties: {{image: 'ghcr.io/example/a:1'}}
      traits: [{{type: {type_}, properties: {properties}}}]
"
    ));
    let warnings = app.warnings.iter().map(|warning| warning.path.clone()).collect();
    (app.components.into_iter().next().unwrap(), warnings)
}

#[test]
fn what_a_scaler_does_not_say_is_as_documented() {
    let (component, warnings) = scaled("spreadscaler", "{instances: 3}");
    assert_eq!((component.layout, component.rollout), (Layout::default(), Rollout::default()));
    assert_eq!(component.max_memory, None);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn layout_and_rollout_are_read() {
    let (component, warnings) = scaled(
        "spreadscaler",
        "{instances: 3, placement: Pack, whenUnsatisfiable: Redistribute, rebalanceDelay: 90s, \
         rollout: {strategy: RollingUpdate, maxUnavailable: 25%, maxSurge: 0, maxFailedHosts: 2}}",
    );
    let expected = Layout {
        fill: Fill::Pack,
        unsatisfiable: Unsatisfiable::Redistribute,
        rebalance: Rebalance::After(Duration::from_secs(90)),
    };
    assert_eq!(component.layout, expected);
    let expected = Rollout {
        strategy: Strategy::RollingUpdate,
        max_unavailable: Bound::Percent(25),
        max_surge: 0,
        max_failed_hosts: 2,
    };
    assert_eq!(component.rollout, expected);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn rebalance_is_never_at_once_or_after_a_delay() {
    let of = |text: &str| {
        let (component, _) = scaled("spreadscaler", &format!("{{instances: 1, {text}}}"));
        component.layout.rebalance
    };
    let after = |seconds| Rebalance::After(Duration::from_secs(seconds));
    let cases = [
        ("rebalance: Never", Rebalance::Never),
        ("rebalance: Eager", after(0)),
        ("rebalance: Delayed", after(60)),
        ("rebalance: Delayed, rebalanceDelay: 5m", after(300)),
    ];
    for (text, expected) in cases {
        assert_eq!(of(text), expected, "{text}");
    }
}

#[test]
fn what_has_no_effect_is_warned_of() {
    let cases = [
        ("daemonscaler", "{placement: Pack, rebalance: Never}", &["placement", "rebalance"][..]),
        (
            "spreadscaler",
            "{instances: 1, rebalance: Never, rebalanceDelay: 5s}",
            &["rebalanceDelay"],
        ),
        (
            "spreadscaler",
            "{instances: 1, rollout: {strategy: Recreate, maxSurge: 1}}",
            &["rollout.maxSurge"],
        ),
    ];
    for (type_, properties, expected) in cases {
        let (_, warnings) = scaled(type_, properties);
        let expected: Vec<String> = expected
            .iter()
            .map(|field| format!("spec.components[0].traits[0].properties.{field}"))
            .collect();
        assert_eq!(warnings, expected, "{properties}");
    }
}

#[test]
fn the_sample_of_a_rollout_says_all_of_this_without_a_warning() {
    let app = app(&sample("rollout"));
    let [checkout, reports] = &app.components[..] else { panic!("{:?}", app.components) };
    let layout = Layout {
        fill: Fill::Spread,
        unsatisfiable: Unsatisfiable::Redistribute,
        rebalance: Rebalance::After(Duration::from_mins(5)),
    };
    let rollout =
        Rollout { max_unavailable: Bound::Percent(25), max_failed_hosts: 2, ..Rollout::default() };
    assert_eq!((checkout.layout, checkout.rollout), (layout, rollout));
    assert_eq!(checkout.max_memory, Some(256 << 20));
    let rollout = Rollout { strategy: Strategy::Recreate, ..Rollout::default() };
    let layout = Layout { fill: Fill::Pack, ..Layout::default() };
    assert_eq!((reports.layout, reports.rollout), (layout, rollout));
    assert!(app.warnings.is_empty(), "{:?}", app.warnings);
}
