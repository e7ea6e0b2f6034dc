//! The bucket `LATTICEDATA_{lattice}` on the server, for whoever reads links past the hosts.
//!
//! It is a copy: the hosts of a simulated lattice share [`Store`](crate::store::Store), and write here
//! what they write there, in the same order for one record.

use serde_json::json;

use crate::lattice::Lattice;
use crate::store::Record;

/// Makes the bucket as a real host does that finds none; one that is there stays.
pub(crate) async fn create(lattice: &Lattice) {
    let bucket = format!("LATTICEDATA_{}", lattice.options.name);
    let stream = json!({
        "name": format!("KV_{bucket}"), "subjects": [format!("$KV.{bucket}.>")],
        "max_msgs_per_subject": 1, "max_bytes": -1, "max_age": 0, "max_msg_size": -1,
        "storage": "file", "discard": "new", "num_replicas": 1, "allow_rollup_hdrs": true,
        "deny_delete": true, "allow_direct": true,
    });
    let subject = format!("$JS.API.STREAM.CREATE.KV_{bucket}");
    lattice.line.ask(subject, stream.to_string()).await;
}

/// Writes a record, and waits until it is there to be read.
pub(crate) async fn put(lattice: &Lattice, source: &str, record: &Record) {
    let subject = format!("$KV.LATTICEDATA_{}.COMPONENT_{source}", lattice.options.name);
    let value = json!({"url": record.url, "links": record.links});
    // Without JetStream nothing is kept, which whoever reads finds out.
    lattice.line.ask(subject, value.to_string()).await;
}
