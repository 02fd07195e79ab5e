//! The page for a browser: well-formed, self-contained, with the numbers of the report.

use crate::world::{START, World};

/// Elements that have no end.
const VOID: [&str; 2] = ["meta", "!doctype"];

/// Replays a fixed log of 2,000 requests, some of them of a caller whose name is markup.
fn page(name: &str, arguments: &[&str]) -> String {
    let world = World::new(name);
    let mut log = "at,tenant_id,method,path\n".to_owned();
    for n in 0..2_000 {
        let tenant = if n % 5 == 0 { "<b title=\"\"x\"\">&'" } else { "acme" };
        log += &format!("{},\"{tenant}\",GET,/a\n", START + n);
    }
    world.file("log", log + "nonsense\n");
    world.file("new.yaml", "rate_limits: {new: {key: tenant_id, limit: 100, window: 1h}}");
    world.file("old.yaml", "rate_limits: {old: {key: tenant_id, limit: 1, window: 1d}}");
    world.replay(&[&["--html", "page.html"], arguments].concat());
    world.read("page.html")
}

/// Every element that begins ends, in the right order, and no text has a bare `<` or `>`.
fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let (before, styled) = page.split_once("<style>").unwrap();
    let (_, after) = styled.split_once("</style>").unwrap();
    for part in [before, after] {
        for tag in part.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').unwrap_or_else(|| panic!("no end of <{tag}"));
            assert!(!text.contains('>'), "a bare > after <{tag}>");
            assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
            let name = tag.split([' ', '/']).next().unwrap();
            if let Some(ended) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(ended));
            } else if !VOID.contains(&name) && !tag.ends_with('/') {
                open.push(name);
            }
        }
    }
    assert_eq!(open, [""; 0]);
}

fn assert_self_contained(page: &str) {
    for load in ["http:", "https:", "//", "src=", "href=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(load), "{load}");
    }
}

#[test]
fn the_page_is_well_formed_and_has_the_numbers() {
    let page = page("page", &[]);
    assert_well_formed(&page);
    assert_self_contained(&page);
    for part in [
        "<h1><em>1,800</em> of 2,000 requests would have been denied (90.00 %)</h1>",
        "log (csv), 2026-01-01 00:00:00 to 2026-01-01 00:33:19 UTC",
        "<b>200</b><span>would have passed</span>",
        "Requests in each 5 seconds; all times are UTC.",
        ">00:10</b>",
        "2026-01-01 00:02:05 UTC\nallowed: 1\ndenied: 4",
        "tenant_id=acme</td>",
        "<td class=\"number\">1,500</td>",
        "tenant_id=&lt;b title=&quot;x&quot;&gt;&amp;&#39;</td>",
        "<li>1 line could not be read: line 2002, it has 1 of 4 fields</li>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Its own, one for each bar, and one for each bar of denials: from 2 min 5 s on.
    assert_eq!(page.matches("<title>").count(), 1 + 400 + 375);
    assert!(!page.contains("<b title"));
}

#[test]
fn the_page_shows_what_changes() {
    let page = page("page-against", &["--against", "old.yaml"]);
    assert_well_formed(&page);
    assert_self_contained(&page);
    for part in [
        "<b>1,998</b><span>denied by the old limits, 99.90 %</span>",
        "<b>1,800</b><span>denied by the new, 90.00 %</span>",
        "<b>0</b><span>passed before, denied now</span>",
        "<b>198</b><span>denied before, pass now</span>",
        "newly allowed: 1",
        "<code>old</code><span class=\"tag\">gone</span>",
    ] {
        assert!(page.contains(part), "{part}");
    }
}
