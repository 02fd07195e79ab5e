//! Measures what a call costs the server at saturation, beside what it costs a bare tonic service
//! that answers the same message: the two are measured in turn, on the same machine, by the same
//! callers.

mod process;
mod scenario;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use sluicegate_proto::ext_authz::authorization_client::AuthorizationClient;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use tonic::transport::Endpoint;

use crate::caller::{Caller, Door, ext_authz, native};
use crate::cli::Compare;
use crate::load::{self, Pace, Plan};
use process::{Process, Usage};
use scenario::{SCENARIOS, Scenario};

const WARM_UP: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(5);

/// What one measurement of one server has shown, for each call.
#[derive(Clone, Copy, Debug)]
struct Cost {
    calls_per_second: f64,
    cpu_us: f64,
    store_us: f64,
    writes: f64,
    store_writes: f64,
    degraded_share: f64,
}

/// Where the programs are, and where their files go.
struct Parts {
    sluicegate: PathBuf,
    valkey: PathBuf,
    folder: PathBuf,
}

/// The processes of one scenario.
struct Rig {
    service: Process,
    bare: Process,
    store: Option<Process>,
    service_callers: Vec<Caller>,
    bare_callers: Vec<Caller>,
}

/// Runs every scenario that was asked for and prints a table.
pub(crate) fn run(compare: &Compare) -> Result<(), Box<dyn Error>> {
    let parts = Parts::find(compare)?;
    std::fs::create_dir_all(&parts.folder)?;
    let outcome = table(compare, &parts);
    std::fs::remove_dir_all(&parts.folder)?;
    outcome
}

fn table(compare: &Compare, parts: &Parts) -> Result<(), Box<dyn Error>> {
    let (rounds, seconds) = (compare.rounds, compare.seconds);
    println!(
        "{rounds} rounds of {seconds} s each, {} connections, {} calls in flight; medians, the\n\
         range of the ratio in brackets\n\n\
         {:<22} {:<10} {:>8} {:>9} {:>9} {:>9} {:>7} {:>13} {:>7} {:>7}",
        compare.connections,
        compare.in_flight,
        "scenario",
        "door",
        "calls/s",
        "bare µs",
        "server µs",
        "store µs",
        "× bare",
        "(range)",
        "writes",
        "× bare",
    );
    for scenario in SCENARIOS.iter().filter(|s| s.name.contains(&compare.only)) {
        for &door in scenario.doors {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(one(compare, parts, scenario, door))?;
        }
    }
    Ok(())
}

/// Measures one scenario through one door and prints its line.
async fn one(
    compare: &Compare,
    parts: &Parts,
    scenario: &Scenario,
    door: Door,
) -> Result<(), Box<dyn Error>> {
    let rig = parts.start(scenario, door, compare.connections).await?;
    let mut plan = Plan {
        shape: scenario.shape(),
        pace: Pace::Closed { callers: compare.in_flight },
        warm_up: WARM_UP,
        duration: Duration::ZERO,
        deadline: DEADLINE,
        progress: false,
    };
    load::run(&rig.bare_callers, &plan).await;
    load::run(&rig.service_callers, &plan).await;
    (plan.warm_up, plan.duration) = (Duration::ZERO, Duration::from_secs(compare.seconds));
    let (mut bare, mut service) = (Vec::new(), Vec::new());
    for _ in 0..compare.rounds {
        bare.push(measure(&rig.bare_callers, &plan, &rig.bare, None).await?);
        let store = rig.store.as_ref();
        service.push(measure(&rig.service_callers, &plan, &rig.service, store).await?);
    }
    print_line(scenario, door, &bare, &service);
    Ok(())
}

/// One measurement: all that the processes used while the calls were made, over the calls.
async fn measure(
    callers: &[Caller],
    plan: &Plan,
    server: &Process,
    store: Option<&Process>,
) -> Result<Cost, Box<dyn Error>> {
    let usage = || -> Result<_, Box<dyn Error>> {
        Ok((server.usage()?, store.map_or(Ok(Usage::default()), Process::usage)?))
    };
    let before = usage()?;
    let report = load::run(callers, plan).await;
    let after = usage()?;
    if let Some(error) = report.error {
        return Err(format!("{} of the calls failed: {error}", report.errors).into());
    }
    let calls = report.answers() as f64;
    let (server, store) = (after.0.since(before.0), after.1.since(before.1));
    Ok(Cost {
        calls_per_second: report.per_second(),
        cpu_us: server.cpu_ns as f64 / 1_000.0 / calls,
        store_us: store.cpu_ns as f64 / 1_000.0 / calls,
        writes: server.writes as f64 / calls,
        store_writes: store.writes as f64 / calls,
        degraded_share: report.degraded as f64 / calls,
    })
}

