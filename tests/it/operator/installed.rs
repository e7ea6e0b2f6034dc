//! The operator's identity: the chart's own ServiceAccount, with the rights that the chart grants it
//! and no others.
use std::time::Duration;

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    authorization::v1::SubjectAccessReview,
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};

use super::stage::{CLUSTER, PATIENCE};
use crate::chart;

/// Longer than any test runs.
const TOKEN_SECONDS: i64 = 6 * 60 * 60;

/// A release of the chart, so much of it as an operator needs that runs outside of the cluster.
pub(crate) struct Installed {
    pub(crate) kubeconfig: Value,
    /// What the chart's Deployment sets, but for what the kubelet would fill in.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) objects: Vec<Value>,
}

/// Who the operator of `stage` is to the API server.
pub(crate) fn user(stage: &str) -> String {
    format!("system:serviceaccount:{stage}:{stage}")
}

/// Installs the chart with `values` as release `name` in the namespace of that name.
pub(crate) async fn install(kube: &Client, name: &str, values: &[String]) -> Installed {
    let (release, values) = (name.to_owned(), values.to_vec());
    let render = move || chart::objects(&release, &release, &values);
    let objects = tokio::task::spawn_blocking(render).await.unwrap();
    for object in objects.iter().filter(|object| is_right(object)) {
        apply(kube, name, object).await;
    }
    for binding in objects.iter().filter(|object| kind(object).ends_with("Binding")) {
        await_effect(kube, name, binding, &objects).await;
    }
    Installed {
        kubeconfig: kubeconfig(kube, name).await,
        environment: environment(&objects),
        objects,
    }
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap()
}

fn is_right(object: &Value) -> bool {
    matches!(
        kind(object),
        "ServiceAccount" | "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding"
    )
}

async fn apply(kube: &Client, namespace: &str, object: &Value) {
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    let types = object.types.clone().unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(kube.clone(), &namespace, &resource),
        None if types.kind.starts_with("Cluster") => Api::all_with(kube.clone(), &resource),
        None => Api::namespaced_with(kube.clone(), namespace, &resource),
    };
    let params = PatchParams::apply("test").force();
    api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await.unwrap();
}

/// Waits until the API server's own copy of the rights holds what `binding` grants: an operator that
/// starts before that is refused, as it would never be in a cluster where the image has to be pulled.
async fn await_effect(kube: &Client, name: &str, binding: &Value, objects: &[Value]) {
    let of_operator = |subject: &Value| subject["name"] == name;
    if !binding["subjects"].as_array().unwrap().iter().any(of_operator) {
        return;
    }
    let role = &binding["roleRef"];
    let granted = |object: &&Value| {
        object["kind"] == role["kind"]
            && object["metadata"]["name"] == role["name"]
            && object["metadata"]["namespace"] == binding["metadata"]["namespace"]
    };
    let rule = &objects.iter().find(granted).unwrap()["rules"][0];
    let resource = rule["resources"][0].as_str().unwrap();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review: SubjectAccessReview = serde_json::from_value(json!({
        "metadata": {},
        "spec": {
            "user": user(name),
            "resourceAttributes": {
                "namespace": binding["metadata"]["namespace"],
                "group": rule["apiGroups"][0],
                "resource": resource,
                "subresource": subresource,
                "name": rule["resourceNames"][0],
                "verb": rule["verbs"][0],
            },
        },
    }))
    .unwrap();
    let reviews = Api::<SubjectAccessReview>::all(kube.clone());
    let allowed = async {
        while !reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap()
            .status
            .is_some_and(|status| status.allowed)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, allowed).await.expect("the chart's rights took effect");
}

async fn kubeconfig(kube: &Client, name: &str) -> Value {
    let api = Api::<ServiceAccount>::namespaced(kube.clone(), name);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let token = api.create_token_request(name, &PostParams::default(), &request).await.unwrap();
    let admin = std::fs::read_to_string(CLUSTER.kubeconfig()).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&admin).unwrap();
    kubeconfig["users"][0]["user"] = json!({ "token": token.status.unwrap().token });
    kubeconfig
}

fn environment(objects: &[Value]) -> Vec<(String, String)> {
    let deployment = objects.iter().find(|object| kind(object) == "Deployment").unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let variables = container["env"].as_array().unwrap().iter();
    variables.filter_map(|it| Some((text(&it["name"])?, text(&it["value"])?))).collect()
}
