//! Random and mutated messages at each door of a running server, header blocks through a gateway,
//! and broken policy files.
//!
//! Every message is answered or its connection is closed; nothing panics, nothing exits, and the
//! memory of the server stays what it was after the first tenth. `cargo xtask fuzz` runs it with
//! more messages; `SLUICEGATE_FUZZ_SEED` repeats a run.

use sluicegate_limits::policy::{Policy, SourceFile};

use crate::blocks;
use crate::fuzzed::{Door, Server, examples, resident_kib};
use crate::generate::Generator;
use crate::tracers::TRACERS;

/// The most that resident memory may grow after the first tenth, in KiB.
const MAX_GROWTH_KIB: u64 = 64 * 1024;
/// One policy file in this many is also given to a running server.
const RELOADED: usize = 50;

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn messages() -> usize {
    usize::try_from(setting("SLUICEGATE_FUZZ_MESSAGES", 1_000)).unwrap()
}

fn seed() -> u64 {
    let seed = setting("SLUICEGATE_FUZZ_SEED", fastrand::u64(..));
    println!("SLUICEGATE_FUZZ_SEED={seed}");
    seed
}

/// Sends a tenth, measures, sends the rest, and measures again.
async fn fuzz(door: Door) {
    let server = Server::start(door.name()).await;
    let seed = seed();
    let tenth = messages() / 10;
    door.send(&server, seed, tenth).await;
    let before = resident_kib(server.id());
    door.send(&server, seed.wrapping_add(1), messages() - tenth).await;
    let growth = resident_kib(server.id()).saturating_sub(before);
    println!("{}: {} messages, resident memory grew {growth} KiB", door.name(), messages());
    server.is_well().await;
    assert!(growth < MAX_GROWTH_KIB, "resident memory grew {growth} KiB");
}

#[tokio::test]
async fn the_native_door_answers_or_closes() {
    fuzz(Door::Native).await;
}

#[tokio::test]
async fn the_door_of_envoy_answers_or_closes() {
    fuzz(Door::ExtAuthz).await;
}

#[tokio::test]
async fn the_http_door_answers_or_closes() {
    fuzz(Door::Http).await;
}

/// Every tracer of Envoy, both rules for failures, both versions of HTTP.
#[tokio::test]
async fn no_header_block_passes_a_limit_or_breaks_the_gateways_connection() {
    for tracer in TRACERS {
        blocks::fuzz(tracer, seed(), setting("SLUICEGATE_FUZZ_BLOCKS", 32)).await;
    }
}

#[tokio::test]
async fn policy_files_compile_or_say_why_and_stop_no_server() {
    let files = usize::try_from(setting("SLUICEGATE_FUZZ_FILES", 100)).unwrap();
    let mut generator = Generator::new(seed());
    let server = Server::start("policies").await;
    let examples = examples();
    let (mut compiled, mut before) = (0, [0, 0]);
    for number in 0..files {
        let text = generator.policy(&examples);
        if number % RELOADED == 0 {
            server.replace_limits(&text);
        }
        let file = SourceFile { name: "fuzz.yaml".to_owned(), text };
        match Policy::compile(&[file]) {
            Ok(_) => compiled += 1,
            Err(problems) => assert!(!problems.is_empty(), "a refusal says why"),
        }
        if number == files / 10 {
            before = [resident_kib(std::process::id()), resident_kib(server.id())];
        }
    }
    println!("{files} files, {compiled} of them compile");
    server.is_well().await;
    for (id, before) in [std::process::id(), server.id()].into_iter().zip(before) {
        let growth = resident_kib(id).saturating_sub(before);
        println!("resident memory grew {growth} KiB");
        assert!(growth < MAX_GROWTH_KIB, "resident memory grew {growth} KiB");
    }
}
