//! Manifests of earlier days, and what earlier days couldn't do.
use super::{Commands, Real, answers, condition, free_address, image};

const ECHO: &str = include_str!("../../../manifests/wadm/echo-0.4.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_of_wadm_0_4_answers_and_says_what_it_was_read_as() {
    let real = Real::start_for_providers("real-legacy", &[("a", &[])]).await;
    let address = free_address();
    let manifest = ECHO
        .replace("registry.example/echo:1", &image("hello:1").await)
        .replace("registry.example/http-server:1", &image("http-server:1").await)
        .replace("0.0.0.0:8080", &address);
    let expected = [
        "a: component ~echo-echo = hello:1 x1, of echo/echo",
        "a: provider ~echo-httpserver = http-server:1, of echo/httpserver",
        &format!(r#"config ~echo-linkdef_echo_httpserver-# {{"address":"{address}"}}"#),
        "link ~echo-httpserver -> ~echo-echo wasi:http/incoming-handler \
         [~echo-linkdef_echo_httpserver-#] []",
    ];

    real.deploys("echo", &manifest, &expected).await;
    answers(&address, "hello from trellis v1").await;
    let app = real.stage.applications().get("echo").await.unwrap();
    let (status, _, said) = condition(&app, "Parsed").unwrap();
    assert_eq!(status, "True");
    assert!(
        said.contains(
            "spec.components[0].traits[1].properties: a linkdef is of wasmCloud before 1.0, and is \
             read as a link of httpserver {target: echo, namespace: wasi, package: http, \
             interfaces: [incoming-handler], name: default}, with its values as source.config"
        ),
        "{said}"
    );

    real.leaves_nothing("echo").await;
}

/// A component, and the builtin server in front of it.
async fn greeter(name: &str, version: &str, address: &str) -> String {
    format!(
        "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: {name} }}
spec:
  components:
    - name: web
      type: component
      properties: {{ image: '{image}' }}
    - name: http
      type: capability
      properties: {{ image: wasmcloud+builtin://http-server }}
      traits:
        - type: link
          properties:
            target: web
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source: {{ config: [{{ name: listen, properties: {{ address: '{address}' }} }}] }}
",
        image = image(version).await,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_applications_with_different_versions_of_one_image_don_t_touch_each_other() {
    let real = Real::start("real-two-versions", &[("a", &[])]).await;
    let (blue_at, green_at) = (free_address(), free_address());
    let blue = greeter("blue", "hello:1", &blue_at).await;
    let green = greeter("green", "hello:2", &green_at).await;
    for (name, manifest) in [("blue", &blue), ("green", &green)] {
        real.stage.apply(manifest).await;
        real.stage.settled(name).await;
    }
    answers(&blue_at, "hello from trellis v1").await;
    answers(&green_at, "hello from trellis v2").await;
    let of_blue = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter(|line| line.contains("~blue-")).collect()
    };
    let before = of_blue(real.lines().await);
    assert_eq!(before.len(), 4, "{before:?}");
    let mut commands = Commands::record(real.stage.nats.url()).await;

    real.stage.apply(&green.replace("hello:2", "hello:1")).await;
    real.stage.settled("green").await;
    answers(&green_at, "hello from trellis v1").await;
    real.stage.apply(&green).await;
    real.stage.settled("green").await;
    answers(&green_at, "hello from trellis v2").await;
    real.stage.delete("green").await;

    answers(&blue_at, "hello from trellis v1").await;
    let sent = commands.so_far().await;
    assert!(!sent.is_empty());
    assert!(!sent.iter().any(|(_, body)| body.to_string().contains("blue")), "{sent:?}");
    assert_eq!(real.lines().await, before);

    real.leaves_nothing("blue").await;
}
