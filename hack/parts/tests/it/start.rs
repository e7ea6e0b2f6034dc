use parts::*;

#[test]
fn cluster_starts() {
    let w = std::time::Instant::now();
    let c = Cluster::start(ClusterOptions { controllers: true, audit: true }).unwrap();
    println!("{:?}", w.elapsed());
    println!("{}", c.kubectl(&["get", "ns"], None).unwrap());
    println!("{}", c.kubectl(&["version"], None).unwrap());
    c.kubectl(&["create", "ns", "x"], None).unwrap();
    println!("{:?}", w.elapsed());
    c.kubectl(&["delete", "ns", "x"], None).unwrap();
    println!("{:?}", w.elapsed());
    println!("{}", std::fs::read_to_string(c.audit_log_path()).unwrap().lines().count());
}

#[test]
fn nats_starts() {
    for auth in
        [Auth::None, Auth::Password, Auth::Token, Auth::NKey, Auth::Jwt, Auth::Tls, Auth::MutualTls]
    {
        let n = Nats::start(NatsOptions { auth, max_payload: Some(8192) }).unwrap();
        println!("{:?}", n.client());
    }
}
