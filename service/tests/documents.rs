//! The pages say what the code does: every setting, default, metric and exit code, and no other.

#![cfg(test)]

use std::path::Path;

use sluicegate::cli::Exit;
use sluicegate::metrics::{Metrics, TABLE};
use sluicegate::settings::rows;
use sluicegate_limits::attributes::{PathFault, PathSetting};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The first cells of the rows of all tables below one heading, without their code marks.
fn cells(page: &str, heading: &str, columns: usize) -> Vec<Vec<String>> {
    let section = page.split("\n## ").find(|s| s.starts_with(heading)).expect("the heading");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    rows.map(|row| {
        row.split(" | ").map(|c| c.trim_start_matches("| ")).map(cell).take(columns).collect()
    })
    .collect()
}

#[test]
fn every_setting_and_its_default_is_documented() {
    let documented = cells(&page("settings.md"), "All settings", 2);
    let real: Vec<Vec<String>> = rows().into_iter().map(|row| vec![row.key, row.default]).collect();
    assert_eq!(documented, real);
}

#[test]
fn every_setting_of_paths_and_every_cause_is_documented() {
    let page = page("paths.md");
    let first =
        |heading| -> Vec<String> { cells(&page, heading, 1).into_iter().flatten().collect() };
    let settings: Vec<_> =
        PathSetting::ALL.iter().map(|setting| setting.key().to_owned()).collect();
    assert_eq!(first("The settings"), settings);
    let causes: Vec<_> = PathFault::PLAIN.iter().map(|fault| fault.cause().to_owned()).collect();
    assert_eq!(first("What is refused always"), causes);
}

#[test]
fn every_metric_is_documented() {
    let documented = cells(&page("observability.md"), "Metrics", 5);
    let real: Vec<Vec<String>> = TABLE
        .iter()
        .map(|row| {
            let labels = if row.labels.is_empty() { "-".to_owned() } else { row.labels.join(", ") };
            vec![
                row.name.into(),
                row.kind.as_str().into(),
                row.unit.into(),
                labels,
                row.help.into(),
            ]
        })
        .map(|mut row| {
            let help = row.pop().unwrap();
            row.push(format!("{help} |"));
            row
        })
        .collect();
    assert_eq!(documented, real);
}

#[test]
fn every_metric_is_scraped_under_its_name() {
    let metrics = Metrics::new(10);
    metrics.policy.in_effect("0123456789abcdef", [("a", &[80][..])].into_iter());
    let text = metrics.scrape();
    let types: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).collect();
    for row in TABLE {
        let name = row.name.strip_suffix("_total").unwrap_or(row.name);
        let line = format!("{name} {}", row.kind.as_str());
        assert!(types.contains(&line.as_str()), "{line} in\n{text}");
        assert!(text.contains(&format!("\n{}", row.name)), "{} has no series", row.name);
    }
    assert_eq!(types.len(), TABLE.len(), "{types:?}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn limits_that_are_gone_lose_their_series() {
    let metrics = Metrics::new(10);
    let (none, some, more) = (&[][..], &[80][..], &[80, 95][..]);
    metrics.policy.in_effect("1", [("old", some), ("kept", more)].into_iter());
    metrics.policy.denied("kept");
    metrics.policy.alerted("kept", 95);
    metrics.policy.in_effect("2", [("kept", &[95][..]), ("new", none)].into_iter());
    let text = metrics.scrape();
    assert!(!text.contains("\"old\"") && !text.contains("revision=\"1\""), "{text}");
    assert!(text.contains("sluicegate_limit_denials_total{limit=\"kept\"} 1"), "{text}");
    assert!(!text.contains("threshold=\"80\""), "{text}");
    let alerts = "sluicegate_quota_alerts_total{limit=\"kept\",threshold=\"95\"} 1";
    assert!(text.contains(alerts), "{text}");
    metrics.policy.denied("a name that no policy has");
    metrics.policy.alerted("kept", 80);
    assert_eq!(metrics.scrape(), text);
}

#[test]
fn every_exit_code_is_documented() {
    let documented = cells(&page("settings.md"), "Exit codes", 2);
    let row = |(exit, what): (Exit, &str)| vec![exit.code().to_string(), format!("{what} |")];
    let real: Vec<Vec<String>> = Exit::TABLE.into_iter().map(row).collect();
    assert_eq!(documented, real);
}
