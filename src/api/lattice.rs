use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, lenient};

/// A set of wasmCloud hosts that share one NATS subject space, and how to reach them.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "lattice.oam.dev",
    version = "v1alpha1",
    kind = "Lattice",
    plural = "lattices",
    shortname = "lat",
    category = "oam",
    category = "wasmcloud",
    doc = "A wasmCloud lattice that Applications run on.",
    status = "LatticeStatus",
    derive = "PartialEq",
    validation = Rule::new("!self.metadata.name.contains('.')").message("a lattice's name has no dot; write - instead"),
    validation = Rule::new("self.metadata.name != 'local'").message("`local` is the default lattice's other name; choose another"),
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "HOSTS", type_ = "integer", json_path = ".status.hostCounts.total"),
    printcolumn(
        name = "MUTE",
        type_ = "integer",
        json_path = ".status.hostCounts.mute",
        priority = 1
    ),
    printcolumn(
        name = "UNREACHABLE",
        type_ = "integer",
        json_path = ".status.hostCounts.unreachable"
    ),
    printcolumn(name = "HELD", type_ = "integer", json_path = ".status.hostCounts.held"),
    printcolumn(name = "DEFAULT", type_ = "boolean", json_path = ".spec.default"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "MESSAGE",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct LatticeSpec {
    /// Which Trellis owns what it starts here. Kept in Git, so that a cluster that is built anew
    /// finds its own things again.
    #[serde(default = "default_installation")]
    #[schemars(length(min = 1, max = 63))]
    pub installation: String,
    /// The lattice's name on the wire: one token of a NATS subject.
    #[serde(default = "default_lattice")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^.*>\s]+$"))]
    pub lattice: String,
    /// The NATS servers that its hosts are connected to, and how we log in there.
    pub nats: NatsSpec,
    /// Prefix of the control interface's subjects.
    #[serde(default = "default_control_prefix")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^.*>\s]+(\.[^.*>\s]+)*$"))]
    pub control_prefix: String,
    /// Prefix of the events' subjects.
    #[serde(default = "default_event_prefix")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^.*>\s]+(\.[^.*>\s]+)*$"))]
    pub event_prefix: String,
    /// Whose Applications may use it.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// Whether a target namespace must say that it accepts Applications from another one.
    #[serde(default)]
    pub cross_namespace: CrossNamespace,
    /// What is done about hosts that are lost; `Replace` where nothing matches. A scaler's own
    /// `onHostLoss` goes before. The annotation `lattice.oam.dev/forget-host` gives up a host that
    /// is held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_host_loss: Vec<OnHostLoss>,
    /// The hosts' heartbeat interval, such as `30s`.
    #[serde(default = "default_heartbeat_interval")]
    #[schemars(regex(pattern = DURATION))]
    pub heartbeat_interval: String,
    /// How many probes in a row a host leaves unanswered before it is unreachable.
    #[serde(default = "default_missed")]
    #[schemars(range(min = 1, max = 100))]
    pub missed: i32,
    /// How often all hosts are pinged.
    #[serde(default = "default_probe_interval")]
    #[schemars(regex(pattern = DURATION))]
    pub probe_interval: String,
    /// How long several hosts that are lost together are waited for.
    #[serde(default = "default_loss_grace")]
    #[schemars(regex(pattern = DURATION))]
    pub loss_grace: String,
    /// How long nothing is removed after most hosts were lost at once.
    #[serde(default = "default_mass_loss_timeout")]
    #[schemars(regex(pattern = DURATION))]
    pub mass_loss_timeout: String,
    /// How many commands may be under way at a time.
    #[serde(default = "default_max_in_flight")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_in_flight: i32,
    /// How long a deletion of an Application waits for what can't be reached here, from `1s` to
    /// `168h`. Then the Application goes, and what it left is removed as soon as that can be done:
    /// `status.tombstones` tells what.
    #[serde(default = "default_deletion_deadline")]
    #[schemars(length(max = 32), regex(pattern = DURATION))]
    #[x_kube(validation = Rule::new("self != '' && duration(self) >= duration('1s') && duration(self) <= duration('168h')")
        .message("deletionDeadline is at least 1s and at most 168h"))]
    pub deletion_deadline: String,
    /// Whether Applications without a topology go here where several lattices admit them.
    #[serde(default)]
    pub default: bool,
}

/// One or more of `1h`, `30m`, `4s`, `500ms`, in this order.
const DURATION: &str = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";

