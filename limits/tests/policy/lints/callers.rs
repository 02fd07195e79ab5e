//! Lints of what callers can get around: identities, keys and addresses that they choose.

use super::{Service, gateway, lints, of_text};

#[test]
fn requests_without_an_identity_need_a_limit() {
    let of = |limits: &str| of_text(&format!("rate_limits: {{ {limits} }}"), None);
    let open = ["1:1 open_to_anyone"];
    let tenants = "default: { key: tenant_id, limit: 5, window: 1m }";
    let login = "login: { match: 'POST /login', key: ip_address, limit: 5, window: 1m }";
    assert_eq!(of(tenants), open);
    assert_eq!(of(&format!("{tenants}, {login}")), open, "at one endpoint only");
    for more in [
        "unauthenticated: { key: ip_address, limit: 5, window: 1m, mode: shadow }",
        "anyone: { key: ip_address, limit: 5, window: 1m, match: 'GET /**' }",
        "anyone: { key: [ip_address, user_id], limit: 5, window: 1m }",
        "anyone: { key: ip_address, limit: 5, window: 1m, when: authenticated }",
        "anyone: { key: ip_address, limit: 5, window: 1m, when: has(user_id) }",
        "anyone: { key: ip_address, limit: 5, window: 1m, when: 'path.startsWith(\"/v1/\")' }",
    ] {
        assert_eq!(of(&format!("{tenants}, {more}")), open, "{more}");
    }
    for enough in [
        "unauthenticated: { key: ip_address, limit: 5, window: 1m }",
        "anyone: { key: ip_address, limit: 50, window: 1m, match: '* /**' }",
        "everything: { limit: 50, window: 1m, cost: 1 }",
        "anyone: { key: ip_address, limit: 50, window: 1m, when: '!authenticated' }",
        "anyone: { key: ip_address, limit: 50, window: 1m, when: '!has(user_id)' }",
    ] {
        assert_eq!(of(&format!("{tenants}, {login}, {enough}")), [""; 0], "{enough}");
    }
    assert_eq!(of(""), [""; 0], "nothing on purpose");
    let service = Service { denies_unmatched: true, ..Service::default() };
    assert_eq!(of_text(&format!("rate_limits: {{ {tenants} }}"), Some(service)), [""; 0]);
}

#[test]
fn a_counter_that_the_caller_chooses_needs_another_limit() {
    let of = |limit: &str| lints(&format!("  a: {{ limit: 5, window: 1m, {limit} }}"));
    for (limit, place) in [
        ("key: headers.x-team", "2:35"),
        ("key: [tenant_id, path]", "2:36"),
        ("key: host", "2:35"),
        ("key: method", "2:35"),
        ("key: path, match: 'GET /{x}'", "2:35"),
        ("key: method, match: '* /a'", "2:35"),
    ] {
        assert_eq!(of(limit), [format!("{place} chosen_key")], "{limit}");
    }
    for near in [
        "key: claims.team",
        "key: [tenant_id, user_id]",
        "key: path, match: ['GET /a', 'GET /b']",
        "key: method, match: ['GET /**', 'POST /**']",
        "key: headers.x-team, mode: shadow",
        "key: headers.x-team, mode: disabled",
    ] {
        assert_eq!(of(near), [""; 0], "{near}");
    }
    let chosen = "  a: { limit: 5, window: 1m, key: headers.x-team, match: 'GET /v1/a' }";
    let with = |other: &str| lints(&format!("{chosen}\n  b: {{ limit: 50, window: 1m, {other} }}"));
    for held in ["key: tenant_id", "match: 'GET /v1/**', key: ip_address", "cost: 1"] {
        assert_eq!(with(held), [""; 0], "{held}");
    }
    for not in ["match: 'GET /v1/b'", "mode: shadow", "match: 'POST /**', key: tenant_id"] {
        assert_eq!(with(not), ["2:35 chosen_key"], "{not}");
    }
}

