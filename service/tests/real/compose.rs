//! Reads docker-compose.yml: what it mounts exists, containers are bounded and see their own
//! secrets alone, the gateway alone is trusted, and every command line is accepted.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use serde_json::{Value, json};
use sluicegate::settings::{Overrides, load};

use crate::calls::until;
use crate::compose_file::{Service, below, file, service, services};
use crate::gate::Gate;
use crate::process::{Process, folder, part, repository};
use crate::valkey::Valkey;

fn running<'a>(program: &'a str) -> impl Fn(&Service) -> bool + 'a {
    move |service| service.command[0] == program
}

#[test]
fn every_file_and_name_that_it_uses_exists() {
    let compose = file();
    let services = services();
    for (from, to) in services.iter().flat_map(|s| &s.mounts) {
        assert!(from.is_file(), "{} for {to}", from.display());
    }
    let declared = |section: &str, name: &str| compose[section].get(name).is_some();
    for service in &services {
        let raw = &compose["services"][&service.name];
        for volume in service.volumes.keys() {
            assert!(declared("volumes", volume), "{volume}");
        }
        for network in networks(raw) {
            assert!(declared("networks", &network), "{network}");
        }
        if raw.get("build").is_some() {
            assert!(repository("Dockerfile").is_file());
        }
    }
    assert_eq!(services.iter().filter(|s| running("sluicegate")(s)).count(), 3);
}

