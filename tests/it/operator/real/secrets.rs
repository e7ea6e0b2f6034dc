//! Secrets, from a manifest through a host and a secrets backend to what a component answers.
use serde_json::{Value, json};

use self::backend::{Asked, Backend};
use super::{Commands, Real, answers, condition, free_address, image, with};

mod backend;

/// What the subjects of secrets backends begin with, on every host here.
pub(super) const TOPIC: &str = "wasmcloud.secrets";

/// Heartbeats of a second each: more than an operator that was started anew waits for what it can't
/// see.
const AFTER_A_RESTART: usize = 12;

/// Greets with a secret, through a provider and a link that have one each.
async fn vault(address: &str) -> String {
    format!(
        "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: vault }}
spec:
  policies:
    - name: words
      type: policy.secret.wasmcloud.dev/v1alpha1
      properties: {{ backend: dictionary, role: reader }}
  components:
    - name: web
      type: component
      properties:
        image: '{web}'
        config:
          - name: words
            properties: {{ greeting: good morning }}
        secrets:
          - name: greeting
            properties: {{ policy: words, key: greetings/secret, field: text, version: '2' }}
      traits:
        - type: spreadscaler
          properties: {{ instances: 3 }}
    - name: http
      type: capability
      properties:
        image: '{http}'
        secrets:
          - name: token
            properties: {{ policy: words, key: tokens/http }}
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
              secrets:
                - name: certificate
                  properties: {{ policy: words, key: certificates/web }}
",
        web = image("signed:1").await,
        http = image("http-server:1").await,
    )
}

fn policy() -> Value {
    json!({
        "type": "properties.secret.wasmcloud.dev/v1alpha1",
        "properties": { "role": "reader" },
    })
}

/// A reference, as the lattice keeps it.
fn reference(name: &str, more: &Value) -> String {
    let mut reference = json!({
        "name": name,
        "type": "secret.wasmcloud.dev/v1alpha1",
        "backend": "dictionary",
        "policy": "{\"type\":\"properties.secret.wasmcloud.dev/v1alpha1\",\"properties\":{\"role\":\"reader\"}}",
    });
    for (key, value) in more.as_object().unwrap() {
        reference[key] = value.clone();
    }
    reference.to_string()
}

