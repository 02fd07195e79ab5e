//! The acceptor: takes connections off a listener and deals them to the cores in turn. Here it is
//! known whether the caller is trusted, and each kind has places of its own.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;

use super::strangers::Stay;
use super::{BACKLOG, Bound, Entrance};
use crate::lifecycle::{Lifecycle, Phase};

/// How long the acceptor rests when the process has no file descriptor left: connections that end
/// meanwhile free some.
const REST: Duration = Duration::from_millis(100);

/// A connection on its way to a core.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) entrance: Arc<Entrance>,
    pub(super) place: Place,
}

/// One of the places for open connections; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    open: Gauge,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Trusted { _permit: OwnedSemaphorePermit },
    Stranger(Stay),
}

impl Place {
    /// A place of its kind for a caller; none where all of them are taken.
    fn take(entrance: &Entrance, peer: IpAddr) -> Option<Self> {
        let trusted = entrance.listener.trusts(peer);
        let metrics = &entrance.metrics;
        let metrics = if trusted { &metrics.trusted } else { &metrics.strangers };
        let held = if trusted {
            let permit = Arc::clone(&entrance.free).try_acquire_owned().ok();
            permit.map(|permit| Held::Trusted { _permit: permit })
        } else {
            entrance.strangers.admit(peer).map(Held::Stranger)
        };
        let Some(held) = held else {
            metrics.refused.inc();
            return None;
        };
        metrics.open.inc();
        Some(Self { open: metrics.open.clone(), held })
    }

    /// Whether it is one of those for trusted peers.
    pub(super) const fn is_trusted(&self) -> bool {
        matches!(self.held, Held::Trusted { .. })
    }

    /// Resolves when the place is needed for another, which a trusted peer's never is.
    pub(super) async fn told_to_leave(&mut self) {
        match &mut self.held {
            Held::Trusted { .. } => std::future::pending().await,
            Held::Stranger(stay) => stay.told_to_leave().await,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// Accepts until the process closes.
pub(super) async fn run(bound: &Bound, cores: &[UnboundedSender<Accepted>], lifecycle: &Lifecycle) {
    let listener = match bound.socket.try_clone().and_then(TcpListener::from_std) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, address = %bound.address, "cannot accept connections");
            return;
        }
    };
    let mut phase = lifecycle.subscribe();
    let mut turns = cores.iter().cycle();
    let mut resting = false;
    loop {
        let accepted = tokio::select! {
            _ = phase.wait_for(|phase| *phase >= Phase::Closing) => {
                return deal_the_last(bound, turns);
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                resting = false;
                // The core polls it with its own handle, so this runtime has to let it go.
                let dealt = turns.next().map(|core| deal(bound, stream.into_std()?, peer, core));
                if let Some(Err(error)) = dealt {
                    tracing::debug!(%error, "a connection was lost before it was served");
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !resting {
                    tracing::warn!(%error, address = %bound.address, "cannot accept for now");
                }
                resting = true;
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Who connected before the end is served like the others: the system has accepted them, and they
/// may have asked already.
fn deal_the_last<'c>(bound: &Bound, cores: impl Iterator<Item = &'c UnboundedSender<Accepted>>) {
    for core in cores.take(BACKLOG.unsigned_abs() as usize) {
        let Ok((stream, peer)) = bound.socket.accept() else { return };
        let dealt = stream.set_nonblocking(true).and_then(|()| deal(bound, stream, peer, core));
        if let Err(error) = dealt {
            tracing::debug!(%error, "a connection was lost before it was served");
        }
    }
}

/// Hands a connection to a core, or closes it where there is no place for it.
fn deal(
    bound: &Bound,
    stream: TcpStream,
    peer: SocketAddr,
    core: &UnboundedSender<Accepted>,
) -> io::Result<()> {
    let Some(place) = Place::take(&bound.entrance, peer.ip()) else { return Ok(()) };
    stream.set_nodelay(true)?;
    let accepted = Accepted { stream, entrance: Arc::clone(&bound.entrance), place };
    // A core ends only after the acceptor; a connection that finds none is closed by the drop.
    core.send(accepted).map_err(|_| io::ErrorKind::NotConnected.into())
}

/// Whether only the connection at hand failed, so that the next can be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
