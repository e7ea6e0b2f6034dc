//! A release of the chart: the identities that it makes, with the rights that it grants them and no
//! others.
use std::{path::Path, time::Duration};

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
use parts::Scratch;
use serde_json::{Value, json};

use super::stage::{CLUSTER, PATIENCE};
use crate::{
    chart,
    trellis::{Ended, trellis_with},
};

/// Longer than any test runs.
const TOKEN_SECONDS: i64 = 6 * 60 * 60;

/// A release of the chart, so much of it as programs need that run outside of the cluster. It and
/// its namespace have one name.
pub(crate) struct Installed {
    name: String,
    pub(crate) objects: Vec<Value>,
}

/// As whom, and with what, a container of the release runs.
pub(crate) struct Runs {
    pub(crate) kubeconfig: Value,
    /// What its Pod sets, but for its own name.
    pub(crate) environment: Vec<(String, String)>,
}

/// Who a ServiceAccount is to the API server.
pub(crate) fn user(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

/// Installs the chart with `values` as release `name` in the namespace of that name.
pub(crate) async fn install(kube: &Client, name: &str, values: &[String]) -> Installed {
    let (release, values) = (name.to_owned(), values.to_vec());
    let render = move || chart::objects(&release, &release, &values);
    let objects = tokio::task::spawn_blocking(render).await.unwrap();
    for object in objects.iter().filter(|object| is_right(object)) {
        apply(kube, object).await;
    }
    for binding in objects.iter().filter(|object| kind(object).ends_with("Binding")) {
        await_effect(kube, binding, &objects).await;
    }
    Installed { name: name.to_owned(), objects }
}

impl Installed {
    /// The Pod of the workload of this kind.
    pub(crate) async fn runs(&self, kube: &Client, workload: &str) -> Runs {
        let pod = self.pod(workload);
        let account = pod["serviceAccountName"].as_str().unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let variables = pod["containers"][0]["env"].as_array().unwrap().iter();
        let set = variables.filter_map(|it| Some((text(&it["name"])?, text(&it["value"])?)));
        // As the kubelet would have it from the Pod itself.
        let own = ("POD_NAMESPACE".to_owned(), self.name.clone());
        let kubeconfig = kubeconfig(kube, &self.name, account).await;
        Runs { kubeconfig, environment: set.chain([own]).collect() }
    }

    /// Runs what a Pod of the workload of this kind would, to its end.
    pub(crate) async fn run(&self, kube: &Client, workload: &str) -> Ended {
        self.run_with(kube, workload, &[]).await
    }

    /// The same with variables that count instead of those that the chart sets.
    pub(crate) async fn run_with(
        &self,
        kube: &Client,
        workload: &str,
        variables: &[(&str, &str)],
    ) -> Ended {
        let Runs { kubeconfig, mut environment } = self.runs(kube, workload).await;
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        environment.extend(variables.iter().map(owned));
        let arguments = self.pod(workload)["containers"][0]["args"].clone();
        let run = move || {
            let scratch = Scratch::new("installed").unwrap();
            let kubeconfig = scratch.write("kubeconfig", kubeconfig.to_string()).unwrap();
            let set = environment.iter().map(|(name, value)| (name.as_str(), Path::new(value)));
            let variables: Vec<_> = set.chain([("KUBECONFIG", kubeconfig.as_path())]).collect();
            let arguments = arguments.as_array().unwrap().iter();
            let arguments: Vec<_> = arguments.map(|it| it.as_str().unwrap()).collect();
            trellis_with(scratch.path(), &arguments, "", &variables)
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    fn pod(&self, workload: &str) -> &Value {
        let is_meant = |object: &&Value| kind(object) == workload;
        let spec = &self.objects.iter().find(is_meant).unwrap()["spec"];
        if workload == "Pod" { spec } else { &spec["template"]["spec"] }
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

async fn apply(kube: &Client, object: &Value) {
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    let types = object.types.clone().unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(kube.clone(), &namespace, &resource),
        None => Api::all_with(kube.clone(), &resource),
    };
    let params = PatchParams::apply("test").force();
    api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await.unwrap();
}

/// Waits until the API server's own copy of the rights holds what `binding` grants: an operator that
/// starts before that is refused, as it would never be in a cluster where the image has to be pulled.
async fn await_effect(kube: &Client, binding: &Value, objects: &[Value]) {
    let subject = &binding["subjects"][0];
    let account = |field: &str| subject[field].as_str().unwrap();
    let rule = &role(objects, binding)["rules"][0];
    let resource = rule["resources"][0].as_str().unwrap();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review: SubjectAccessReview = serde_json::from_value(json!({
        "metadata": {},
        "spec": {
            "user": user(account("namespace"), account("name")),
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

/// The role among `objects` that `binding` grants.
pub(crate) fn role<'a>(objects: &'a [Value], binding: &Value) -> &'a Value {
    let is_meant = |object: &&Value| {
        object["kind"] == binding["roleRef"]["kind"]
            && object["metadata"]["name"] == binding["roleRef"]["name"]
            && object["metadata"]["namespace"] == binding["metadata"]["namespace"]
    };
    objects.iter().find(is_meant).unwrap()
}

async fn kubeconfig(kube: &Client, namespace: &str, account: &str) -> Value {
    let api = Api::<ServiceAccount>::namespaced(kube.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    let token = api.create_token_request(account, &params, &request).await.unwrap();
    let admin = std::fs::read_to_string(CLUSTER.kubeconfig()).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&admin).unwrap();
    kubeconfig["users"][0]["user"] = json!({ "token": token.status.unwrap().token });
    kubeconfig
}
