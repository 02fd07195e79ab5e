//! Health and reflection, asked by the clients that everyone uses.

use std::collections::BTreeSet;

use sluicegate::lifecycle::Phase;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::server::TestServer;

const LIMITS: &str = "rate_limits: {default: {key: tenant_id, limit: 1, window: 1h}}";
const SERVICES: [&str; 3] =
    ["sluicegate.v1.Sluicegate", "envoy.service.auth.v3.Authorization", "grpc.health.v1.Health"];

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn every_service_is_healthy_until_the_drain() {
    // Health is for everyone, trusted or not.
    let server = TestServer::start(LIMITS, |settings| settings.listeners.grpc.trust.clear());
    let mut client = HealthClient::new(server.channel().await);
    for (phase, expected) in
        [(Phase::Serving, ServingStatus::Serving), (Phase::Draining, ServingStatus::NotServing)]
    {
        server.lifecycle.advance(phase);
        for service in SERVICES.into_iter().chain([""]) {
            let response = client.check(of(service)).await.unwrap().into_inner();
            assert_eq!(response.status(), expected, "{service}");
        }
    }
    let status = client.check(of("nobody")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_watch_tells_of_the_drain_and_ends_with_the_connection() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut client = HealthClient::new(server.channel().await);
    let mut watch = client.watch(of("")).await.unwrap().into_inner();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    server.lifecycle.advance(Phase::Draining);
    let second = watch.next().await.unwrap().unwrap();
    assert_eq!(second.status(), ServingStatus::NotServing);
    server.lifecycle.advance(Phase::Closing);
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_watch_of_nobody_says_so() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut client = HealthClient::new(server.channel().await);
    let mut watch = client.watch(of("nobody")).await.unwrap().into_inner();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
}

#[tokio::test]
async fn watches_have_an_end() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut client = HealthClient::new(server.channel().await);
        for _ in 0..512 {
            open.push(client.watch(of("")).await.unwrap());
        }
    }
    let mut client = HealthClient::new(server.channel().await);
    let status = client.watch(of("")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(client.check(of("")).await.is_ok());
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let server = TestServer::start(LIMITS, |_| {});
    let expected: BTreeSet<String> = SERVICES.into_iter().map(str::to_owned).collect();
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest { message_request: Some(list), ..Default::default() };
    let mut client =
        v1::server_reflection_client::ServerReflectionClient::new(server.channel().await);
    let responses = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let response = responses.into_inner().next().await.unwrap().unwrap().message_response;
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        response
    else {
        panic!("no list: {response:?}")
    };
    let names: BTreeSet<String> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.is_superset(&expected), "{names:?}");

    let symbol = "sluicegate.v1.CheckResponse".to_owned();
    let file = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(symbol);
    let request =
        v1alpha::ServerReflectionRequest { message_request: Some(file), ..Default::default() };
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel().await);
    let responses = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let response = responses.into_inner().next().await.unwrap().unwrap().message_response;
    let Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(files)) =
        response
    else {
        panic!("no file: {response:?}")
    };
    assert_eq!(files.file_descriptor_proto.len(), 1);
}
