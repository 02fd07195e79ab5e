//! The Sluicegate server and command line.

pub mod call;
pub mod cli;
pub mod clock;
pub mod doors;
pub mod geography;
mod instant;
pub mod lifecycle;
pub mod limiter;
pub mod metrics;
mod origin;
mod output;
pub mod random;
pub mod record;
pub mod reload;
mod replay;
pub mod reservation;
mod reveal;
pub mod server;
pub mod settings;
mod shell;
pub mod store;
pub mod telemetry;
