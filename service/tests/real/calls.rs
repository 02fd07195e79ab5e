//! Calls from any loopback address, and waiting for what they find.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::Request;
use http_body_util::Full;

use crate::http_client::{HttpAnswer, send};
use crate::process::PATIENCE;

/// Sends one request from the address `from`, and waits a while for its answer.
pub(crate) async fn call(
    from: IpAddr,
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> std::io::Result<HttpAnswer> {
    let mut request = Request::builder().method(method).uri(path).header("host", "api.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::default()).unwrap();
    tokio::time::timeout(PATIENCE, send(from, to, request)).await.unwrap_or_else(|_| {
        Err(std::io::Error::other(format!("{method} {path} was not answered in time")))
    })
}

/// Asks again and again until `done` answers something; the end of patience is a failure.
pub(crate) async fn until<T, F>(what: &str, mut done: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let work = async {
        loop {
            ticks.tick().await;
            if let Some(answer) = done().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("no {what} in time"))
}
