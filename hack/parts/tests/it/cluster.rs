use std::{fs, time::Duration};

use parts::{Cluster, ClusterOptions};

#[test]
fn a_cluster_deletes_namespaces_and_logs_what_it_was_asked() {
    let cluster =
        Cluster::start(ClusterOptions { controllers: true, audit: true, node: None }).unwrap();
    cluster.kubectl(&["create", "namespace", "passing"], None).unwrap();

    cluster.kubectl(&["delete", "namespace", "passing", "--timeout=30s"], None).unwrap();

    let namespaces = cluster.kubectl(&["get", "namespaces", "-o=name"], None).unwrap();
    assert!(!namespaces.contains("passing"), "{namespaces}");
    let log = fs::read_to_string(cluster.audit_log_path()).unwrap();
    let made = log.lines().filter(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["verb"] == "create" && event["objectRef"]["name"] == "passing"
    });
    assert_eq!(made.count(), 1);
}

#[test]
fn rbac_holds_for_all_but_the_administrator() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    cluster.kubectl(&["create", "serviceaccount", "nobody"], None).unwrap();
    let user = "--as=system:serviceaccount:default:nobody";

    let refused = cluster.kubectl(&["get", "secrets", user], None).unwrap_err();

    assert!(parts::chain(&refused).contains("forbidden"), "{refused}");
    let token = cluster.kubectl(&["create", "token", "nobody"], None).unwrap();
    assert_eq!(token.trim().split('.').count(), 3, "{token}");
}

#[test]
fn a_paused_api_answers_when_it_is_resumed() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let ask = || cluster.kubectl(&["get", "--raw=/readyz", "--request-timeout=1s"], None).ok();

    cluster.pause().unwrap();
    assert!(ask().is_none());

    cluster.resume().unwrap();
    assert!(parts::poll(Duration::from_secs(10), ask).is_some());
}