fn default_installation() -> String {
    "trellis".into()
}
fn default_lattice() -> String {
    "default".into()
}
fn default_control_prefix() -> String {
    "wasmbus.ctl".into()
}
fn default_event_prefix() -> String {
    "wasmbus.evt".into()
}
fn default_heartbeat_interval() -> String {
    "30s".into()
}
fn default_missed() -> i32 {
    3
}
fn default_probe_interval() -> String {
    "4s".into()
}
fn default_loss_grace() -> String {
    "30s".into()
}
fn default_mass_loss_timeout() -> String {
    "15m".into()
}
fn default_deletion_deadline() -> String {
    "1h".into()
}
fn default_max_in_flight() -> i32 {
    200
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NatsSpec {
    /// Such as `nats://nats.default:4222` or `tls://…`.
    #[schemars(length(min = 1, max = 32))]
    pub urls: Vec<String>,
    /// A Secret in the operator's namespace with the keys `user` and `password`, `token`, `nkey`
    /// or `creds`, and `ca.crt`, `tls.crt`, `tls.key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<SecretName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretName {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// Refuse servers that offer no TLS; taken for granted with `tls://` and with a `ca.crt`.
    #[serde(default)]
    pub required: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AllowedNamespaces {
    pub from: NamespacesFrom,
    /// Labels of the namespaces, for `from: Selector`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    #[default]
    All,
    Selector,
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CrossNamespace {
    #[default]
    Allow,
    Consent,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnHostLoss {
    /// Labels of the hosts, with exactly these values; none: all hosts. The first entry that
    /// matches counts.
    #[serde(default)]
    pub host_selector: BTreeMap<String, String>,
    pub policy: LossPolicy,
}

/// What happens to the share of a host that is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LossPolicy {
    /// Others take it over.
    Replace,
    /// It stays there, for hosts that go on working while they are cut off.
    Hold,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LatticeStatus {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient::or_default")]
    pub observed_generation: Option<i64>,
    /// `Connected`, `Synced`, `Ready`, and what else is the matter.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The hosts that were seen, at most 2,000; waited for at the next start.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    pub hosts: Vec<HostSummary>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient::or_default")]
    pub host_counts: Option<HostCounts>,
    /// Hosts that were out of reach while links of their providers changed, at most 200, with at most
    /// 2,000 ids on all of them. A provider there goes by what it was told before, so it is started anew
    /// once its host is back.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    pub missed_links: Vec<MissedLinks>,
    /// What carries our installation's name and that of no Application that exists, at most 100; it
    /// is left alone.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    pub orphans: Vec<Orphan>,
    /// Applications that went before all of theirs was seen gone here, at most 256 KiB. It is removed
    /// as soon as that can be done, and then the entry goes. An Application that comes back under the
    /// name takes up what it wants of it.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    pub tombstones: Vec<Tombstone>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostSummary {
    pub id: String,
    pub name: String,
    pub version: String,
    /// Its labels, where something is held.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "lenient::or_default")]
    pub labels: BTreeMap<String, String>,
    /// What it runs that stays with it when it is lost, at most 2,000 things on all hosts.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    pub held: Vec<HeldWorkload>,
}

/// What a host has missed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MissedLinks {
    pub host: String,
    /// The providers whose links have changed, or any id that could be one; none if it isn't known
    /// which.
    pub ids: Vec<String>,
}

/// Something that runs, as it was seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HeldWorkload {
    pub id: String,
    /// `namespace/name`.
    pub application: String,
    pub image: String,
    /// The most instances that run at a time; none for a provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<i64>,
    /// What it was asked with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HostCounts {
    pub total: i64,
    /// Those that take work.
    pub ready: i64,
    /// Those that answer, and don't say what they run.
    pub mute: i64,
    /// Those that don't answer; what they ran still counts until their grace is over.
    pub unreachable: i64,
    /// Those that are cut off and keep their share.
    pub held: i64,
}

#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(default)]
pub struct Orphan {
    pub id: String,
    pub host: String,
    /// `namespace/name`.
    pub application: String,
}

/// An Application that went before all of its was seen gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tombstone {
    /// `namespace/name`.
    pub application: String,
    /// The Application's, for people.
    pub uid: String,
    /// Whose name its things carry.
    pub installation: String,
    /// When it went.
    pub since: String,
    /// What its releases may have left beside what carries its name, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    pub left: Vec<LeftBehind>,
}

/// What one release may have left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LeftBehind {
    /// Which things of others it had taken up: `wadm`, those that wadm managed for it, or `any`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted: Option<String>,
    /// What it ran.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<LeftWorkload>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LeftLink>,
    /// Names of config entries and of references to secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LeftWorkload {
    pub id: String,
    /// What its scaler said of lost hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_host_loss: Option<LossPolicy>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LeftLink {
    pub source: String,
    pub target: String,
    pub name: String,
    pub namespace: String,
    pub package: String,
}
