//! The floor: a tonic service that answers both doors with the same message every time, on the
//! same threads and with the same connections as the service has: one acceptor that deals
//! connections to one single-threaded runtime per core.

use std::error::Error;
use std::io::{self, Read};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prost::Message;
use sluicegate_proto::ext_authz;
use sluicegate_proto::ext_authz::authorization_server::{Authorization, AuthorizationServer};
use sluicegate_proto::v1;
use sluicegate_proto::v1::sluicegate_server::{Sluicegate, SluicegateServer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::cli::Answers;

/// Answers everything with what it was given.
#[derive(Clone)]
struct Canned {
    native: v1::CheckResponse,
    ext_authz: ext_authz::CheckResponse,
}

#[tonic::async_trait]
impl Sluicegate for Canned {
    async fn check(
        &self,
        _: Request<v1::CheckRequest>,
    ) -> Result<Response<v1::CheckResponse>, Status> {
        Ok(Response::new(self.native.clone()))
    }

    async fn check_batch(
        &self,
        batch: Request<v1::CheckBatchRequest>,
    ) -> Result<Response<v1::CheckBatchResponse>, Status> {
        let responses = batch.get_ref().checks.iter().map(|_| self.native.clone()).collect();
        Ok(Response::new(v1::CheckBatchResponse { responses }))
    }

    async fn peek(
        &self,
        _: Request<v1::CheckRequest>,
    ) -> Result<Response<v1::CheckResponse>, Status> {
        Ok(Response::new(self.native.clone()))
    }

    async fn reserve(
        &self,
        _: Request<v1::ReserveRequest>,
    ) -> Result<Response<v1::ReserveResponse>, Status> {
        Err(only_checks())
    }

    async fn settle(
        &self,
        _: Request<v1::SettleRequest>,
    ) -> Result<Response<v1::SettleResponse>, Status> {
        Err(only_checks())
    }

    async fn hold(
        &self,
        _: Request<v1::HoldRequest>,
    ) -> Result<Response<v1::HoldResponse>, Status> {
        Err(only_checks())
    }

    async fn extend(
        &self,
        _: Request<v1::ExtendRequest>,
    ) -> Result<Response<v1::ExtendResponse>, Status> {
        Err(only_checks())
    }

    async fn release(
        &self,
        _: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseResponse>, Status> {
        Err(only_checks())
    }
}

fn only_checks() -> Status {
    Status::unimplemented("the floor answers checks alone")
}

#[tonic::async_trait]
impl Authorization for Canned {
    async fn check(
        &self,
        _: Request<ext_authz::CheckRequest>,
    ) -> Result<Response<ext_authz::CheckResponse>, Status> {
        Ok(Response::new(self.ext_authz.clone()))
    }
}

/// Serves on a free port of the loopback, prints it, and ends when standard input does.
pub(crate) fn serve(answers: &Answers) -> Result<(), Box<dyn Error>> {
    let canned = Canned {
        native: v1::CheckResponse::decode(std::fs::read(&answers.native)?.as_slice())?,
        ext_authz: ext_authz::CheckResponse::decode(std::fs::read(&answers.ext_authz)?.as_slice())?,
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    println!("http://{}", listener.local_addr()?);
    let cores = std::thread::available_parallelism()?.get();
    let cores = (0..cores).map(|_| core(canned.clone())).collect::<io::Result<Vec<_>>>()?;
    std::thread::spawn(move || accept(listener, &cores));
    // Whoever started this holds the other end.
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Deals connections to the cores in turn.
fn accept(
    listener: std::net::TcpListener,
    cores: &[mpsc::UnboundedSender<std::net::TcpStream>],
) -> Result<(), io::Error> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        for core in cores.iter().cycle() {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let stream = stream.into_std()?;
            core.send(stream).map_err(|_| io::ErrorKind::NotConnected)?;
        }
        Ok(())
    })
}

/// Starts a thread that serves what it is dealt.
fn core(canned: Canned) -> io::Result<mpsc::UnboundedSender<std::net::TcpStream>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (deal, mut dealt) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let routes = Routes::new(SluicegateServer::new(canned.clone()))
            .add_service(AuthorizationServer::new(canned));
        let router = routes.prepare().into_axum_router();
        runtime.block_on(async {
            while let Some(stream) = dealt.recv().await {
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    let io = TokioIo::new(TcpStream::from_std(stream)?);
                    let connection = http2_bounds().serve_connection(io, service);
                    connection.await.map_err(io::Error::other)
                });
            }
        });
    });
    Ok(deal)
}

/// The bounds of the service, as far as they shape the traffic.
fn http2_bounds() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_frame_size(16 * 1_024)
        .initial_stream_window_size(64 * 1_024)
        .initial_connection_window_size(1_024 * 1_024)
        .max_send_buf_size(64 * 1_024)
        .keep_alive_interval(Duration::from_secs(20));
    builder
}
