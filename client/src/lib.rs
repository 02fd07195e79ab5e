//! The client of Sluicegate: asks the service whether a request may pass its limits, over native
//! gRPC, with a deadline for each call and typed verdicts.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use sluicegate_client::{CheckError, Client, Request, RetryAfter};
//!
//! # async fn export(client: &Client) -> Result<(), CheckError> {
//! let request = Request::new()
//!     .with("tenant_id", "acme")
//!     .with("method", "POST")
//!     .with("path", "/v1/reports/export")
//!     .with("authenticated", true);
//! let verdict = client.check(&request, Duration::from_millis(20)).await?;
//! if !verdict.allowed {
//!     match verdict.retry_after {
//!         RetryAfter::For(wait) => println!("try again in {wait} µs"),
//!         RetryAfter::Never => println!("this can never pass"),
//!         RetryAfter::None => println!("denied: {:?}", verdict.reason),
//!     }
//! }
//! # Ok(())
//! # }
//! # let client = Client::connect("http://127.0.0.1:8081");
//! ```
//!
//! A request whose cost is known only afterwards, as that of a language model, **reserves** an
//! estimate, extends it while it streams, and **settles** what it did cost:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use sluicegate_client::{CheckError, Client, Request, Tokens};
//!
//! const WITHIN: Duration = Duration::from_millis(20);
//! const LASTING: Option<Duration> = Some(Duration::from_secs(30));
//!
//! # struct Model;
//! # impl Model { async fn next(&mut self) -> Option<u64> { None } }
//! # async fn answer(client: &Client, mut model: Model) -> Result<(), CheckError> {
//! let request = Request::new()
//!     .with("tenant_id", "acme")
//!     .with("method", "POST")
//!     .with("path", "/v1/ai/chat")
//!     .costing(Tokens::new(2_000));
//! let grant = client.reserve(&request, LASTING, WITHIN).await?;
//! let Some(mut reservation) = grant.held else { return Ok(()) };
//! let mut used = 0;
//! while let Some(tokens) = model.next().await {
//!     used += tokens;
//!     if reservation.time_left() < Duration::from_secs(10) {
//!         reservation.extend(LASTING, WITHIN).await?;
//!     }
//!     if !reservation.is_live() {
//!         break;
//!     }
//! }
//! // Without an answer the same call may be made again: it is booked once.
//! let settled = reservation.settle(Tokens::new(used), WITHIN).await?;
//! println!("{} tokens above the estimate", settled.overrun);
//! # Ok(())
//! # }
//! ```
//!
//! A request that takes a place while it runs **holds** it: see [`Client::hold`] and [`Hold`].
//!
//! **Nothing is sent twice.** A check takes tokens, and one that timed out or lost its connection
//! may have taken them: sending it again could charge the request twice. So an error is an answer
//! that the caller has to decide on: let the request pass, or not.

mod clock;
mod error;
mod held;
mod remote;
mod request;
mod verdict;

pub use error::{CheckError, InvalidEndpoint};
pub use held::{Done, Grant, Hold, Reservation, Settled};
pub use remote::{Client, MAX_BATCH, MAX_REQUEST_BYTES};
pub use request::{Request, Value};
pub use sluicegate_limits::counter::Wait as RetryAfter;
pub use sluicegate_limits::policy::Mode;
pub use sluicegate_limits::time::{Micros, Tokens};
pub use sluicegate_limits::verdict::Reason as KnownReason;
pub use verdict::{LimitVerdict, Reason, Verdict};
