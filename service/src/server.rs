//! The listeners and the threads behind them: one acceptor deals connections to one
//! single-threaded runtime per core.
//!
//! A single-threaded runtime needs 40 % less CPU for a call than a shared one, and the acceptor
//! spreads connections evenly where the kernel would not (see `docs/performance.md`). A connection
//! stays on its core; what cores share is behind locks of its own.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use socket2::{Domain, Socket, Type};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc};

use crate::lifecycle::Lifecycle;
use crate::metrics::{ListenerMetrics, Metrics};
use crate::settings::{Listener, Listeners};

mod accept;
mod arriving;
mod bounds;
mod budget;
mod connection;
mod dialogue;
mod entry;
mod files;
mod head;
mod io_watch;
mod lingering;
mod strangers;

use accept::Accepted;
use bounds::Bounds;
use budget::Budget;
pub use entry::Entry;
pub use files::raise_limit;
use strangers::Strangers;

/// How many connections may wait in the kernel until they are accepted.
const BACKLOG: i32 = 1_024;

/// What answers the requests of one core.
#[derive(Clone, Debug)]
pub struct Routers {
    /// The gRPC listener: HTTP/2 without TLS.
    pub grpc: axum::Router,
    /// The HTTP listener: HTTP/1.1.
    pub http: axum::Router,
    /// The headers that the gRPC doors read. Of a large head all others are dropped at once.
    pub grpc_headers: &'static [HeaderName],
}

/// An address could not be listened on.
#[derive(Debug)]
pub struct BindError {
    listener: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Both listeners, bound and not yet accepting.
#[derive(Debug)]
pub struct Server {
    grpc: Bound,
    http: Bound,
}

/// A server that accepts. Dropping it stops nothing: it ends with its [`Lifecycle`].
#[derive(Debug)]
pub struct Running {
    /// Nothing is ever sent: it closes when the last thread has ended.
    alive: mpsc::Receiver<()>,
}

/// Which protocol a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// HTTP/1.1.
    Http,
}

/// One listener.
#[derive(Debug)]
struct Bound {
    socket: TcpListener,
    address: SocketAddr,
    entrance: Arc<Entrance>,
}

/// What the connections of one listener share.
#[derive(Debug)]
struct Entrance {
    protocol: Protocol,
    listener: Listener,
    /// The bounds of a trusted peer's connection.
    trusted: Bounds,
    /// One permit for each connection of trusted peers that may be open.
    free: Arc<Semaphore>,
    strangers: Arc<Strangers>,
    /// How long a connection may be idle between requests, where it is one of HTTP/1.1.
    idle_timeout: Duration,
    /// Shared by all listeners.
    budget: Arc<Budget>,
    metrics: ListenerMetrics,
}

impl Server {
    /// Takes both addresses. Callers can connect from now on; they are answered once
    /// [`Self::start`] runs.
    ///
    /// # Errors
    /// Where an address cannot be listened on.
    pub fn bind(listeners: &Listeners, metrics: &Metrics) -> Result<Self, BindError> {
        let budget = Arc::new(Budget::new(listeners.budget));
        let bind = |protocol, listener: &Listener, metrics: &ListenerMetrics| {
            let entrance = Entrance {
                protocol,
                listener: listener.clone(),
                trusted: Bounds::trusted(listener, listeners.max_streams),
                free: Arc::new(Semaphore::new(listener.max_connections)),
                strangers: Arc::default(),
                idle_timeout: listeners.idle_timeout,
                budget: Arc::clone(&budget),
                metrics: metrics.clone(),
            };
            Bound::new(entrance)
        };
        let grpc = bind(Protocol::Grpc, &listeners.grpc, &metrics.grpc)?;
        let http = bind(Protocol::Http, &listeners.http, &metrics.http)?;
        Ok(Self { grpc, http })
    }

    /// The address of the gRPC listener, its port too where 0 was asked for.
    #[must_use]
    pub const fn grpc_address(&self) -> SocketAddr {
        self.grpc.address
    }

    /// The address of the HTTP listener, its port too where 0 was asked for.
    #[must_use]
    pub const fn http_address(&self) -> SocketAddr {
        self.http.address
    }

    /// Starts the acceptor and `threads` cores. `routers` is called once on each core, inside its
    /// runtime, with the number of the core.
    ///
    /// # Errors
    /// Where the system gives no thread, no poll handle or no memory for them.
    pub fn start<F>(
        self,
        threads: NonZeroUsize,
        lifecycle: &Lifecycle,
        routers: F,
    ) -> io::Result<Running>
    where
        F: Fn(usize) -> Routers + Send + Sync + 'static,
    {
        let (alive, running) = mpsc::channel(1);
        let routers = Arc::new(routers);
        let mut cores = Vec::new();
        for core in 0..threads.get() {
            // Bounded by the places of the listeners: each waiting connection has one.
            let (deal, dealt) = mpsc::unbounded_channel();
            cores.push(deal);
            let (routers, lifecycle) = (Arc::clone(&routers), lifecycle.clone());
            spawn(format!("core-{core}"), alive.clone(), async move {
                serve_core(dealt, routers(core), &lifecycle).await;
            })?;
        }
        let lifecycle = lifecycle.clone();
        spawn("acceptor".to_owned(), alive, async move {
            let grpc = accept::run(&self.grpc, &cores, &lifecycle);
            let http = accept::run(&self.http, &cores, &lifecycle);
            tokio::join!(grpc, http);
        })?;
        Ok(Running { alive: running })
    }
}

impl Running {
    /// Resolves when the listeners are closed and every connection has ended: after
    /// [`Phase::Closing`](crate::lifecycle::Phase::Closing) once all is answered, after `Ending`
    /// at once.
    pub async fn closed(&mut self) {
        let _ = self.alive.recv().await;
    }
}

impl Bound {
    fn new(entrance: Entrance) -> Result<Self, BindError> {
        let asked = entrance.listener.address;
        let listener = entrance.protocol.listener();
        let (socket, address) =
            listen(asked).map_err(|source| BindError { listener, address: asked, source })?;
        Ok(Self { socket, address, entrance: Arc::new(entrance) })
    }
}

impl Protocol {
    /// The name of its listener in the settings.
    const fn listener(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listener, address, source } = self;
        write!(f, "listeners.{listener}.address: cannot listen on {address}: {source}")
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait until the kernel has forgotten the old connections.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from(socket);
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// Ten percent more or less, so that connections of one moment do not all return in one moment.
fn with_jitter(age: Duration) -> Duration {
    age.mul_f64(0.9 + 0.2 * fastrand::f64())
}

/// Runs a future on a thread and a runtime of its own; `alive` is let go when both have ended.
fn spawn<F>(name: String, alive: mpsc::Sender<()>, work: F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime: Runtime = Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name).spawn(move || {
        runtime.block_on(work);
        // Requests of connections that were cut are still tasks of the runtime: they end here.
        drop(runtime);
        drop(alive);
    })?;
    Ok(())
}

/// Serves the connections dealt to one core until there will be no more and all have ended.
async fn serve_core(
    mut dealt: mpsc::UnboundedReceiver<Accepted>,
    routers: Routers,
    lifecycle: &Lifecycle,
) {
    let mut open = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = dealt.recv() => match accepted {
                Some(accepted) => {
                    open.spawn(connection::serve(accepted, routers.clone(), lifecycle.subscribe()));
                }
                None => break,
            },
            Some(_) = open.join_next() => {}
        }
    }
    while open.join_next().await.is_some() {}
}
