//! The limits files: from text to rules that cannot be wrong.

pub mod pattern;