#[test]
fn an_attribute_that_a_client_can_leave_out_needs_another_limit() {
    let of = |limit: &str| lints(&format!("  a: {{ limit: 5, window: 1m, {limit} }}"));
    for (limit, place) in [
        ("key: [tenant_id, client_id]", "2:36"),
        ("key: client_id", "2:35"),
        ("key: on_behalf_of, match: 'GET /v1/a'", "2:35"),
        ("key: client_id, missing_key: together", "2:35"),
        ("key: [client_id, on_behalf_of], missing_key: together", "2:36"),
        ("key: client_id, when: 'plan == \"free\" || has(client_id)'", "2:35"),
    ] {
        assert_eq!(of(limit), [format!("{place} may_be_missing")], "{limit}");
    }
    for near in [
        "key: [tenant_id, user_id]",
        "key: [tenant_id, claims.team]",
        "key: [tenant_id, country, traffic_class]",
        "key: [tenant_id, client_id], missing_key: deny",
        "key: [tenant_id, client_id], missing_key: together",
        "key: client_id, missing_key: deny",
        "key: client_id, when: 'has(client_id) && plan == \"free\"'",
        "key: client_id, mode: shadow",
        "key: client_id, mode: disabled",
    ] {
        assert_eq!(of(near), [""; 0], "{near}");
    }
    let gap = "  a: { limit: 5, window: 1m, key: [tenant_id, client_id], match: 'GET /v1/a' }";
    let with = |other: &str| lints(&format!("{gap}\n  b: {{ limit: 50, window: 1m, {other} }}"));
    for held in [
        "key: tenant_id",
        "match: ['POST /v1/b', 'GET /v1/**'], key: ip_address",
        "cost: 1",
        "key: [user_id, ip_address], missing_key: together",
        "key: on_behalf_of, missing_key: deny",
    ] {
        assert_eq!(with(held), [""; 0], "{held}");
    }
    for not in [
        "key: tenant_id, mode: shadow",
        "key: tenant_id, match: 'POST /**'",
        "key: tenant_id, when: 'plan == \"free\"'",
        "key: user_id",
        "key: [tenant_id, user_id]",
    ] {
        assert_eq!(with(not), ["2:36 may_be_missing"], "{not}");
    }
}

#[test]
fn settings_tell_what_a_client_can_leave_out() {
    let text = "rate_limits: { a: { key: [tenant_id, client_id], limit: 5, window: 1m }, \
                b: { key: [tenant_id, user_id], limit: 4, window: 1h }, \
                c: { key: ip_address, limit: 5, window: 1m, when: '!authenticated' } }";
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let service = Service {
        proof: Some("tenant_id".to_owned()),
        says_whose_address: true,
        ..gateway(&["tenant_id", "client_id", "user_id"])
    };
    let of = |service| of_text(text, Some(service));
    assert_eq!(of_text(text, None), ["1:27 may_be_missing"]);
    assert_eq!(of(service.clone()), ["1:27 may_be_missing", "1:85 may_be_missing"]);
    let of_token = Service { vouched_for: names(&["client_id", "user_id"]), ..service.clone() };
    assert_eq!(of(of_token), [""; 0]);
    assert_eq!(of(Service { denies_unmatched: true, ..service }), [""; 0]);
}

#[test]
fn what_missing_keys_count_for_other_lints() {
    let of = |limit: &str, other: &str| {
        lints(&format!(
            "  a: {{ limit: 5, window: 1m, {limit} }}\n  b: {{ limit: 50, window: 1m, {other} }}"
        ))
    };
    let never_denies = ["3:3 never_denies"];
    assert_eq!(of("key: tenant_id", "key: [tenant_id, user_id]"), never_denies);
    let together = "key: [tenant_id, user_id], missing_key: together";
    assert_eq!(of("key: tenant_id", together), [""; 0], "a request without a tenant");
    assert_eq!(of("cost: endpoint", together), never_denies);
    assert_eq!(of(together, together), never_denies);
    let denies = "key: [tenant_id, user_id], missing_key: deny";
    assert_eq!(of("cost: endpoint", denies), [""; 0]);
    assert_eq!(of(denies, denies), never_denies);
    assert_eq!(of(denies, "key: [tenant_id, user_id]"), never_denies);
    let endpoints = |missing| format!("key: [tenant_id, endpoint], missing_key: {missing}");
    assert_eq!(of("key: user_id", &endpoints("skip")), ["3:37 never_applies"]);
    assert_eq!(of("key: user_id", &endpoints("together")), [""; 0]);
    let anonymous = |key: &str| {
        of_text(&format!("rate_limits: {{ a: {{ limit: 5, window: 1m, {key} }} }}"), None)
    };
    assert_eq!(anonymous("key: [tenant_id, ip_address]"), ["1:1 open_to_anyone"]);
    assert_eq!(anonymous("key: [tenant_id, ip_address], missing_key: together"), [""; 0]);
    assert_eq!(anonymous("key: tenant_id, missing_key: together"), ["1:1 open_to_anyone"]);
    assert_eq!(anonymous("key: tenant_id, missing_key: deny"), [""; 0]);
}

#[test]
fn addresses_behind_a_gateway_need_its_proxies_counted() {
    let text = "rate_limits: { a: { key: [tenant_id, ip_address], limit: 5, window: 1m }, \
                b: { limit: 50, window: 1m } }";
    assert_eq!(of_text(text, None), [""; 0], "nobody knows");
    assert_eq!(of_text(text, Some(Service::default())), [""; 0], "no gateway");
    assert_eq!(of_text(text, Some(gateway(&["tenant_id"]))), ["1:27 proxied_address"]);
    let counted = Service { says_whose_address: true, ..gateway(&["tenant_id", "ip_address"]) };
    assert_eq!(of_text(text, Some(counted)), [""; 0]);
    let other = "rate_limits: { b: { limit: 50, window: 1m } }";
    assert_eq!(of_text(other, Some(gateway(&["tenant_id"]))), [""; 0]);
}
