//! The traffic class of a request: its listener's, its route's, never the caller's own.

use http::StatusCode;
use sluicegate::settings::{AttributeSource, Settings, TrafficClass};
use sluicegate_proto::v1::attribute::Value;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use sluicegate_proto::v1::{Attribute, CheckResponse};

use crate::asking::{DOORS, Door, Question};
use crate::server::TestServer;

/// One counter for each class that was seen.
const LIMITS: &str = "rate_limits: {by_class: {key: traffic_class, limit: 1, window: 1h}}";

fn listen_to_partners(settings: &mut Settings) {
    settings.listeners.grpc.traffic_class = Some(TrafficClass::Partner);
    settings.listeners.http.traffic_class = Some(TrafficClass::Partner);
    let route = AttributeSource::Context("class".to_owned());
    settings.attributes.insert("traffic_class".to_owned(), route);
}

/// Whether the door finds room on the counter of the question's class.
async fn passes(server: &TestServer, door: Door, question: &Question) -> bool {
    let answer = server.ask(door, question).await;
    let limit = answer.limit.as_deref();
    assert_eq!(limit, Some("by_class"), "the request has a class: {}", answer.whole);
    answer.allowed
}

#[tokio::test]
async fn every_door_gives_its_requests_the_class_of_its_listener() {
    let server = TestServer::start(LIMITS, listen_to_partners);
    let mut passed = Vec::new();
    for door in DOORS {
        passed.push(passes(&server, door, &Question::get("/a")).await);
    }
    assert_eq!(passed, [true, false, false], "all have one class");
    let without = TestServer::start(LIMITS, |_| {});
    for door in DOORS {
        assert_eq!(without.ask(door, &Question::get("/a")).await.limit, None);
    }
}

async fn native(server: &TestServer, class: &str) -> CheckResponse {
    let mut request = Question::get("/a").native();
    let value = Some(Value::Text(class.to_owned()));
    request.attributes.push(Attribute { name: "traffic_class".to_owned(), value });
    SluicegateClient::new(server.channel().await).check(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_caller_cannot_leave_the_class_of_its_listener() {
    let server = TestServer::start(LIMITS, listen_to_partners);
    assert!(native(&server, "partner").await.allowed, "it may state what is so");
    for class in ["admin", "partnr"] {
        let refused = native(&server, class).await;
        assert_eq!(refused.reason, "invalid_request", "{refused:?}");
        let question = format!(r#"{{"attributes":{{"traffic_class":"{class}"}}}}"#);
        let refused = server.post(&question).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
        assert_eq!(refused.json()["reason"], "invalid_request");
    }
    let without = TestServer::start(LIMITS, |_| {});
    assert!(native(&without, "admin").await.allowed, "a listener without a class takes any");
}

#[tokio::test]
async fn a_route_of_the_gateway_is_closer_than_the_listener() {
    let server = TestServer::start(LIMITS, listen_to_partners);
    let ask = |class: &'static str| {
        let mut question = Question::get("/a").envoy();
        let context = question.attributes.as_mut().unwrap();
        context.context_extensions.insert("class".to_owned(), class.to_owned());
        server.ask_envoy(question)
    };
    let passed = async |class| ask(class).await.status.unwrap().code == 0;
    assert!(passed("admin").await);
    assert!(passed("partner").await, "another counter");
    assert!(!passed("admin").await);
    assert!(!passed("").await, "nothing said is the listener's class");
    assert_eq!(ask("publc").await.status.unwrap().code, 3, "a misspelt route is no class");
}
