//! Paths that servers read in different ways, at every door alike.

use sluicegate::settings::Paths;
use sluicegate_limits::attributes::{Case, DotSegments, EncodedSlash, MatrixParams};

use crate::asking::{DOORS, Question, Retry};
use crate::server::TestServer;

const LIMITS: &str = "
rate_limits:
  exports: { match: GET /v1/export, limit: 1, window: 1h }
  packages: { match: GET /registry/**, limit: 9, window: 1h }
";

#[tokio::test]
async fn what_makes_a_difference_is_refused_by_the_name_of_its_setting() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, |_| {});
        for (target, says) in [
            ("/v1%2fexport", "`paths.encoded_slash` to `data` or `separator`"),
            ("/v1/x/../export", "`paths.dot_segments` to `resolve`"),
            ("/v1/export;x", "`paths.matrix_params` to `strip` or `keep`"),
            ("/v1/..;/export", "parameters behind `.` or `..`"),
            ("/v1/%zzport", "a `%` without two hexadecimal digits"),
        ] {
            let answer = server.ask(door, &Question::get(target)).await;
            assert!(!answer.allowed, "{target}: {}", answer.whole);
            assert_eq!((answer.reason.as_str(), answer.retry), ("invalid_request", Retry::Unsaid));
            assert!(answer.status.is_none_or(|status| status == 400), "{}", answer.whole);
            assert!(answer.whole.contains(says), "{says}: {}", answer.whole);
            assert!(!answer.whole.contains("port"), "{}", answer.whole);
        }
        let plain = server.ask(door, &Question::get("/v1/export")).await;
        assert!(plain.allowed, "nothing was charged: {}", plain.whole);
        let scrape = server.metrics.scrape();
        for cause in ["encoded_slash", "dot_segments", "matrix_params", "dot_params"] {
            let series = format!("sluicegate_invalid_requests_total{{cause=\"{cause}\"}} 1\n");
            assert!(scrape.contains(&series), "{series} is not in\n{scrape}");
        }
    }
}

#[tokio::test]
async fn what_makes_none_passes_and_counts_as_what_it_is() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, |_| {});
        for target in ["/registry/@scope%2fname", "/registry/a;v=1", "/registry/a/../b"] {
            let answer = server.ask(door, &Question::get(target)).await;
            assert!(answer.allowed, "{target}: {}", answer.whole);
            assert_eq!(answer.limit.as_deref(), Some("packages"), "{target}");
        }
        let server_itself = Question { method: "OPTIONS".to_owned(), ..Question::get("*") };
        let answer = server.ask(door, &server_itself).await;
        assert!(answer.allowed && answer.limit.is_none(), "{}", answer.whole);
    }
}

#[tokio::test]
async fn every_door_reads_paths_as_the_settings_say() {
    let reads = Paths {
        encoded_slash: EncodedSlash::Separator,
        dot_segments: DotSegments::Resolve,
        matrix_params: MatrixParams::Strip,
        case: Some(Case::Insensitive),
        ..Paths::default()
    };
    for target in ["/v1%2fexport", "/v1/x/../export", "/v1/export;x", "/V1/Export"] {
        for door in DOORS {
            let server = TestServer::start(LIMITS, |settings| settings.paths = reads);
            let first = server.ask(door, &Question::get("/v1/export")).await;
            assert!(first.allowed, "{}", first.whole);
            let second = server.ask(door, &Question::get(target)).await;
            assert!(!second.allowed, "{target}: {}", second.whole);
            assert_eq!(second.limit.as_deref(), Some("exports"), "{target}");
        }
    }
}
