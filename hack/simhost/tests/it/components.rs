//! Components on the wire: T1 to T4, T11, T13.

use serde_json::{Value, json};

use crate::support::world;

#[tokio::test]
async fn a_first_start_is_told_twice_and_a_change_of_scale_once() {
    let mut w = world().await;
    assert_eq!(
        w.scale("a", "img:1", 2, Value::Null).await,
        json!({"success": true, "message": ""})
    );
    assert_eq!(w.events(2).await, ["component_scaled 2", "component_scaled 2"]);
    w.scale("a", "img:1", 5, Value::Null).await;
    w.scale("a", "img:1", 5, Value::Null).await;
    w.scale("a", "img:1", 0, Value::Null).await;
    assert_eq!(
        w.events(3).await,
        ["component_scaled 5", "component_scaled 5", "component_scaled 0"]
    );
    assert!(w.quiet().await);
}
