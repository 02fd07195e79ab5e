//! The client that asks the service for each request.

use std::time::Duration;

use prost::Message;
use sluicegate_proto::v1;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::error::{CheckError, InvalidEndpoint};
use crate::request::Request;
use crate::verdict::Verdict;

mod held;

/// The most checks that the service takes in one batch.
pub const MAX_BATCH: usize = 32;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a silent connection is asked whether it still lives, and how long it may take.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes that the service takes in one message.
pub const MAX_REQUEST_BYTES: usize = 64 * 1_024;
/// Room for a full batch with many limits each.
const MAX_ANSWER_BYTES: usize = 1_024 * 1_024;

/// A client with one connection, shared by its clones.
#[derive(Clone, Debug)]
pub struct Client {
    inner: SluicegateClient<Channel>,
}

impl Client {
    /// A client of the service at `endpoint`, `http://HOST:PORT`. It connects with the first check
    /// and again whenever the connection is lost; call it inside a Tokio runtime.
    ///
    /// # Errors
    /// Where `endpoint` is no URL of that form.
    pub fn connect(endpoint: &str) -> Result<Self, InvalidEndpoint> {
        let invalid = || InvalidEndpoint { endpoint: endpoint.to_owned() };
        let parsed = Endpoint::from_shared(endpoint.to_owned()).map_err(|_| invalid())?;
        let uri = parsed.uri();
        if uri.scheme_str() != Some("http") || uri.host().is_none() || uri.path() != "/" {
            return Err(invalid());
        }
        let channel = parsed
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_lazy();
        let inner = SluicegateClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(Self { inner })
    }

    /// Asks whether a request may pass, and takes what it costs if so. Waits at most `within`,
    /// connecting included; the service learns of it too.
    ///
    /// # Errors
    /// Where there is no verdict; see [`CheckError`]. Nothing is sent twice.
    pub async fn check(&self, request: &Request, within: Duration) -> Result<Verdict, CheckError> {
        let mut inner = self.inner.clone();
        let message = with_deadline(request.as_message().clone(), within)?;
        bounded(inner.check(message), within).await?.try_into()
    }

    /// Asks what [`Self::check`] would answer now, and takes nothing. Only `reset` is that of
    /// before the request.
    ///
    /// # Errors
    /// As for [`Self::check`].
    pub async fn peek(&self, request: &Request, within: Duration) -> Result<Verdict, CheckError> {
        let mut inner = self.inner.clone();
        let message = with_deadline(request.as_message().clone(), within)?;
        bounded(inner.peek(message), within).await?.try_into()
    }

    /// Asks for at most [`MAX_BATCH`] requests at once, decided in their order: each sees what
    /// those before it took. One verdict for each, in the same order.
    ///
    /// # Errors
    /// As for [`Self::check`], for all of them together.
    pub async fn check_batch(
        &self,
        requests: &[Request],
        within: Duration,
    ) -> Result<Vec<Verdict>, CheckError> {
        if requests.len() > MAX_BATCH {
            return Err(CheckError::BatchTooLong { checks: requests.len() });
        }
        let checks = requests.iter().map(|request| request.as_message().clone()).collect();
        let message = with_deadline(v1::CheckBatchRequest { checks }, within)?;
        let mut inner = self.inner.clone();
        let answer = bounded(inner.check_batch(message), within).await?;
        if answer.responses.len() != requests.len() {
            let (got, asked) = (answer.responses.len(), requests.len());
            let message = format!("{got} verdicts for {asked} checks");
            return Err(CheckError::BadAnswer { message });
        }
        answer.responses.into_iter().map(Verdict::try_from).collect()
    }
}

/// A message with the `grpc-timeout` that tells the service when nobody waits any more.
fn with_deadline<M: Message>(
    message: M,
    within: Duration,
) -> Result<tonic::Request<M>, CheckError> {
    let bytes = message.encoded_len();
    if bytes > MAX_REQUEST_BYTES {
        return Err(CheckError::TooLarge { bytes });
    }
    let mut request = tonic::Request::new(message);
    request.set_timeout(within);
    Ok(request)
}

/// Waits for the answer, no longer than `within`, whatever the transport does.
async fn bounded<M>(
    answer: impl Future<Output = Result<Response<M>, Status>>,
    within: Duration,
) -> Result<M, CheckError> {
    match tokio::time::timeout(within, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(CheckError::of(&status, within)),
        Err(_) => Err(CheckError::DeadlineExceeded { waited: within }),
    }
}
