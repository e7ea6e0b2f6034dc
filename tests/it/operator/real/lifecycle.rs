//! Each kind of change, as callers and hosts see it.
use super::{Real, answers, free_address, image};

/// A component that serves HTTP through a provider process, from two hosts.
async fn shop(address: &str) -> String {
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

const A: &str = "a: component ~shop-web = hello:1 x1, of shop/web";
const B: &str = "b: component ~shop-web = hello:1 x1, of shop/web";
const HTTP: &str = "a: provider ~shop-http = http-server:1, of shop/http";
const WORDS: &str = r#"config ~shop-words {"greeting":"good morning"}"#;
const LINK: &str = "link ~shop-http -> ~shop-web wasi:http/incoming-handler [~shop-listen-#] []";

async fn with_a_shop(name: &str) -> (Real, String, String) {
    let real = Real::start(name, &[("a", &[("zone", "a")]), ("b", &[("zone", "b")])]).await;
    let address = free_address();
    let manifest = shop(&address).await;
    real.becomes("shop", &manifest, &[A, B, HTTP, WORDS, LINK, &listen(&address)]).await;
    answers(&address, "good morning v1").await;
    (real, manifest, address)
}

fn listen(address: &str) -> String {
    format!(r#"config ~shop-listen-# {{"address":"{address}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_config_value_shows_in_answers_and_a_deletion_leaves_nothing() {
    let (real, manifest, address) = with_a_shop("real-config").await;

    let manifest = manifest.replace("good morning", "good night");
    let words = r#"config ~shop-words {"greeting":"good night"}"#;
    real.becomes("shop", &manifest, &[A, B, HTTP, words, LINK, &listen(&address)]).await;
    answers(&address, "good night v1").await;

    real.leaves_nothing("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_removed_added_and_moved_to_another_address() {
    let (real, manifest, address) = with_a_shop("real-link").await;

    let (from, to) = (
        manifest.find("        - type: link").unwrap(),
        manifest.rfind("        - type:").unwrap(),
    );
    let unlinked = format!("{}{}", &manifest[..from], &manifest[to..]);
    real.becomes("shop", &unlinked, &[A, B, HTTP, WORDS]).await;

    real.becomes("shop", &manifest, &[A, B, HTTP, WORDS, LINK, &listen(&address)]).await;
    answers(&address, "good morning v1").await;

    let moved = free_address();
    let manifest = manifest.replace(&address, &moved);
    real.becomes("shop", &manifest, &[A, B, HTTP, WORDS, LINK, &listen(&moved)]).await;
    answers(&moved, "good morning v1").await;

    real.leaves_nothing("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_image_serves_on_every_host() {
    let (real, manifest, address) = with_a_shop("real-image").await;

    let manifest = manifest.replace("hello:1", "hello:2");
    let (a, b) = (A.replace("hello:1", "hello:2"), B.replace("hello:1", "hello:2"));
    real.becomes("shop", &manifest, &[&a, &b, HTTP, WORDS, LINK, &listen(&address)]).await;
    // Whichever host answers.
    for _ in 0..10 {
        answers(&address, "good morning v2").await;
    }

    real.leaves_nothing("shop").await;
}
