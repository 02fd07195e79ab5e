//! Floods by clients and by strangers, in short; `cargo xtask floods` runs them in full.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sluicegate_proto::v1::CheckRequest;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::calls::{call, until};
use crate::crowd::{LIMIT, Neighbour, Told, World};
use crate::envoy::client;
use crate::fuzzed::{Server, resident_kib};
use crate::http2::{Frame, PREFACE, Raw, SETTINGS, connect_from};
use crate::shared::{ask, connection};

/// How much of each flood.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// Requests that are aborted in a second, and for how many seconds.
    aborts: u32,
    seconds: u32,
    /// Times that 10 connections ask 100 requests each at once.
    bursts: u32,
    /// Connections of strangers who greet and say nothing more.
    silent: u32,
    /// Connections of strangers with as many heads of requests, and the bytes of each.
    talking: u32,
    heads: u32,
    head_bytes: usize,
}

const SHORT: Form = Form {
    aborts: 1_500,
    seconds: 2,
    bursts: 1,
    silent: 1_000,
    talking: 60,
    heads: 64,
    head_bytes: 7_000,
};
const FULL: Form = Form {
    aborts: 5_000,
    seconds: 10,
    bursts: 5,
    silent: 10_000,
    talking: 600,
    heads: 256,
    head_bytes: 15_000,
};

/// The most that a flood of strangers may cost, in KiB.
const MAX_GROWTH_KIB: u64 = 64 * 1024;
/// Requests of one connection: Envoy ends one with very many that are given up at once.
const MAX_PER_CONNECTION: u32 = 250;

fn form() -> Form {
    let full = std::env::var_os("SLUICEGATE_FLOODS").is_some_and(|form| form == "full");
    if full { FULL } else { SHORT }
}

/// Asks and gives up at once, again and again.
async fn abort(to: SocketAddr, from: IpAddr, mut count: u32) {
    while count > 0 {
        let now = count.min(MAX_PER_CONNECTION);
        let mut raw = Raw::connect_from(from, to).await;
        let pair = |n| [Frame::get(2 * n + 1, "/v1/reports"), Frame::reset(2 * n + 1)];
        raw.send((0..now).flat_map(pair)).await;
        // Envoy may end the connection for it, which is an end too.
        raw.send([Frame::ping()]).await;
        while raw.next().await.is_some_and(|frame| !frame.is_pong()) {}
        count -= now;
    }
}

#[tokio::test]
async fn aborted_requests_are_noticed_by_nobody_and_pass_no_limit() {
    let form = form();
    for allow in [false, true] {
        let world = World::start("aborts", allow, |text| text).await;
        let neighbour = Neighbour::start(&world);
        let (to, from) = (world.gateway().address, client(2));
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..form.seconds * 10 {
            tick.tick().await;
            abort(to, from, form.aborts / 10).await;
        }
        let mut told = Told::default();
        for _ in 0..2 * LIMIT {
            told.add(world.get(from, &[]).await);
        }
        told.no_error();
        assert!(told.passed <= LIMIT, "{told:?}");
        let aborted = world.gateway().statistic("cluster.sluicegate.upstream_rq_tx_reset").await;
        let asked = neighbour.noticed_nothing().await;
        println!("{aborted} calls were reset, {asked} of the neighbour passed");
        assert!(aborted > u64::from(form.aborts * form.seconds / 2), "{aborted}");
        world.gateway().no_connection_broke().await;
    }
}

#[tokio::test]
async fn bursts_of_a_thousand_requests_are_answered_and_pass_no_limit() {
    let form = form();
    for allow in [false, true] {
        let world = World::start("bursts", allow, |text| text).await;
        let neighbour = Neighbour::start(&world);
        let (mut told, mut asked) = (Told::default(), 0);
        for _ in 0..form.bursts {
            let mut asking = JoinSet::new();
            for _ in 0..10 {
                let sender = connection(client(2), world.gateway().address).await;
                for _ in 0..100 {
                    asking.spawn(ask(sender.clone()));
                    asked += 1;
                }
            }
            asking.join_all().await.into_iter().for_each(|answer| told.add(Told::of(answer)));
        }
        told.within_the_limit(asked);
        neighbour.noticed_nothing().await;
        world.gateway().no_connection_broke().await;
    }
}

/// An address that the server under fire does not trust: a few hundred of them.
fn stranger(number: u32) -> IpAddr {
    let [.., high, low] = (number % 500).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low.max(1)).into()
}

/// Fails unless trusted peers are answered at both doors, and strangers get their probe.
async fn all_is_well(server: &Server) {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.grpc));
    let mut peer = SluicegateClient::new(endpoint.unwrap().connect().await.unwrap());
    let answer = peer.check(CheckRequest::default()).await.unwrap().into_inner();
    assert!(answer.allowed, "{answer:?}");
    server.is_well().await;
    let livez = call(stranger(499), server.http, "GET", "/livez", &[]).await.unwrap();
    assert_eq!(livez.status, 200, "{livez:?}");
}

/// The files that a process has open.
fn files(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

#[tokio::test]
async fn strangers_who_sit_there_take_no_files_and_no_places() {
    let form = form();
    let server = Server::start_trusting("silent", "127.0.0.0/16").await;
    let before = files(server.id());
    let greeting = [PREFACE, &[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]].concat();
    let mut sitting: Vec<TcpStream> = Vec::new();
    for number in 0..form.silent {
        let to = if number % 2 == 0 { server.grpc } else { server.http };
        let mut stream = connect_from(stranger(number), to).await;
        // Who is closed at once may see it here.
        let _ = stream.write_all(&greeting).await;
        sitting.push(stream);
        // A test may have fewer files than there are strangers.
        if sitting.len() == 500 {
            all_is_well(&server).await;
            sitting.drain(..250);
        }
    }
    let open = files(server.id()).saturating_sub(before);
    println!("{} connections of strangers, {open} files", form.silent);
    // 64 places at each listener, and a few who have not left yet.
    assert!(open <= 2 * 2 * 64, "{open}");
    all_is_well(&server).await;
}

#[tokio::test]
async fn strangers_who_talk_take_little_memory() {
    let form = form();
    let server = Server::start_trusting("talking", "127.0.0.0/16").await;
    all_is_well(&server).await;
    let before = resident_kib(server.id());
    let large = "h".repeat(form.head_bytes);
    let mut talking = Vec::new();
    for number in 0..form.talking {
        let mut raw = Raw::connect_from(stranger(number), server.grpc).await;
        // Bodies that do not come would keep the heads.
        for stream in (0..form.heads).map(|n| 2 * n + 1) {
            raw.send(Frame::heads(stream, "/grpc.health.v1.Health/Check", &[("x", &large)])).await;
        }
        talking.push(raw);
        if talking.len() == 500 {
            talking.drain(..250);
        }
    }
    all_is_well(&server).await;
    let growth = resident_kib(server.id()).saturating_sub(before);
    println!("{} connections with {} heads: {growth} KiB", form.talking, form.heads);
    assert!(growth < MAX_GROWTH_KIB, "resident memory grew {growth} KiB");
    drop(talking);
    until("calm", || async { (files(server.id()) < 100).then_some(()) }).await;
}
