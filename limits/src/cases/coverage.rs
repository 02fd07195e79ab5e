//! Which limits there are to test.

use crate::policy::problem::Problems;
use crate::policy::{Mode, Place, SourceFile, source};

/// A limit of a file, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitName {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub place: Place,
}

/// The limits of a file that can be tested: those that are not disabled. What cannot be read is
/// left out.
#[must_use]
pub fn limit_names(file: &SourceFile) -> Vec<LimitName> {
    let mut ignored = Problems::default();
    let limits = source::read(&file.text, &mut ignored).limits.into_iter().flatten();
    let enabled = limits.filter(|limit| limit.mode != Mode::Disabled);
    let name = |limit: source::RawLimit| LimitName {
        place: Place { file: file.name.clone(), line: limit.name.at.line },
        name: limit.name.value,
    };
    enabled.map(name).collect()
}
