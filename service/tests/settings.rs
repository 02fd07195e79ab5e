//! Settings: every source, every problem at once, and nothing secret in any message.

#![cfg(test)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sluicegate::settings::{
    AddressSource, AttributeSource, Overrides, Reveal, Secret, Settings, SettingsError,
    StoreSettings, TrafficClass, Unmatched, load,
};
use sluicegate_limits::attributes::{PathSetting, Paths};
use sluicegate_limits::policy::{IpPrefix, OnStoreFailure};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("settings-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn with(name: &str, text: &str, environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let file = folder(name).join("sluicegate.yaml");
    fs::write(&file, text).unwrap();
    load(&Overrides { file: Some(file), environment: Some(map(environment)), ..none() })
}

fn none() -> Overrides {
    Overrides { environment: Some(HashMap::new()), ..Overrides::default() }
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// The text of the error, which must name the file.
fn refused(name: &str, text: &str) -> String {
    let error = with(name, text, &[]).expect_err(name).to_string();
    assert!(error.contains("sluicegate.yaml: "), "{error}");
    error
}

const ISSUE: &str = r#"
listeners:
  grpc: { address: "127.0.0.1:8081", trust: ["127.0.0.0/8"] }
  http: { address: "127.0.0.1:8080", trust: ["127.0.0.0/8"] }
limits: ["limits/"]
store: { url: "valkey://127.0.0.1:6379", username: gate, password_file: "store-password",
         key_secret_file: "key-secret" }
unmatched: allow
replicas: { count: 2, rank: 0 }
attributes:
  tenant_id:     { header: x-tenant-id }
  user_id:       { claim: sub }
  client_id:     { header: x-client-id }
  traffic_class: { context: traffic_class }
  authenticated: { present: tenant_id }
  request_size:  { transfer_encoding: X-Transfer-Encoding }
  ip_address:    { trusted_hops: 1 }
ip_prefix: { ipv4: 24, ipv6: 56 }
"#;

#[test]
fn the_form_of_the_documents_is_read_and_paths_begin_at_the_file() {
    let folder = folder("form");
    let file = folder.join("sluicegate.yaml");
    fs::write(&file, ISSUE).unwrap();
    fs::write(folder.join("store-password"), "hush\n").unwrap();
    fs::write(folder.join("key-secret"), "k".repeat(44) + "\n").unwrap();
    let settings = load(&Overrides { file: Some(file), ..none() }).unwrap();
    assert_eq!(settings.limits, [folder.join("limits/")]);
    let StoreSettings::Valkey(store) = &settings.store else { panic!("not shared") };
    assert_eq!(store.url.to_string(), "valkey://127.0.0.1:6379");
    assert_eq!(store.timeout, Duration::from_millis(8));
    assert_eq!(store.password.as_ref().unwrap().expose(), b"hush");
    assert_eq!(settings.key_secret.expose(), "k".repeat(44).as_bytes());
    assert_eq!((settings.replicas.count, settings.replicas.rank), (2, Some(0)));
    let source = |name: &str| settings.attributes[name].clone();
    assert_eq!(source("tenant_id"), AttributeSource::Header("x-tenant-id".into()));
    assert_eq!(source("authenticated"), AttributeSource::Present("tenant_id".into()));
    let copied_to = AttributeSource::TransferEncoding("x-transfer-encoding".into());
    assert_eq!(source("request_size"), copied_to);
    assert_eq!(settings.ip_address, Some(AddressSource::TrustedHops(1)));
    assert_eq!(settings.ip_prefix, IpPrefix::new(24, 56));
    assert!(settings.listeners.grpc.trusts("127.0.0.9".parse().unwrap()));
    assert!(!settings.listeners.grpc.trusts("::1".parse().unwrap()));
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = folder("order").join("sluicegate.yaml");
    let text = "unmatched: allow\nlimits: [a]\nreplicas: {count: 3}\nstore: memory\n";
    fs::write(&file, text).unwrap();
    let environment = map(&[
        ("SLUICEGATE__UNMATCHED", "deny"),
        ("SLUICEGATE__REPLICAS__COUNT", "4"),
        ("SLUICEGATE__LISTENERS__GRPC__ADDRESS", "127.0.0.1:1"),
        ("SLUICEGATE__LIMITS", "b.yaml, c.yaml"),
        ("SLUICEGATE__STORE__URL", "valkey://[::1]:7000"),
        ("SLUICEGATE__DEVELOPMENT", "true"),
        ("SLUICEGATE_VALKEY", "is no setting"),
    ]);
    let mut overrides = Overrides {
        file: Some(file),
        grpc_address: Some("127.0.0.1:2".into()),
        environment: Some(environment),
        ..Overrides::default()
    };
    let settings = load(&overrides).unwrap();
    assert_eq!(settings.unmatched, Unmatched::Deny);
    assert_eq!(settings.replicas.count, 4);
    assert_eq!(settings.listeners.grpc.address.port(), 2);
    assert_eq!(settings.limits, [PathBuf::from("b.yaml"), PathBuf::from("c.yaml")]);
    let StoreSettings::Valkey(store) = &settings.store else { panic!("not shared") };
    assert_eq!(store.url.to_string(), "valkey://[::1]:7000");
    assert!(settings.warnings.iter().any(|w| w.contains("development is true")));
    overrides.limits = vec!["d.yaml".into()];
    overrides.store = Some("memory".into());
    let settings = load(&overrides).unwrap();
    assert_eq!(settings.limits, [PathBuf::from("d.yaml")]);
    assert!(matches!(settings.store, StoreSettings::Memory));
}

#[test]
fn the_address_of_another_store_keeps_what_else_is_set_for_it() {
    let folder = folder("another");
    fs::write(folder.join("key-secret"), "k".repeat(44)).unwrap();
    let store = "{url: 'valkey://old:1', username: gate, key_secret_file: key-secret}";
    for text in [format!("store: {store}"), "{store: memory, development: true}".to_owned()] {
        fs::write(folder.join("sluicegate.yaml"), &text).unwrap();
        let mut overrides = Overrides {
            file: Some(folder.join("sluicegate.yaml")),
            store: Some("valkey://127.0.0.1:2".into()),
            environment: Some(map(&[("SLUICEGATE__STORE__TIMEOUT_MS", "50")])),
            ..Overrides::default()
        };
        let settings = load(&overrides).unwrap();
        let StoreSettings::Valkey(read) = &settings.store else { panic!("not shared") };
        assert_eq!(read.url.to_string(), "valkey://127.0.0.1:2");
        assert_eq!(read.timeout, Duration::from_millis(50));
        let mapped = text.contains(store);
        assert_eq!(read.username.is_some(), mapped);
        assert_eq!(settings.key_secret.expose() == "k".repeat(44).as_bytes(), mapped);
        overrides.store = Some("http://x".into());
        let error = load(&overrides).expect_err("no store").to_string();
        assert!(error.contains("command line: store.url: must be memory or"), "{error}");
    }
}

#[test]
fn an_unknown_setting_is_named_with_its_full_key() {
    let error = refused("unknown", "listeners: {grpc: {adress: '127.0.0.1:1'}}\nstor: memory");
    assert!(error.contains("listeners.grpc.adress: unknown setting"), "{error}");
    assert!(error.contains("did you mean `address`?"), "{error}");
    assert!(error.contains("stor: unknown setting"), "{error}");
    let environment = [("SLUICEGATE__STORE__TIMEOUT", "8"), ("SLUICEGATE__STORE__URL", "memory")];
    let error = with("environment", "{}", &environment).expect_err("unknown").to_string();
    assert!(error.contains("environment SLUICEGATE__STORE__TIMEOUT: store.timeout"), "{error}");
    assert!(error.contains("did you mean `timeout_ms`?"), "{error}");
    let error = with("section", "{}", &[("SLUICEGATE__STOR__URL", "x")]).expect_err("unknown");
    assert!(error.to_string().contains("environment SLUICEGATE__STOR: stor: "), "{error}");
}

#[test]
fn all_problems_are_reported_at_once() {
    let error = refused(
        "all",
        "listeners: {http: {address: here, trust: [everybody], max_connections: 0}}
unmatched: maybe
replicas: {count: 2, rank: 2}
attributes: {tenant_id: {header: 'a b'}, user_id: {}, path: {header: x}, a: {present: b},
  ip_address: {claim: ip}, c: {transfer_encoding: x-te},
  request_size: {transfer_encoding: ':'}}
ip_prefix: {ipv4: 7, ipv6: 129}
decision_records: {sampled_share: 1.5}
log: [1]
store: {url: 'http://x', timeout_ms: -1}
threads: many",
    );
    for key in [
        "listeners.http.address",
        "listeners.http.trust",
        "listeners.http.max_connections",
        "unmatched",
        "replicas.rank",
        "attributes.tenant_id.header",
        "attributes.user_id",
        "attributes.path",
        "attributes.ip_address",
        "attributes.ip_address.claim",
        "ip_prefix.ipv4",
        "ip_prefix.ipv6",
        "attributes.a.present",
        "attributes.c.transfer_encoding",
        "attributes.request_size.transfer_encoding",
        "decision_records.sampled_share",
        "log",
        "store.url",
        "store.timeout_ms",
        "threads",
    ] {
        assert!(error.contains(&format!(": {key}: ")), "{key} in\n{error}");
    }
}

#[test]
fn whose_address_a_request_has_is_a_word_or_one_source() {
    let of = |text: &str| {
        let text = format!("attributes: {{ ip_address: {text} }}");
        with("address", &text, &[]).map(|settings| settings.ip_address.unwrap())
    };
    let networks = |list: &[&str]| {
        AddressSource::TrustedProxies(list.iter().map(|net| net.parse().unwrap()).collect())
    };
    assert_eq!(with("address", "{}", &[]).unwrap().ip_address, None, "nobody says");
    for (text, source) in [
        ("peer", AddressSource::Peer),
        (
            "{ header: X-Envoy-External-Address }",
            AddressSource::Header("x-envoy-external-address".into()),
        ),
        ("{ trusted_hops: 1 }", AddressSource::TrustedHops(1)),
        ("{ trusted_hops: 32 }", AddressSource::TrustedHops(32)),
        ("{ trusted_proxies: ['10.0.0.0/8', '::1'] }", networks(&["10.0.0.0/8", "::1/128"])),
    ] {
        assert_eq!(of(text).unwrap(), source, "{text}");
    }
    for (text, key, what) in [
        ("pear", "ip_address", "did you mean `peer`?"),
        ("{}", "ip_address", "`peer`, or one of `header`, `trusted_hops`, `trusted_proxies`"),
        ("[peer]", "ip_address", "must be"),
        ("{ trusted_hops: 1, header: x-a }", "ip_address", "exactly one source"),
        ("{ trusted_hops: 0 }", "ip_address.trusted_hops", "from 1 to 32"),
        ("{ trusted_hops: 33 }", "ip_address.trusted_hops", "from 1 to 32"),
        ("{ header: 'a b' }", "ip_address.header", "not the name of a header"),
        ("{ header: X-Forwarded-For }", "ip_address.header", "use `trusted_hops` or"),
        ("{ trusted_proxies: [] }", "ip_address.trusted_proxies", "must list 1 to 256 networks"),
        ("{ trusted_proxies: [everybody] }", "ip_address.trusted_proxies", "must list networks"),
        ("{ trusted_hop: 1 }", "ip_address.trusted_hop", "did you mean `trusted_hops`?"),
    ] {
        let error = of(text).expect_err(text).to_string();
        assert!(error.contains(&format!(": attributes.{key}: ")), "{text}: {error}");
        assert!(error.contains(what), "{text}: {error}");
    }
    let environment = [
        ("SLUICEGATE__ATTRIBUTES__IP_ADDRESS__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7"),
        ("SLUICEGATE__IP_PREFIX__IPV6", "48"),
    ];
    let settings = with("address", "{}", &environment).unwrap();
    assert_eq!(settings.ip_address, Some(networks(&["10.0.0.0/8", "192.0.2.7/32"])));
    assert_eq!(settings.ip_prefix, IpPrefix::new(32, 48));
    let word = [("SLUICEGATE__ATTRIBUTES__IP_ADDRESS", "peer")];
    let settings = with("address", "{}", &word).unwrap();
    assert_eq!(settings.ip_address, Some(AddressSource::Peer));
}

#[test]
fn a_missing_secret_prints_the_command_that_makes_one() {
    let error =
        refused("secret", "store: {url: 'valkey://store:6379', key_secret_file: key-secret}");
    assert!(error.contains("store.key_secret_file: cannot read"), "{error}");
    assert!(error.contains("head -c 32 /dev/urandom | base64 > "), "{error}");
}

#[test]
fn no_store_gets_the_known_secret_unless_the_settings_say_so() {
    let stores =
        ["valkey://127.0.0.1:6379", "redis://localhost", "valkey://[::1]:1/2", "redis://a"];
    for (number, store) in stores.iter().enumerate() {
        let text = format!("store: '{store}'");
        for unset in ["", "\ndevelopment: false"] {
            let error = refused(&format!("none-{number}"), &format!("{text}{unset}"));
            assert!(error.contains("store.key_secret_file: is missing"), "{error}");
            let make = "head -c 32 /dev/urandom | base64 > key-secret";
            assert!(error.contains(make) && error.contains("`development: true`"), "{error}");
        }
        let development = format!("{text}\ndevelopment: true");
        let settings = with(&format!("development-{number}"), &development, &[]).unwrap();
        let warned = settings.warnings.iter().any(|w| w.contains("development is true"));
        assert!(warned, "{:?}", settings.warnings);
    }
    let folder = folder("own-secret");
    fs::write(folder.join("key-secret"), "k".repeat(44)).unwrap();
    let store = "{url: 'redis://localhost', key_secret_file: key-secret}";
    let text = format!("development: true\nstore: {store}");
    fs::write(folder.join("sluicegate.yaml"), text).unwrap();
    let file = Some(folder.join("sluicegate.yaml"));
    let settings = load(&Overrides { file, ..none() }).unwrap();
    assert_eq!(settings.key_secret.expose(), "k".repeat(44).as_bytes(), "one's own goes first");
}

#[test]
fn the_command_that_makes_a_secret_can_be_pasted() {
    let text = "store: {url: 'redis://a', key_secret_file: \"it's $(here)\"}";
    let error = refused("paste", text);
    let end = "it'\\''s $(here)'";
    assert!(error.contains("base64 > '/") && error.trim_end().ends_with(end), "{error}");
}

#[test]
fn credentials_in_a_url_are_used_and_never_shown() {
    let text = "{development: true, store: 'redis://gate:hush@localhost:1/3'}";
    let settings = with("url", text, &[]).unwrap();
    let StoreSettings::Valkey(store) = &settings.store else { panic!("not shared") };
    assert_eq!(store.url.to_string(), "valkey://localhost:1/3");
    assert_eq!(store.username.as_deref(), Some("gate"));
    assert_eq!(store.password.as_ref().unwrap().expose(), b"hush");
    assert!(!format!("{settings:?}").contains("hush"));
    let error = refused("bad-url", "store: {url: 'redis://gate:hush@localhost:none'}");
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn users_and_passwords_in_a_url_are_percent_decoded() {
    for (url, username, password) in [
        ("redis://ga%74e:p%40ss%2Fw%3ard%25@h", Some("gate"), Some("p@ss/w:rd%")),
        ("redis://:%C3%BC%20+@h", None, Some("\u{fc} +")),
        ("redis://a%3Ab:c@d:e@h", Some("a:b"), Some("c@d:e")),
        ("redis://only@h", Some("only"), None),
        ("redis://:@h", None, None),
    ] {
        let text = format!("{{development: true, store: '{url}'}}");
        let settings = with("decoded", &text, &[]).unwrap();
        let StoreSettings::Valkey(store) = &settings.store else { panic!("not shared") };
        let secret = |secret: &Secret| String::from_utf8(secret.expose().to_vec()).unwrap();
        assert_eq!(store.username.as_deref(), username, "{url}");
        assert_eq!(store.password.as_ref().map(secret).as_deref(), password, "{url}");
        assert_eq!(store.url.to_string(), "valkey://h:6379");
    }
    for part in ["hu%", "hu%4", "hu%zz", "hu%+1", "hu%C3", "hu%e2%82"] {
        for credentials in [format!("{part}:x"), format!("x:{part}")] {
            let error = refused("broken", &format!("store: 'redis://{credentials}@h'"));
            assert!(error.contains("store.url: has a "), "{error}");
            assert!(!error.contains("hu%") && error.contains("user or password"), "{error}");
        }
    }
}

#[test]
fn a_password_that_no_client_can_send_is_refused() {
    let folder = folder("bytes");
    fs::write(folder.join("password"), b"hush\xff").unwrap();
    let store = "{url: 'redis://a', password_file: password}";
    let text = format!("development: true\nstore: {store}");
    fs::write(folder.join("sluicegate.yaml"), text).unwrap();
    let file = Some(folder.join("sluicegate.yaml"));
    let error = load(&Overrides { file, ..none() }).expect_err("no text").to_string();
    assert!(error.contains("store.password_file: ") && error.contains("not UTF-8"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn what_is_no_settings_file_is_refused() {
    for text in ["a: [", "- 1", "a: 1\na: 2", "'x'", "{}\n---\n{}"] {
        refused("broken", text);
    }
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..9 {
        let all = format!("*a{}, ", n - 1).repeat(8);
        bomb.push_str(&format!("a{n}: &a{n} [{all}]\n"));
    }
    assert!(refused("bomb", &bomb).contains("more than 500000 values"));
    let missing = Overrides { file: Some("no-such-file.yaml".into()), ..none() };
    let error = load(&missing).expect_err("missing").to_string();
    assert!(error.contains("no-such-file.yaml: cannot be read"), "{error}");
}

#[test]
fn off_loopback_without_tls_is_warned_about() {
    let settings = with("open", "listeners: {grpc: {address: '0.0.0.0:8081'}}", &[]).unwrap();
    assert!(settings.warnings[0].contains("listeners.grpc"), "{:?}", settings.warnings);
}

#[test]
fn a_shared_store_without_a_count_of_replicas_is_warned_about() {
    let warned = |text: &str| {
        let settings = with("count", text, &[]).unwrap();
        settings.warnings.iter().any(|warning| warning.contains("replicas.count"))
    };
    let store = "development: true, store: {url: 'valkey://127.0.0.1:6379'}";
    assert!(warned(&format!("{{{store}}}")));
    assert!(warned(&format!("{{{store}, replicas: {{rank: 0}}}}")));
    assert!(!warned(&format!("{{{store}, replicas: {{count: 1}}}}")));
    assert!(!warned("store: memory"));
}

#[test]
fn how_paths_are_read_is_refused_unless_it_is_said() {
    let settings = with("paths", "{}", &[]).unwrap();
    assert_eq!(settings.paths, Paths::default());
    let said = |setting: &PathSetting| settings.paths.value(*setting);
    let unsaid: Vec<_> = PathSetting::ALL.iter().map(said).collect();
    let refuse = Some("refuse");
    assert_eq!(unsaid, [refuse, refuse, refuse, Some("merge"), Some("same"), refuse, None]);
    let text = "paths: {encoded_slash: separator, matrix_params: strip, empty_segments: keep, \
                trailing_slash: differs, non_utf8: data, case: insensitive}";
    let variable = [("SLUICEGATE__PATHS__DOT_SEGMENTS", "resolve")];
    let settings = with("paths-set", text, &variable).unwrap();
    let said = |setting: &PathSetting| settings.paths.value(*setting).unwrap();
    let said: Vec<_> = PathSetting::ALL.iter().map(said).collect();
    assert_eq!(said, ["separator", "resolve", "strip", "keep", "differs", "data", "insensitive"]);
    let error = refused("paths-bad", "paths: {case: ignore, dot_segments: keep, slashes: 1}");
    for words in [
        ": paths.case: must be one of sensitive, insensitive",
        ": paths.dot_segments: must be one of refuse, resolve",
        ": paths.slashes: unknown setting",
    ] {
        assert!(error.contains(words), "{words} is not in\n{error}");
    }
}

#[test]
fn a_traffic_class_has_its_rules() {
    let settings = with("classes", "{}", &[]).unwrap();
    let reveal = |class| settings.traffic_classes.rules(class).reveal;
    assert_eq!(reveal(None), Reveal::All);
    assert_eq!(reveal(Some(TrafficClass::EastWest)), Reveal::All);
    assert_eq!(reveal(Some(TrafficClass::Admin)), Reveal::All);
    assert_eq!(reveal(Some(TrafficClass::NorthSouth)), Reveal::Applied);
    assert_eq!(reveal(Some(TrafficClass::Partner)), Reveal::Applied);
    let text = "listeners: {grpc: {traffic_class: partner}, http: {traffic_class: admin}}
geography: {file: places.mmdb}
traffic_classes: {partner: {reveal: verdict, on_store_failure: deny}}";
    let variable = [("SLUICEGATE__TRAFFIC_CLASSES__ADMIN__REVEAL", "applied")];
    let settings = with("classes-set", text, &variable).unwrap();
    assert_eq!(settings.listeners.grpc.traffic_class, Some(TrafficClass::Partner));
    assert_eq!(settings.listeners.http.traffic_class, Some(TrafficClass::Admin));
    assert!(settings.geography.unwrap().ends_with("settings-classes-set/places.mmdb"));
    let partner = settings.traffic_classes.rules(Some(TrafficClass::Partner));
    assert_eq!(partner.reveal, Reveal::Verdict);
    assert_eq!(partner.on_store_failure, OnStoreFailure::Deny);
    let admin = settings.traffic_classes.rules(Some(TrafficClass::Admin));
    assert_eq!((admin.reveal, admin.on_store_failure), (Reveal::Applied, OnStoreFailure::Local));
    let error = refused(
        "classes-bad",
        "listeners: {grpc: {traffic_class: partnr}}
traffic_classes: {public: {reveal: all}, admin: {reveal: nothing}}",
    );
    for words in [
        ": listeners.grpc.traffic_class: must be one of north_south, east_west, admin, partner",
        "did you mean `partner`?",
        ": traffic_classes.public: unknown setting",
        ": traffic_classes.admin.reveal: must be one of all, applied, verdict",
    ] {
        assert!(error.contains(words), "{words} in\n{error}");
    }
}
