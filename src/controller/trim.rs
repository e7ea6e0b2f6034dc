//! Drops what this operator never reads of an object: the record of who wrote which field, and
//! kubectl's copy of the manifest. With thousands of Applications they would be most of its memory.
use kube::{Resource, ResourceExt};

/// kubectl's own copy of the whole object.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The API server keeps the fields' record of whatever is written without one, and takes no
/// annotations from a status.
pub(super) fn trim<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
    if object.annotations().contains_key(LAST_APPLIED) {
        object.annotations_mut().remove(LAST_APPLIED);
    }
}
