//! Each kind of change, as callers and hosts see it.
use std::collections::BTreeSet;

use super::{Real, answers, free_address, image, with};

/// A component that serves HTTP through a provider process, from two hosts.
pub(super) async fn shop(address: &str) -> String {
    format!(
        "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: shop }}
spec:
  components:
    - name: web
      type: component
      properties:
        image: '{hello}'
        config:
          - name: words
            properties: {{ greeting: good morning }}
      traits:
        - type: spreadscaler
          properties:
            instances: 2
    - name: http
      type: capability
      properties:
        image: '{http}'
      traits:
        - type: link
          properties:
            target: web
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source:
              config:
                - name: listen
                  properties: {{ address: '{address}' }}
        - type: spreadscaler
          properties:
            instances: 1
            spread:
              - name: front
                requirements: {{ zone: a }}
",
        hello = image("hello:1").await,
        http = image("http-server:1").await,
    )
}

/// What a shop comes to, with its front on the host `front` and an instance for each of `hosts`.
pub(super) fn shown(address: &str, front: &str, hosts: &[&str]) -> Vec<String> {
    let names: BTreeSet<_> = hosts.iter().collect();
    let web = names.into_iter().map(|name| {
        let count = hosts.iter().filter(|host| *host == name).count();
        format!("{name}: component ~shop-web = hello:1 x{count}, of shop/web")
    });
    let rest = [
        format!("{front}: provider ~shop-http = http-server:1, of shop/http"),
        format!(r#"config ~shop-listen-# {{"address":"{address}"}}"#),
        r#"config ~shop-words {"greeting":"good morning"}"#.to_owned(),
        "link ~shop-http -> ~shop-web wasi:http/incoming-handler [~shop-listen-#] []".to_owned(),
    ];
    web.chain(rest).collect()
}

async fn with_a_shop(name: &str) -> (Real, String, String) {
    let real = Real::start(name, &[("a", &[("zone", "a")]), ("b", &[("zone", "b")])]).await;
    real.is_open().await;
    let address = free_address();
    let manifest = shop(&address).await;
    real.becomes("shop", &manifest, &shown(&address, "a", &["a", "b"])).await;
    answers(&address, "good morning v1").await;
    (real, manifest, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_config_value_shows_in_answers_and_a_deletion_leaves_nothing() {
    let (real, manifest, address) = with_a_shop("real-config").await;

    let night = with(shown(&address, "a", &["a", "b"]), "morning", "night");
    real.becomes("shop", &manifest.replace("morning", "night"), &night).await;
    answers(&address, "good night v1").await;

    real.leaves_nothing("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_removed_added_and_moved_to_another_address() {
    let (real, manifest, address) = with_a_shop("real-link").await;
    let linked = shown(&address, "a", &["a", "b"]);

    let from = manifest.find("        - type: link").unwrap();
    let to = manifest.rfind("        - type:").unwrap();
    let unlinked = format!("{}{}", &manifest[..from], &manifest[to..]);
    let rest: Vec<_> =
        linked.iter().filter(|line| !line.contains("shop-listen-")).cloned().collect();
    assert_eq!(rest.len(), linked.len() - 2);
    real.becomes("shop", &unlinked, &rest).await;

    real.becomes("shop", &manifest, &linked).await;
    answers(&address, "good morning v1").await;

    let moved = free_address();
    let expected = shown(&moved, "a", &["a", "b"]);
    real.becomes("shop", &manifest.replace(&address, &moved), &expected).await;
    answers(&moved, "good morning v1").await;

    real.leaves_nothing("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_image_serves_on_every_host() {
    let (real, manifest, address) = with_a_shop("real-image").await;

    let changed = with(shown(&address, "a", &["a", "b"]), "hello:1", "hello:2");
    real.becomes("shop", &manifest.replace("hello:1", "hello:2"), &changed).await;
    // Whichever host answers.
    for _ in 0..10 {
        answers(&address, "good morning v2").await;
    }

    real.leaves_nothing("shop").await;
}