/// The networks of a service, listed or mapped.
fn networks(service: &Value) -> Vec<String> {
    match &service["networks"] {
        Value::Array(names) => names.iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
        Value::Object(networks) => networks.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_container_is_bounded_and_has_no_rights() {
    let compose = file();
    for (name, service) in compose["services"].as_object().unwrap() {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(service.get("cap_add"), None, "{name}");
        assert_eq!(service.get("privileged"), None, "{name}");
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{name}");
        assert!(service["mem_limit"].as_str().unwrap().ends_with(['m', 'g']), "{name}");
        assert!((1..=1_000).contains(&service["pids_limit"].as_u64().unwrap()), "{name}");
        // More than the connections of both doors at their defaults.
        assert!(service["ulimits"]["nofile"].as_u64().unwrap() > 20_000, "{name}");
        // Nothing that is mounted can be written but the counters and, once, the secrets.
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().unwrap();
            let written = volume == "counters:/data" || name == "secrets" && !volume.contains("./");
            assert_eq!(volume.ends_with(":ro"), !written, "{name}: {volume}");
        }
    }
}

#[test]
fn each_service_sees_its_own_secrets_and_no_other() {
    let folder = folder("compose-secrets");
    let secrets = service("secrets");
    secrets.lay_out(&folder);
    let make = || secrets.command_in(&folder, Path::new("/bin/sh")).status().unwrap().success();
    assert!(make());
    let read = |path: &str| std::fs::read_to_string(below(&folder, path)).unwrap();
    let files = |service: &Service| -> BTreeSet<String> {
        let folders = service.volumes.iter().filter(|(name, _)| *name != "counters");
        let names = folders.flat_map(|(_, to)| std::fs::read_dir(below(&folder, to)).unwrap());
        names.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    };
    for service in services().iter().filter(|service| service.name != "secrets") {
        let expected: &[&str] = match service.command[0].as_str() {
            "sluicegate" => &["key-secret", "store-password"],
            "valkey-server" => &["users.acl"],
            _ => &[],
        };
        let expected = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(files(service), expected, "{}", service.name);
        for network in networks(&file()["services"][&service.name]) {
            assert!(network != "host" && network != "none", "{}", service.name);
        }
    }
    // What Valkey reads gives nobody the password, let alone the key secret.
    let (password, key) =
        (read("/replica-secrets/store-password"), read("/replica-secrets/key-secret"));
    let users = read("/valkey-secrets/users.acl");
    assert!(password.len() >= 64 && key.len() >= 64 && password != key);
    assert!(!users.contains(&password) && !users.contains(&key), "{users}");
    // A second start keeps them; where the password is gone both sides get a new one.
    assert!(make());
    assert_eq!(read("/replica-secrets/key-secret"), key);
    assert_eq!(read("/valkey-secrets/users.acl"), users);
    std::fs::remove_file(below(&folder, "/replica-secrets/store-password")).unwrap();
    assert!(make());
    assert_eq!(read("/replica-secrets/key-secret"), key);
    assert_ne!(read("/valkey-secrets/users.acl"), users);
}

#[test]
fn the_gateway_alone_is_trusted() {
    let compose = file();
    let network = |service: &Value| service["networks"]["decisions"]["ipv4_address"].clone();
    let envoy: IpAddr = network(&compose["services"]["envoy"]).as_str().unwrap().parse().unwrap();
    let addresses = &compose["networks"]["decisions"]["ipam"]["config"][0];
    let net = |key: &str| addresses[key].as_str().unwrap().parse::<IpNet>().unwrap();
    let (subnet, given) = (net("subnet"), net("ip_range"));
    assert!(subnet.contains(&given) && subnet.contains(&envoy));
    assert!(!given.contains(&envoy), "Docker may give the address of Envoy to somebody else");
    let settings = load(&Overrides {
        file: Some(repository("deploy/envoy/sluicegate.yaml")),
        store: Some("memory".to_owned()),
        environment: Some(std::iter::empty::<(String, String)>().collect()),
        ..Overrides::default()
    })
    .unwrap();
    let doors = [&settings.listeners.grpc, &settings.listeners.http];
    assert!(doors[0].trusts(envoy));
    for address in subnet.hosts().filter(|address| *address != envoy) {
        assert!(doors.iter().all(|door| !door.trusts(address)), "{address}");
    }
}

#[test]
fn the_access_list_of_valkey_is_the_documented_one() {
    let read = |file: &str| std::fs::read_to_string(repository(file)).unwrap();
    let script = read("deploy/compose/make-secrets.sh");
    let value = |name: &str| {
        let line = script.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches('"').to_owned()
    };
    let rights = format!("{} -@all {}", value("keys="), value("commands="));
    let page = read("docs/store.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains(&rights), "{rights}");
}

#[test]
fn envoy_accepts_its_command_lines() {
    let envoy = part("SLUICEGATE_ENVOY", "envoy-1.40.0/envoy");
    let folder = folder("compose-envoy");
    let mut count = 0;
    for service in services().into_iter().filter(running("envoy")) {
        service.lay_out(&folder);
        let mut command = service.command_in(&folder, &envoy);
        let output = command.args(["--mode", "validate"]).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", service.name);
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn valkey_accepts_its_command_line() {
    let folder = folder("compose-valkey");
    let secrets = service("secrets");
    secrets.lay_out(&folder);
    let made = secrets.command_in(&folder, Path::new("/bin/sh")).status().unwrap();
    assert!(made.success());
    let valkey = service("valkey");
    valkey.lay_out(&folder);
    let program = part("SLUICEGATE_VALKEY", "valkey-9.1.2.post2/valkey-server");
    let mut command = valkey.command_in(&folder, &program);
    // The volumes of the container are folders here, and no port is taken.
    command.arg("--aclfile").arg(folder.join("valkey-secrets/users.acl")).arg("--dir").arg(&folder);
    command.args(["--port", "0", "--unixsocket"]).arg("compose.sock").current_dir(&folder);
    let server = Process::start("valkey", &mut command);
    server.wait_for("readiness", |line| line.contains("Ready to accept").then_some(()));
}

#[tokio::test]
async fn sluicegate_accepts_its_command_lines_and_ends_when_it_is_told_to() {
    let folder = folder("compose-sluicegate");
    let store = Valkey::start(&folder);
    let program = Path::new(env!("CARGO_BIN_EXE_sluicegate"));
    for service in services().into_iter().filter(running("sluicegate")) {
        service.lay_out(&folder);
        let mut gate = Gate::start(service.command_in(&folder, program), &store, 8).await;
        gate.process.signal("TERM");
        let status = until("end", || std::future::ready(gate.process.ended())).await;
        assert!(status.success(), "{}: {status}", service.name);
    }
}
