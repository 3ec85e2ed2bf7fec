//! The schema registry as Curlew uses it.

use curlew_integration::apicurio::Apicurio;
use curlew_integration::bridge::run;

#[test]
fn the_doctor_reports_the_registry_and_what_to_do_without_it() {
    let registry = Apicurio::shared();
    let data = tempfile::tempdir().expect("directory");
    let data = data.path().to_str().expect("UTF-8");
    let root = format!("http://127.0.0.1:{}", registry.port);
    let closed = format!("http://127.0.0.1:{}", curlew_integration::free_port());
    for (url, code, words) in [
        (registry.url(), 0, "is Apicurio 3."),
        (format!("{root}/apis/registry/v3"), 0, "accepts the credentials; schemas: AVRO, JSON, PROTOBUF"),
        (root, 1, "for Apicurio with /apis/ccompat/v7"),
        (closed, 1, "check the URL, that the registry is running"),
    ] {
        let output = run(&["doctor", "--data", data, "--schema-registry", &url]);
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.contains("schema-registry")).unwrap_or_else(|| panic!("{output:?}"));
        assert!(line.contains(words), "{line}");
        assert_eq!(output.status.code(), Some(code), "{text}");
    }
}
