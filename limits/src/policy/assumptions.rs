//! What a policy takes for granted of the upstream and of the gateway: how they read paths.

use std::fmt;

use super::Policy;
use crate::attributes::{PathFault, PathSetting};
use crate::matching::{Probe, Routes};

/// One thing that a policy takes for granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// The setting that says so; `None` where there is none.
    pub setting: Option<PathSetting>,
    /// What it is set to; `None` where nothing is.
    pub value: Option<&'static str>,
    /// What is taken for granted, or refused, in words.
    pub text: &'static str,
    /// A request that is refused, `GET /v1/reports%2Fexport`; `None` where none is.
    pub refuses: Option<String>,
}

impl Policy {
    /// What the policy takes for granted of how the upstream reads paths; nothing where no limit
    /// depends on them.
    #[must_use]
    pub fn assumptions(&self) -> Vec<Assumption> {
        let routes = Routes::new(self);
        if routes.is_empty() {
            return Vec::new();
        }
        let refused: Vec<(PathFault, Probe)> =
            routes.probes().into_iter().filter_map(|p| Some((routes.fault(&p)?, p))).collect();
        let of_setting = |setting: &PathSetting| {
            let fault = PathFault::Ambiguous(*setting);
            let example = refused.iter().find(|(found, _)| *found == fault);
            let value = self.paths().value(*setting);
            Assumption {
                setting: Some(*setting),
                value,
                text: words(*setting, value.unwrap_or_default()),
                refuses: example.map(|(_, (method, target))| format!("{method} {target}")),
            }
        };
        let others = [
            "escapes are decoded once before a path is routed, so that `%61` is `a`; Express \
             compares fixed segments without decoding them, and needs Envoy's `normalize_path`",
            "the method is the one of the request line: no header, as `x-http-method-override`, \
             changes it behind the gateway",
        ];
        let others = others.into_iter().map(|text| Assumption {
            setting: None,
            value: None,
            text,
            refuses: None,
        });
        PathSetting::ALL.iter().map(of_setting).chain(others).collect()
    }
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.setting, self.value) {
            (Some(setting), Some(value)) => write!(f, "{setting} is {value}: ")?,
            (Some(setting), None) => write!(f, "{setting} is not set: ")?,
            (None, _) => {}
        }
        let granted = if self.value == Some("refuse") { "" } else { "taken for granted: " };
        write!(f, "{granted}{}", self.text)?;
        self.refuses.iter().try_for_each(|example| write!(f, ", as {example}"))
    }
}

/// What a setting takes for granted.
fn words(setting: PathSetting, value: &str) -> &'static str {
    match (setting, value) {
        (_, "refuse") => "a path is refused if its readings would not count alike",
        (PathSetting::EncodedSlash, "data") => {
            "`%2F` and `%5C` are parts of a segment, for the upstream and for Envoy \
             (`path_with_escaped_slashes_action: KEEP_UNCHANGED`)"
        }
        (PathSetting::EncodedSlash, _) => {
            "`%2F` is a slash before anything else is read: in the upstream, or by Envoy \
             (`path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD`)"
        }
        (PathSetting::DotSegments, _) => {
            "`.` and `..` are resolved before a path is routed: by the upstream, or by Envoy \
             (`normalize_path: true`)"
        }
        (PathSetting::MatrixParams, "strip") => {
            "`;x` is not looked at when a path is routed, as in Spring and Tomcat"
        }
        (PathSetting::MatrixParams, _) => "`;x` is a part of its segment, as in Express and Go",
        (PathSetting::EmptySegments, "merge") => {
            "`//` is `/`: for the upstream, or by Envoy (`merge_slashes: true`)"
        }
        (PathSetting::EmptySegments, _) => "`//` has an empty segment, for Envoy and the upstream",
        (PathSetting::TrailingSlash, "same") => "`/a/` is routed as `/a`",
        (PathSetting::TrailingSlash, _) => "`/a/` is another path than `/a`",
        (PathSetting::NonUtf8, _) => "bytes that are not UTF-8 are told from all others",
        (PathSetting::Case, "insensitive") => "`/A` is routed as `/a`, as in Express and ASP.NET",
        (PathSetting::Case, "sensitive") => {
            "`/A` is another path than `/a`: not so in Express and ASP.NET, unless they are told"
        }
        (PathSetting::Case, _) => {
            "`/A` is another path than `/a`, though nobody says so: Express and ASP.NET ignore case"
        }
    }
}
