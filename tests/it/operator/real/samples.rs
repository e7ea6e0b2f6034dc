//! The samples, with nothing replaced in them but images and addresses.
use super::{Commands, Real, answers, free_address, image};

const HELLO_WORLD: &str = include_str!("../../../../config/samples/hello-world.yaml");
const STREAM: &str = include_str!("../../../../config/samples/go-data-stream.yaml");

/// `text` with each `from` replaced, which must be there.
fn replaced(text: &str, replacements: &[(&str, &str)]) -> String {
    replacements.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "no {from} in {text}");
        text.replace(from, to)
    })
}

/// Runs hello-world with this provider, which inventories show as `shown`.
async fn greets(name: &str, provider: &str, shown: &str) {
    let real = Real::start_for_providers(name, &[("a", &[])]).await;
    let mut commands = Commands::record(real.stage.nats.url()).await;
    let address = free_address();
    let manifest = replaced(
        HELLO_WORLD,
        &[
            ("ghcr.io/wasmcloud/components/http-hello-world-rust:0.1.0", &image("hello:1").await),
            ("ghcr.io/wasmcloud/http-server:0.27.0", provider),
            ("127.0.0.1:8080", &address),
        ],
    );
    let expected = [
        "a: component ~hello_world-http_component = hello:1 x1, of hello-world/http-component",
        &format!("a: provider ~hello_world-httpserver = {shown}, of hello-world/httpserver"),
        &format!(r#"config ~hello_world-default_http-# {{"address":"{address}"}}"#),
        "link ~hello_world-httpserver -> ~hello_world-http_component \
         wasi:http/incoming-handler [~hello_world-default_http-#] []",
    ];

    let took = real.deploys("hello-world", &manifest, &expected).await;
    eprintln!("{name}: hello-world was ready {took:?} after it was applied");
    answers(&address, "hello from trellis v1").await;
    let sent = commands.so_far().await;
    let mut verbs: Vec<_> = sent.iter().map(|(verb, _)| verb.as_str()).collect();
    verbs.sort_unstable();
    assert_eq!(verbs, ["component.scale", "config.put", "link.put", "provider.start"], "{sent:?}");

    real.leaves_nothing("hello-world").await;
    let sent = commands.so_far().await;
    let mut verbs: Vec<_> = sent.iter().map(|(verb, _)| verb.as_str()).collect();
    verbs.sort_unstable();
    assert_eq!(verbs, ["component.scale", "config.del", "link.del", "provider.stop"], "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wadms_hello_world_answers() {
    greets("real-hello", &image("http-server:1").await, "http-server:1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wadms_hello_world_answers_through_the_builtin_server() {
    greets("real-hello-builtin", "wasmcloud+builtin://http-server", "http-server").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_processor_answers_from_the_cloud_with_its_provider_beside_it() {
    let cloud: &[_] = &[("host-type", "cloud")];
    let edge: &[_] = &[("host-type", "edge")];
    let hosts = [("cloud", cloud), ("edge", edge)];
    // The manifest doesn't tell the provider where NATS is.
    let real = Real::start_with_nats_at_home("real-stream", &hosts).await;
    let manifest = replaced(
        STREAM,
        &[
            ("ghcr.io/example/go-stream-processor:1.0.0", &image("echo:1").await),
            ("ghcr.io/wasmcloud/messaging-nats:0.27.0", "wasmcloud+builtin://messaging-nats"),
        ],
    );
    let expected = [
        "cloud: component stream = echo:1 x1, of go-data-stream/go_stream_processor",
        "cloud: provider ~go_data_stream-nats = messaging-nats, of go-data-stream/nats",
        r#"config ~go_data_stream-nats_topic {"dest-topic":"stream.processed"}"#,
        r#"config ~go_data_stream-simple_subscription-# {"subscriptions":"stream.raw"}"#,
        "link stream -> ~go_data_stream-nats wasmcloud:messaging/consumer [] []",
        "link ~go_data_stream-nats -> stream wasmcloud:messaging/handler \
         [~go_data_stream-simple_subscription-#] []",
    ];

    real.deploys("go-data-stream", &manifest, &expected).await;
    let client = async_nats::connect(real.stage.nats.url()).await.unwrap();
    real.stage
        .wait("an answer on stream.raw", async {
            loop {
                match client.request("stream.raw", "21 °C".into()).await {
                    Ok(answer) => return assert_eq!(answer.payload, "21 °C"),
                    // It subscribes some time after it was started.
                    Err(_) => tokio::time::sleep(super::POLL).await,
                }
            }
        })
        .await;

    real.leaves_nothing("go-data-stream").await;
}
