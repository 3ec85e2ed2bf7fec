//! The schema registry as Curlew uses it.

use curlew_integration::apicurio::Apicurio;
use serde_json::json;

#[test]
fn a_registry_keeps_its_schemas_over_a_restart() {
    let mut registry = Apicurio::start();
    let schema = json!({"type": "record", "name": "Reading", "fields": [{"name": "t", "type": "double"}]});
    let id = registry.register_avro("readings-value", &schema);
    registry.kill();
    registry.restart();
    let stored = registry.get(&format!("/schemas/ids/{id}")).expect(200).json();
    assert_eq!(serde_json::from_str::<serde_json::Value>(stored["schema"].as_str().unwrap()).unwrap(), schema);
    assert_eq!(registry.register_avro("readings-value", &schema), id);
}
