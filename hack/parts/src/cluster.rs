//! A Kubernetes API: `etcd`, `kube-apiserver`, and of the controller manager what makes deletion
//! real, or all that a [`Node`](crate::Node) needs.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Process, Program, Scratch,
    kubectl::{self, Kubectl},
    pki::{self, Authority, Identity},
    process, programs,
};

/// An idle machine takes 3 s.
const START: Duration = Duration::from_mins(1);
/// Where Services are, and the first of them, which is the API.
const SERVICES: &str = "10.96.0.0/16";
const SERVICE: &str = "10.96.0.1";
/// Ports are free when they are picked and may be taken a moment later.
const TRIES: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not get the programs of a cluster")]
    Programs(#[from] programs::Error),

    #[error("could not lay out a cluster's files")]
    Files(#[from] io::Error),

    #[error("could not make a cluster's certificates")]
    Pki(#[from] pki::Error),

    #[error(transparent)]
    Process(#[from] process::Error),

    #[error(transparent)]
    Kubectl(#[from] kubectl::Error),
}

#[derive(Clone, Copy, Debug, Default)]
pub struct ClusterOptions {
    /// Namespaces that go away when deleted, garbage collection by owner reference, and default
    /// service accounts. Costs a second and 70 MB.
    pub controllers: bool,
    /// One line of JSON for every request, at [`Cluster::audit_log_path`].
    pub audit: bool,
    /// The address of the node that will run Pods, at which they find the API. All controllers
    /// that Pods and Services need run as well.
    pub node: Option<Ipv4Addr>,
}

/// A running cluster, whose caller may do everything. RBAC holds for everybody else.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: clients before servers, the folder last.
    controllers: Option<Process>,
    apiserver: Process,
    etcd: Process,
    kubectl: Kubectl,
    audit_log: PathBuf,
    url: String,
    scratch: Scratch,
}

/// Keys and certificates that all parts of a cluster share.
struct Files {
    authority: PathBuf,
    server: Identity,
    admin: Identity,
    /// Signs the tokens of service accounts.
    token_key: PathBuf,
    /// Checks them.
    token_public_key: PathBuf,
}

impl Files {
    fn write(scratch: &Scratch, node: Option<Ipv4Addr>) -> Result<Self, Error> {
        let node = node.map(|address| address.to_string());
        let names: Vec<_> = node.iter().flat_map(|node| [node, SERVICE]).collect();
        let authority = Authority::new(scratch)?;
        let (token_key, token_public_key) = pki::key_pair(scratch, "service-accounts")?;
        Ok(Self {
            server: authority.server(scratch, "apiserver", &names)?,
            admin: authority.client(scratch, "admin", "system:masters")?,
            token_key,
            token_public_key,
            authority: authority.certificate,
        })
    }
}

impl Cluster {
    /// Starts a cluster and waits until it answers.
    pub fn start(options: ClusterOptions) -> Result<Self, Error> {
        let mut tries = 1;
        loop {
            match Self::try_start(options) {
                Err(Error::Process(process::Error::Ended { log, .. }))
                    if tries < TRIES && log.contains("address already in use") =>
                {
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn try_start(options: ClusterOptions) -> Result<Self, Error> {
        let scratch = Scratch::new("cluster")?;
        let files = Files::write(&scratch, options.node)?;
        let [port, clients, peers] = free_ports()?;
        let etcd = start_etcd(&scratch, clients, peers)?;
        let audit_log = scratch.path().join("audit.log");
        let mut apiserver = {
            let mut program = apiserver(&scratch, &files, port, clients)?;
            if options.audit {
                program = program.args(audit(&scratch, &audit_log)?);
            }
            program = match options.node {
                Some(node) => program.args(serve_node(node)),
                // A loopback address cannot be advertised, and there are no nodes to read it.
                None => {
                    program.args(["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"])
                }
            };
            if !options.controllers && options.node.is_none() {
                // Nobody makes the default service accounts that it would insist on.
                program = program.arg("--disable-admission-plugins=ServiceAccount");
            }
            Process::spawn(&program, &scratch.path().join("apiserver.log"))?
        };

        let url = format!("https://127.0.0.1:{port}");
        let kubeconfig = scratch.write("kubeconfig", kubeconfig(&url, &files))?;
        let kubectl = Kubectl::new(&kubeconfig, &scratch.folder("kubectl-cache")?)?;
        // Not asked over HTTP before the port is open: kubectl takes a while to give up.
        apiserver.wait_for("it listened", START, |_| {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        })?;
        apiserver.wait_for("it was ready", START, |_| {
            kubectl.run(&["get", "--raw=/readyz"], None).ok()
        })?;
        let mut cluster =
            Self { controllers: None, apiserver, etcd, kubectl, audit_log, url, scratch };
        if options.controllers || options.node.is_some() {
            cluster.start_controllers(&files, options.node.is_some())?;
        }
        Ok(cluster)
    }

    fn start_controllers(&mut self, files: &Files, node: bool) -> Result<(), Error> {
        let controllers = if node {
            // It would want to know which addresses Pods have, which the node settles alone.
            "*,-node-ipam-controller"
        } else {
            // Those that finish deletions and make what every namespace has.
            concat!(
                "namespace-controller,garbage-collector-controller,",
                "serviceaccount-controller,root-ca-certificate-publisher-controller",
            )
        };
        let program = Program::new("kube-controller-manager", programs::kube_controller_manager()?)
            .arg("--kubeconfig")
            .arg(self.kubectl.kubeconfig())
            .arg("--root-ca-file")
            .arg(&files.authority)
            .arg("--service-account-private-key-file")
            .arg(&files.token_key)
            // It has nothing to serve, and nobody to share its work with.
            .args(["--secure-port=0", "--leader-elect=false", "--controllers", controllers]);
        let log = self.scratch.path().join("controller-manager.log");
        let controllers = self.controllers.insert(Process::spawn(&program, &log)?);
        let kubectl = &self.kubectl;
        controllers.wait_for("there were service accounts", START, |_| {
            kubectl.run(&["get", "serviceaccount", "default"], None).ok()
        })?;
        Ok(())
    }

    /// The administrator's `KUBECONFIG`.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        self.kubectl.kubeconfig()
    }

    /// Where the API is, such as `https://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `kubectl` as the administrator.
    #[must_use]
    pub fn client(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Runs `kubectl` as the administrator; see [`Kubectl::run`].
    pub fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> Result<String, Error> {
        Ok(self.kubectl.run(arguments, stdin)?)
    }

    /// One JSON object a line for each request that was answered, at level `Metadata`. Stays empty
    /// without [`ClusterOptions::audit`].
    #[must_use]
    pub fn audit_log_path(&self) -> &Path {
        &self.audit_log
    }

    /// The API hangs: connections stay open and nothing is answered, until [`Cluster::resume`].
    pub fn pause(&self) -> Result<(), Error> {
        Ok(self.apiserver.pause()?)
    }

    pub fn resume(&self) -> Result<(), Error> {
        Ok(self.apiserver.resume()?)
    }

    /// The process ids of `kube-apiserver` and `etcd`.
    #[must_use]
    pub fn process_ids(&self) -> [u32; 2] {
        [self.apiserver.id(), self.etcd.id()]
    }
}

fn start_etcd(scratch: &Scratch, clients: u16, peers: u16) -> Result<Process, Error> {
    let clients = format!("http://127.0.0.1:{clients}");
    let peers = format!("http://127.0.0.1:{peers}");
    let program = Program::new("etcd", programs::etcd()?)
        .arg("--data-dir")
        .arg(scratch.path().join("etcd"))
        .args(["--name", "etcd", "--listen-client-urls", &clients])
        .args(["--advertise-client-urls", &clients, "--listen-peer-urls", &peers])
        .args(["--initial-advertise-peer-urls", &peers])
        .args(["--initial-cluster", &format!("etcd={peers}")])
        // Data of a test need not survive the machine.
        .arg("--unsafe-no-fsync");
    let mut etcd = Process::spawn(&program, &scratch.path().join("etcd.log"))?;
    etcd.wait_for("it served", START, |etcd| {
        etcd.log().contains("ready to serve client requests").then_some(())
    })?;
    Ok(etcd)
}

fn apiserver(scratch: &Scratch, files: &Files, port: u16, etcd: u16) -> Result<Program, Error> {
    let program = Program::new("kube-apiserver", programs::kube_apiserver()?)
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .arg(format!("--secure-port={port}"))
        .arg("--authorization-mode=RBAC")
        .arg(format!("--service-cluster-ip-range={SERVICES}"))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        // What is not given here it would write to a folder of the system.
        .arg("--cert-dir")
        .arg(scratch.folder("apiserver")?);
    let options: [(&str, &Path); 5] = [
        ("--tls-cert-file", &files.server.certificate),
        ("--tls-private-key-file", &files.server.key),
        ("--client-ca-file", &files.authority),
        ("--service-account-key-file", &files.token_public_key),
        ("--service-account-signing-key-file", &files.token_key),
    ];
    Ok(options.into_iter().fold(program, |program, (option, file)| program.arg(option).arg(file)))
}

/// Options that let Pods on the node at `address` reach the API, and the API its Pods.
fn serve_node(address: Ipv4Addr) -> [String; 4] {
    [
        "--bind-address=0.0.0.0".to_owned(),
        format!("--advertise-address={address}"),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--allow-privileged".to_owned(),
    ]
}

/// Options that log every request once, without its body, when it has been answered.
fn audit(scratch: &Scratch, log: &Path) -> Result<[String; 3], Error> {
    let policy = scratch.write(
        "audit-policy.yaml",
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n\
         rules: [{level: Metadata}]\n",
    )?;
    std::fs::File::create(log)?;
    Ok([
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log.display()),
        // Written before the request is answered, so that a test can count what it has just done.
        "--audit-log-mode=blocking".to_owned(),
    ])
}

fn kubeconfig(url: &str, files: &Files) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "trellis",
            "cluster": { "server": url, "certificate-authority": files.authority },
        }],
        "users": [{
            "name": "admin",
            "user": {
                "client-certificate": files.admin.certificate,
                "client-key": files.admin.key,
            },
        }],
        "contexts": [{ "name": "trellis", "context": { "cluster": "trellis", "user": "admin" } }],
        "current-context": "trellis",
    })
    .to_string()
}

/// Ports that nobody listens on right now. Only for servers that cannot choose one themselves.
pub fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    // All are held until the last is picked, or the system might hand out one twice.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