fn print_line(scenario: &Scenario, door: Door, bare: &[Cost], service: &[Cost]) {
    let of = |costs: &[Cost], get: fn(&Cost) -> f64| median(costs.iter().map(get).collect());
    // Each measurement over the one of the other server just before it.
    let pairs = || bare.iter().zip(service);
    let ratios: Vec<f64> = pairs().map(|(b, s)| (s.cpu_us + s.store_us) / b.cpu_us).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    let writes = |cost: &Cost| cost.writes + cost.store_writes;
    let write_ratio = median(pairs().map(|(b, s)| writes(s) / writes(b)).collect());
    let door = match door {
        Door::Native => "native",
        Door::ExtAuthz => "ext_authz",
    };
    println!(
        "{:<22} {:<10} {:>8.0} {:>9.2} {:>9.2} {:>9.2} {:>7.2} {:>13} {:>7.3} {:>7.2}",
        scenario.name,
        door,
        of(service, |cost| cost.calls_per_second),
        of(bare, |cost| cost.cpu_us),
        of(service, |cost| cost.cpu_us),
        of(service, |cost| cost.store_us),
        median(ratios),
        format!("({least:.2}-{most:.2})"),
        of(service, |cost| cost.writes + cost.store_writes),
        write_ratio,
    );
    let degraded = of(service, |cost| cost.degraded_share);
    if degraded > 0.0 {
        println!("  degraded: {:.2} % of the answers", degraded * 100.0);
    }
}

impl Parts {
    fn find(compare: &Compare) -> Result<Self, Box<dyn Error>> {
        let beside = std::env::current_exe()?.with_file_name("sluicegate");
        let named = std::env::var_os("SLUICEGATE_VALKEY").map(PathBuf::from);
        let fetched = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../target/parts/valkey-9.1.2.post2/valkey-server");
        let parts = Self {
            sluicegate: compare.sluicegate.clone().unwrap_or(beside),
            valkey: compare.valkey.clone().or(named).unwrap_or(fetched),
            folder: std::env::temp_dir().join(format!("sluicegate-compare-{}", std::process::id())),
        };
        if !parts.sluicegate.exists() {
            let path = parts.sluicegate.display();
            return Err(format!("no {path}: run `cargo build --release -p sluicegate`").into());
        }
        if !parts.valkey.exists() {
            let path = parts.valkey.display();
            return Err(format!("no Valkey at {path}: run `cargo xtask parts`").into());
        }
        Ok(parts)
    }

    /// Starts the service, asks it once through each door, and starts the bare service with these
    /// answers.
    async fn start(
        &self,
        scenario: &Scenario,
        door: Door,
        connections: u32,
    ) -> Result<Rig, Box<dyn Error>> {
        let store = match scenario.on_valkey {
            true => Some(Process::valkey(&self.valkey)?),
            false => None,
        };
        let port = store.as_ref().map(|(_, port)| *port);
        let (settings, limits) = (self.folder.join("sluicegate.yaml"), self.folder.join("l.yaml"));
        std::fs::write(&limits, scenario.limits)?;
        std::fs::write(&settings, scenario::settings(port))?;
        let (service, address) = Process::sluicegate(&self.sluicegate, &settings)?;
        let (native, ext_authz) = (self.folder.join("native"), self.folder.join("ext-authz"));
        self.record(scenario, &address, &native, &ext_authz).await?;
        let (bare, bare_address) = Process::bare(&native, &ext_authz)?;
        let callers = |address: &str| -> Result<Vec<Caller>, Box<dyn Error>> {
            (0..connections).map(|_| Caller::connect(door, address)).collect()
        };
        Ok(Rig {
            service,
            bare,
            store: store.map(|(store, _)| store),
            service_callers: callers(&address)?,
            bare_callers: callers(&bare_address)?,
        })
    }

    async fn record(
        &self,
        scenario: &Scenario,
        address: &str,
        native_file: &Path,
        ext_authz_file: &Path,
    ) -> Result<(), Box<dyn Error>> {
        let channel = Endpoint::from_shared(address.to_owned())?.connect().await?;
        let shape = scenario.shape();
        let request = native(&shape, 0).as_message().clone();
        let answer = SluicegateClient::new(channel.clone()).check(request).await?;
        std::fs::write(native_file, answer.get_ref().encode_to_vec())?;
        let request = ext_authz(&shape, 0);
        let answer = AuthorizationClient::new(channel).check(request).await?;
        std::fs::write(ext_authz_file, answer.get_ref().encode_to_vec())?;
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
