//! How much a caller learns, by its traffic class, at every door; the gateway always gets all.

use sluicegate::settings::{AttributeSource, Settings, TrafficClass, load};
use sluicegate::settings::{Overrides, TrafficClasses};
use sluicegate_proto::ext_authz::check_response::HttpResponse;
use sluicegate_proto::v1::CheckResponse;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;

use crate::asking::{Answer, DOORS, Door, Question, Retry, header};
use crate::server::TestServer;

/// What acme is limited by, what is tried out in the shadow, and what is agreed with globex.
const LIMITS: &str = "
rate_limits:
  exports_of_a_tenant: { match: GET /v1/**, key: tenant_id, limit: 2, window: 1h }
  nightly_trial: { key: tenant_id, limit: 0, window: 7m, mode: shadow }
  globex_contract: { match: POST /v1/globex, key: tenant_id, limit: 4711, window: 1h,
    on_store_failure: deny }
  quiet: { match: PUT /**, key: method, limit: 1, window: 1h, reason: quiet_hours }
";
const MINE: &str = "exports_of_a_tenant";
const SHADOW: &str = "nightly_trial";
const OTHERS: &str = "globex_contract";

fn classes(reveal: &str) -> TrafficClasses {
    let name = "SLUICEGATE__TRAFFIC_CLASSES__PARTNER__REVEAL".to_owned();
    let environment = Some([(name, reveal.to_owned())].into_iter().collect());
    load(&Overrides { environment, ..Overrides::default() }).unwrap().traffic_classes
}

/// A server whose callers are partners, who learn this much.
fn partners(reveal: &str) -> TestServer {
    let classes = classes(reveal);
    TestServer::start(LIMITS, |settings| {
        settings.traffic_classes = classes;
        settings.listeners.grpc.traffic_class = Some(TrafficClass::Partner);
        settings.listeners.http.traffic_class = Some(TrafficClass::Partner);
    })
}

fn question() -> Question {
    Question::get("/v1/a").by("acme")
}

/// What the client sees of an answer.
async fn seen(server: &TestServer, door: Door, question: &Question) -> (Answer, String) {
    if door != Door::ExtAuthz {
        let answer = server.ask(door, question).await;
        let whole = answer.whole.clone();
        return (answer, whole);
    }
    let response = server.ask_envoy(question.envoy()).await;
    let whole = format!("{:?}", response.http_response);
    let metadata = format!("{:?}", response.dynamic_metadata.unwrap());
    let unlimited = question.method == "POST";
    assert!(unlimited || metadata.contains("limit_name"), "the gateway learns it: {metadata}");
    (server.ask(door, question).await, whole)
}

#[tokio::test]
async fn a_partner_learns_only_of_limits_that_apply_to_it() {
    for door in DOORS {
        let server = partners("applied");
        for allowed in [true, false] {
            let (answer, whole) = seen(&server, door, &question()).await;
            assert_eq!(answer.limit.as_deref(), Some(MINE), "{whole}");
            assert!(whole.contains(MINE), "{allowed} {door:?} {whole}");
            for hidden in [SHADOW, OTHERS, "4711"] {
                assert!(!whole.contains(hidden), "{hidden} at {door:?}: {whole}");
            }
        }
    }
}

#[tokio::test]
async fn a_verdict_names_no_limit_and_no_number() {
    for door in DOORS {
        let server = partners("verdict");
        let (_, allowed) = seen(&server, door, &question()).await;
        let _ = server.ask(door, &question()).await;
        let (answer, denied) = seen(&server, door, &question()).await;
        for hidden in [MINE, SHADOW, OTHERS, "ratelimit", "violated"] {
            assert!(!allowed.contains(hidden), "{hidden} at {door:?}: {allowed}");
            assert!(!denied.contains(hidden), "{hidden} at {door:?}: {denied}");
        }
        assert_eq!((answer.allowed, answer.retry), (false, Retry::After), "{denied}");
        assert!(denied.contains("limit_exceeded"), "{denied}");
        let own = Question { method: "PUT".to_owned(), ..question() };
        let _ = server.ask(door, &own).await;
        let (_, denied) = seen(&server, door, &own).await;
        assert!(denied.contains("quiet_hours"), "the limit's own word stays: {denied}");
        assert!(!denied.replace('\\', "").contains("\"quiet\""), "{denied}");
    }
}

#[tokio::test]
async fn without_a_class_and_between_services_everything_is_told() {
    let east_west = |settings: &mut Settings| {
        settings.listeners.grpc.traffic_class = Some(TrafficClass::EastWest);
        settings.listeners.http.traffic_class = Some(TrafficClass::EastWest);
    };
    for server in [TestServer::start(LIMITS, |_| {}), TestServer::start(LIMITS, east_west)] {
        for door in [Door::Grpc, Door::Http] {
            let (_, whole) = seen(&server, door, &question()).await;
            assert!(whole.contains(MINE) && whole.contains(SHADOW), "{door:?} {whole}");
        }
    }
}

async fn peek(server: &TestServer) -> CheckResponse {
    let mut client = SluicegateClient::new(server.channel().await);
    client.peek(question().native()).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_peek_explains_as_much_as_the_class_may_learn() {
    let all = peek(&partners("all")).await;
    let names = |peek: &CheckResponse| peek.explained.iter().map(|l| l.name.clone()).collect();
    let named: Vec<String> = names(&all);
    assert_eq!(named, [MINE, SHADOW, OTHERS, "quiet"]);
    assert!(all.explained.iter().all(|limit| !limit.why.is_empty() && limit.line > 0));
    let rules: Vec<_> = all.explained.iter().map(|l| l.on_store_failure.as_deref()).collect();
    assert_eq!(rules, ["local", "local", "deny", "local"].map(Some), "by limit, else by class");
    let applied = peek(&partners("applied")).await;
    let named: Vec<String> = names(&applied);
    assert_eq!(named, [MINE]);
    let mine = &applied.explained[0];
    assert_eq!((mine.limit, mine.remaining), (2, Some(1)));
    assert_eq!(mine.on_store_failure, None, "no hint when it opens");
    assert_eq!((mine.why.as_str(), mine.file.as_str(), mine.line), ("", "", 0));
    assert_eq!(applied.explained_left_out, 0, "not even how many others there are");
    let verdict = peek(&partners("verdict")).await;
    assert!(verdict.explained.is_empty() && verdict.explained_left_out == 0, "{verdict:?}");
    assert!(verdict.allowed && verdict.limit_name.is_none() && verdict.limits.is_empty());
}

#[tokio::test]
async fn the_class_of_a_route_decides_what_its_clients_learn() {
    let classes = classes("verdict");
    let server = TestServer::start(LIMITS, |settings| {
        settings.traffic_classes = classes;
        settings.listeners.grpc.traffic_class = Some(TrafficClass::EastWest);
        let route = AttributeSource::Context("class".to_owned());
        settings.attributes.insert("traffic_class".to_owned(), route);
    });
    for (class, told) in [("partner", false), ("admin", true), ("", true)] {
        let mut question = question().envoy();
        let context = question.attributes.as_mut().unwrap();
        context.context_extensions.insert("class".to_owned(), class.to_owned());
        let response = server.ask_envoy(question).await.http_response.unwrap();
        let headers = match response {
            HttpResponse::OkResponse(ok) => ok.response_headers_to_add,
            HttpResponse::DeniedResponse(denied) => denied.headers,
            HttpResponse::ErrorResponse(_) => panic!("never an error"),
        };
        assert_eq!(header(&headers, "ratelimit").is_some(), told, "{class}");
    }
}
