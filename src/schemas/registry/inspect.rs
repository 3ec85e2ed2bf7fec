//! The check of `curlew doctor`: whether a registry can be reached and accepts the credentials.

use super::RegistryError;
use super::client::{RegistryApi, RegistryClient, RegistryRequest};
use super::settings::{RegistrySettings, RegistryUrl};
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use serde_json::Value;

const STEP: DiagnosisStep = DiagnosisStep::SchemaRegistry;

const REACH_REMEDY: &str = "check the URL, that the registry is running, and the settings schema-registry-ca and \
                            schema-registry-cert if it has https; records stay undecoded until it answers";
const LOGIN_REMEDY: &str = "check the credentials (setting schema-registry-credentials, or basic.auth.user.info in the \
                            file of kafka-config), and that they allow reading schemas";
const API_REMEDY: &str = "give the base URL of Confluent's API: for Confluent and Karapace without a path, for Apicurio with \
                          /apis/ccompat/v7";

/// Reports each replica.
pub fn inspect(settings: &RegistrySettings, found: &mut dyn FnMut(Diagnosis)) {
    let client = RegistryClient::new(settings.clone());
    client.urls().iter().for_each(|url| found(check(&client, url)));
}

fn check(client: &RegistryClient, url: &RegistryUrl) -> Diagnosis {
    let ask = |api, path: &str| {
        let request = RegistryRequest { api, path: path.to_owned(), body: None, what: path.to_owned() };
        client.ask(url, &request)
    };
    match ask(RegistryApi::Confluent, "/schemas/types") {
        Ok(answer) => match serde_json::from_str::<Vec<String>>(&answer.body) {
            Ok(types) => {
                let product = ask(RegistryApi::Apicurio, "/system/info").ok();
                let product = product.and_then(|answer| serde_json::from_str::<Value>(&answer.body).ok());
                let version = product.as_ref().and_then(|product| product.get("version")?.as_str());
                let is = version.map_or("has Confluent's API".to_owned(), |version| {
                    format!(
                        "is Apicurio {}",
                        version.chars().filter(|c| c.is_ascii_graphic()).take(40).collect::<String>()
                    )
                });
                let known = ["AVRO", "JSON", "PROTOBUF"].into_iter().filter(|kind| types.iter().any(|t| t == kind));
                let known = known.collect::<Vec<_>>().join(", ");
                Diagnosis::ok(STEP, format!("{url} {is} and accepts the credentials; schemas: {known}"))
            }
            Err(_) => Diagnosis::failed(STEP, format!("{url} answers, but not like a schema registry"), API_REMEDY),
        },
        Err(error @ RegistryError::Unreachable(_)) => Diagnosis::failed(STEP, error.to_string(), REACH_REMEDY),
        Err(error @ RegistryError::Credentials(_)) => Diagnosis::failed(STEP, error.to_string(), LOGIN_REMEDY),
        Err(RegistryError::NotFound(_)) => {
            Diagnosis::failed(STEP, format!("{url} has no /schemas/types, so it is not a schema registry"), API_REMEDY)
        }
        Err(error) => Diagnosis::failed(STEP, error.to_string(), API_REMEDY),
    }
}
