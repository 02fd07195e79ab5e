//! Writes a made-up log for `sluicegate replay`: `replay_log csv|envoy-json [LINES]`.
//!
//! A thousand requests a second of 10,000 tenants, some of them far busier than others; lines may
//! be late by up to two seconds. The same arguments write the same log.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// 2026-01-01 in milliseconds since 1970.
const START_MS: u64 = 1_767_225_600_000;
const TENANTS: u32 = 10_000;

/// One request of the log.
struct Request {
    at_ms: u64,
    tenant: u32,
    user: u32,
    method: &'static str,
    path: &'static str,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let format = arguments.next().unwrap_or_default();
    let lines = arguments.next().map_or(Some(1_000_000), |lines| lines.parse().ok());
    let (true, Some(lines)) = (matches!(&*format, "csv" | "envoy-json"), lines) else {
        eprintln!("usage: replay_log csv|envoy-json [LINES]");
        return ExitCode::from(2);
    };
    match write(&format, lines) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(format: &str, lines: u64) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut random = fastrand::Rng::with_seed(1);
    if format == "csv" {
        writeln!(out, "at,tenant_id,user_id,method,path,authenticated,ip_address")?;
    }
    for number in 0..lines {
        let request = Request::random(number, &mut random);
        if format == "csv" { request.csv(&mut out)? } else { request.envoy(&mut out)? }
    }
    out.flush()
}

impl Request {
    fn random(number: u64, random: &mut fastrand::Rng) -> Self {
        let late_ms = if number.is_multiple_of(10) { random.u64(0..2_000) } else { 0 };
        // The smaller of three: low numbers are busy.
        let tenant = (0..3).map(|_| random.u32(0..TENANTS)).min().unwrap_or(0);
        let (method, path) = match random.u8(0..100) {
            0..80 => ("GET", "/v1/items?page=2"),
            80..98 => ("POST", "/v1/search"),
            _ => ("POST", "/v1/reports/export"),
        };
        Self {
            at_ms: START_MS + number + 2_000 - late_ms,
            tenant,
            user: random.u32(0..50),
            method,
            path,
        }
    }

    fn csv(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { at_ms, tenant, user, method, path } = self;
        let (seconds, millis) = (at_ms / 1_000, at_ms % 1_000);
        let authenticated = user % 16 != 0;
        writeln!(
            out,
            "{seconds}.{millis:03},t{tenant},u{user},{method},{path},{authenticated},\
             203.0.113.{user}"
        )
    }

    /// The fields of Istio's JSON log, and a header for the tenant.
    fn envoy(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { at_ms, tenant, user, method, path } = self;
        let into = at_ms - START_MS;
        let (hours, minutes) = (into / 3_600_000 % 24, into / 60_000 % 60);
        let (seconds, millis) = (into / 1_000 % 60, into % 1_000);
        let day = 1 + into / 86_400_000 % 31;
        write!(
            out,
            "{{\"start_time\":\"2026-01-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.\
             {millis:03}Z\",\"method\":\"{method}\",\"path\":\"{path}\",\"protocol\":\"HTTP/1.1\","
        )?;
        write!(
            out,
            "\"response_code\":200,\"response_flags\":\"-\",\"response_code_details\":\
             \"via_upstream\",\"connection_termination_details\":null,\"bytes_received\":0,\
             \"bytes_sent\":1412,\"duration\":12,\"upstream_service_time\":\"11\","
        )?;
        write!(
            out,
            "\"x_forwarded_for\":\"203.0.113.{user}\",\"user_agent\":\"curl/8.5.0\",\"request_id\":\
             \"7f1c2a90-5b1e-4b55-9d3e-0a1b2c3d4e5f\",\"authority\":\"api.example.org\",\
             \"upstream_host\":\"10.0.0.7:8080\",\"upstream_cluster\":\"outbound|8080||api\","
        )?;
        writeln!(
            out,
            "\"downstream_remote_address\":\"203.0.113.{user}:40712\",\"route_name\":\"default\",\
             \"tenant_id\":\"t{tenant}\",\"user_id\":\"u{user}\"}}"
        )
    }
}
