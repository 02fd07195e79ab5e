//! How the requests of two patterns relate.

use super::{Pattern, Segment, covers_method};

impl Pattern {
    /// Whether this pattern matches every request that the other one matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if !covers_method(self.method(), other.method()) {
            return false;
        }
        let mut theirs = other.segments.iter();
        for ours in &self.segments {
            let fits = match (ours, theirs.next()) {
                (Segment::Rest, _) => return true,
                (_, None | Some(Segment::Rest)) => false,
                (Segment::Param(_) | Segment::Any, Some(segment)) => !segment.is_end(),
                (Segment::Literal(_), Some(segment)) => ours == segment,
            };
            if !fits {
                return false;
            }
        }
        theirs.next().is_none()
    }

    /// Whether some request is matched by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.method(), other.method());
        if !covers_method(ours, theirs) && !covers_method(theirs, ours) {
            return false;
        }
        let (mut ours, mut theirs) = (self.segments.iter(), other.segments.iter());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) | (Some(Segment::Rest), _) | (_, Some(Segment::Rest)) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(Segment::Literal(one)), Some(Segment::Literal(two))) if one != two => {
                    return false;
                }
                (Some(one), Some(two)) if one.is_end() != two.is_end() => return false,
                (Some(_), Some(_)) => {}
            }
        }
    }

    /// Whether every path is meant that has the method; and every method, if none is named.
    pub(crate) fn is_any_path(&self) -> bool {
        matches!(self.segments.as_slice(), [Segment::Rest])
    }

    /// Whether just one path is meant.
    pub(crate) fn is_one_path(&self) -> bool {
        self.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
    }
}

impl Segment {
    /// Whether it is the slash at the end of a path.
    fn is_end(&self) -> bool {
        matches!(self, Self::Literal(literal) if literal.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::AttributesBuilder;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        for (wide, narrow) in [
            ("GET /a", "GET /a"),
            ("* /a", "GET /a"),
            ("GET /{x}", "GET /a"),
            ("GET /*", "GET /{y}"),
            ("GET /**", "GET /a/{b}/**"),
            ("GET /**", "GET /"),
            ("GET /a/**", "GET /a"),
            ("* /**", "* /**"),
            ("GET /a/**", "HEAD /a"),
            ("* /a", "HEAD /a"),
        ] {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} and {narrow}");
            assert!(pattern(wide).overlaps(&pattern(narrow)), "{wide} and {narrow}");
            assert!(pattern(narrow).overlaps(&pattern(wide)), "{wide} and {narrow}");
        }
        for (one, other) in [
            ("GET /a", "* /a"),
            ("GET /a", "GET /{x}"),
            ("GET /{x}", "GET /**"),
            ("GET /a/{x}", "GET /a/**"),
            ("GET /a/**", "GET /**"),
            ("GET /a/*", "GET /*/b"),
            ("HEAD /a", "GET /a"),
            ("HEAD /a/**", "GET /a/b"),
        ] {
            assert!(!pattern(one).covers(&pattern(other)), "{one} and {other}");
            assert!(pattern(one).overlaps(&pattern(other)), "{one} and {other}");
        }
        for (one, other) in [
            ("GET /a", "POST /a"),
            ("HEAD /a", "POST /a"),
            ("GET /a", "HEAD /b"),
            ("GET /a", "GET /b"),
            ("GET /a", "GET /a/b"),
            ("GET /a/{x}", "GET /a"),
            ("GET /a/b/c/**", "GET /a/{x}"),
            ("GET /a/{x}/c", "GET /a/b/d"),
        ] {
            assert!(!pattern(one).covers(&pattern(other)), "{one} and {other}");
            assert!(!pattern(one).overlaps(&pattern(other)), "{one} and {other}");
            assert!(!pattern(other).overlaps(&pattern(one)), "{one} and {other}");
        }
    }

    /// The relations of random patterns, against every request of a small world.
    #[test]
    fn the_relations_are_those_of_the_requests() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut requests = Vec::new();
        for method in ["GET", "HEAD", "POST", "PUT"] {
            for length in 0..=4_u32 {
                for number in 0..3_usize.pow(length) {
                    let digit = |at| ["a", "b", "c"][number / 3_usize.pow(at) % 3];
                    let path: Vec<&str> = (0..length).map(digit).collect();
                    let mut request = AttributesBuilder::new();
                    request.set("method", method).unwrap();
                    request.set("path", &format!("/{}", path.join("/"))).unwrap();
                    requests.push(request.finish());
                }
            }
        }
        let mut random = || {
            let method = rng.choice(["GET", "HEAD", "POST", "*"]).unwrap();
            let mut path: Vec<&str> =
                (0..rng.usize(..3)).map(|_| rng.choice(["a", "b", "{x}", "*"]).unwrap()).collect();
            if rng.u8(..3) == 0 {
                path.push("**");
            }
            pattern(&format!("{method} /{}", path.join("/")))
        };
        let (mut covering, mut overlapping) = (0, 0);
        for _ in 0..3_000 {
            let (one, other) = (random(), random());
            let covers = requests.iter().all(|r| !other.matches(r) || one.matches(r));
            let overlaps = requests.iter().any(|r| other.matches(r) && one.matches(r));
            assert_eq!(one.covers(&other), covers, "{one} and {other}");
            assert_eq!(one.overlaps(&other), overlaps, "{one} and {other}");
            covering += u32::from(covers);
            overlapping += u32::from(overlaps);
        }
        assert!(covering > 100 && overlapping > 500, "{covering} cover, {overlapping} overlap");
    }
}