fn shown(address: &str) -> Vec<String> {
    let greeting = json!({ "key": "greetings/secret", "field": "text", "version": "2" });
    let certificate = json!({ "key": "certificates/web" });
    let token = json!({ "key": "tokens/http" });
    vec![
        "a: component ~vault-web = signed:1 x3, of vault/web".to_owned(),
        "a: provider ~vault-http = http-server:1, of vault/http".to_owned(),
        format!("config SECRET_~vault-greeting {}", reference("greeting", &greeting)),
        format!("config SECRET_~vault-token {}", reference("token", &token)),
        format!("config SECRET_~vault-certificate-# {}", reference("certificate", &certificate)),
        format!(r#"config ~vault-listen-# {{"address":"{address}"}}"#),
        r#"config ~vault-words {"greeting":"good morning"}"#.to_owned(),
        "link ~vault-http -> ~vault-web wasi:http/incoming-handler \
         [~vault-listen-#,SECRET_~vault-certificate-#] []"
            .to_owned(),
    ]
}

fn asked(by: &'static str, key: &str, field: &Value, version: &Value) -> Asked {
    let (key, field, version) = (key.to_owned(), field.clone(), version.clone());
    Asked { key, field, version, by, application: "vault".into(), policy: policy() }
}

const GREETINGS: &[(&str, &str)] = &[
    ("greetings/secret", "whispered"),
    ("greetings/other", "muttered"),
    ("certificates/web", "unread"),
    ("certificates/other", "unread"),
    ("tokens/http", "unread"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_component_reads_its_secret_which_never_travels_through_us() {
    let real = Real::start_for_providers("real-secrets", &[("a", &[])]).await;
    let backend = Backend::start(real.stage.nats.url(), "dictionary", GREETINGS).await;
    let mut commands = Commands::record(real.stage.nats.url()).await;
    let address = free_address();
    let manifest = vault(&address).await;

    real.deploys("vault", &manifest, &shown(&address)).await;
    answers(&address, "whispered v1").await;
    let sent = commands.so_far().await;
    assert!(!format!("{sent:?}").contains("whispered"), "{sent:?}");
    let verbs: Vec<_> = sent.iter().map(|(verb, _)| verb.as_str()).collect();
    assert!(verbs[..5].iter().all(|verb| *verb == "config.put"), "{verbs:?}");
    let scale = sent.iter().find(|(verb, _)| verb == "component.scale").unwrap();
    let config: Vec<_> = scale.1["config"].as_array().unwrap().iter().collect();
    assert_eq!(config, ["real_secrets-vault-words", "SECRET_real_secrets-vault-greeting"]);

    // Once for each start, and on behalf of the right Application.
    let all = backend.asked();
    let by = |by: &str| all.iter().filter(|asked| asked.by == by).cloned().collect::<Vec<_>>();
    let greeting = asked("component", "greetings/secret", &"text".into(), &"2".into());
    assert_eq!(by("component"), [greeting]);
    let of_provider = |key| asked("provider", key, &Value::Null, &Value::Null);
    for key in ["tokens/http", "certificates/web"] {
        assert!(by("provider").contains(&of_provider(key)), "{key}: {all:?}");
    }

    // Hosts start a component with secrets anew for every scale, be it the one it had before.
    heartbeats(&real, 3).await;
    real.stage.kill_operator();
    real.stage.start_operator().await;
    heartbeats(&real, AFTER_A_RESTART).await;
    assert_eq!(commands.so_far().await, []);
    assert_eq!(backend.asked(), all);

    // Its secret is another, so it stops and starts.
    let changed = manifest.replace("greetings/secret", "greetings/other");
    let expected = with(shown(&address), "greetings/secret", "greetings/other");
    real.deploys("vault", &changed, &expected).await;
    answers(&address, "muttered v1").await;
    let sent = commands.so_far().await;
    let sent: Vec<_> = sent.iter().map(|(verb, body)| (verb.as_str(), &body["count"])).collect();
    let (zero, three) = (json!(0), json!(3));
    let expected =
        [("config.put", &Value::Null), ("component.scale", &zero), ("component.scale", &three)];
    assert_eq!(sent, expected);

    // A link's is another, so the link is; nothing stops.
    let linked = changed.replace("certificates/web", "certificates/other");
    let expected = with(
        with(shown(&address), "greetings/secret", "greetings/other"),
        "certificates/web",
        "certificates/other",
    );
    real.deploys("vault", &linked, &expected).await;
    answers(&address, "muttered v1").await;
    let sent = commands.so_far().await;
    let verbs: Vec<_> = sent.iter().map(|(verb, _)| verb.as_str()).collect();
    assert_eq!(verbs, ["config.put", "link.del", "link.put", "config.del"]);
    assert_eq!(backend.asked().last(), Some(&of_provider("certificates/other")));

    real.leaves_nothing("vault").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_the_backend_doesn_t_have_is_said_in_the_host_s_words_until_it_does() {
    let real = Real::start("real-no-secret", &[("a", &[])]).await;
    let _backend = Backend::start(real.stage.nats.url(), "dictionary", GREETINGS).await;
    let address = free_address();
    let manifest = vault(&address).await;
    // Only the component.
    let manifest = &manifest[..manifest.find("    - name: http").unwrap()];
    let wrong = manifest.replace("greetings/secret", "greetings/none");

    real.stage.apply(&wrong).await;
    let said = real.stage.until("vault", "the host's words", |app| {
        condition(app, "Ready").is_some_and(|(_, reason, said)| {
            reason == "Failing"
                && said.contains("server error: Secret not found. It is tried again")
                && said.contains("properties.image or properties.secrets of component web")
        })
    });
    said.await;

    let lines: Vec<_> = shown(&address)
        .into_iter()
        .filter(|line| !line.contains("http") && !line.contains("-#"))
        .collect();
    real.deploys("vault", manifest, &lines).await;
    real.leaves_nothing("vault").await;
}

/// Waits until the host has sent this many heartbeats from now on.
async fn heartbeats(real: &Real, count: usize) {
    use futures::StreamExt;
    let seen = async {
        let nats = async_nats::connect(real.stage.nats.url()).await.unwrap();
        let beats = nats.subscribe("wasmbus.evt.default.host_heartbeat").await.unwrap();
        beats.take(count).collect::<Vec<_>>().await
    };
    real.stage.wait("heartbeats", seen).await;
}
