//! The shared store: one script on Valkey or Redis, the same arithmetic and the same bytes.

pub mod packing;

/// The script that decides; its parts are the twins of the modules of `limits::counter`.
pub const SCRIPT: &str = concat!(
    include_str!("valkey/script/head.lua"),
    include_str!("valkey/script/holds.lua"),
    include_str!("valkey/script/token_bucket.lua"),
    include_str!("valkey/script/sliding_window.lua"),
    include_str!("valkey/script/aligned_window.lua"),
    include_str!("valkey/script/bytes.lua"),
    include_str!("valkey/script/counter.lua"),
    include_str!("valkey/script/decide.lua"),
);
