//! What one connection may take: the one table, for trusted peers and for strangers.
//!
//! A gateway's connection carries all its clients, so nothing that a client can cause may end it.
//! A stranger may be cut at any time. What no row bounds, a library does: each has a default for
//! everything, and none of the defaults knows who calls.

use crate::settings::Listener;

/// The strangers' connections to one listener that are open at once; the oldest makes room for the
/// next, so that a probe finds a place among those who only sit there.
pub(super) const MAX_STRANGERS: usize = 64;
/// Those of one address; further ones are closed at once.
pub(super) const MAX_STRANGERS_PER_ADDRESS: usize = 8;
/// The body that a request may have outside of the budget: enough for health and reflection.
pub(super) const SMALL_BODY_BYTES: usize = 1024;

/// The most bytes of a connection that are read before the others of its core have a turn. What
/// comes in them is accepted at the end of the turn, and its header lists are dropped.
const TURN_BYTES: usize = 64 * 1024;
/// The fewest bytes of a request that is given up at once: the heads of two frames, and a code.
const GIVEN_UP_BYTES: usize = 9 + 9 + 4;

/// The bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Requests in flight; HTTP/2 refuses what is above, and says so to the caller.
    pub(super) max_streams: u32,
    /// Requests that were given up before they were accepted; one more ends the connection.
    pub(super) max_given_up: usize,
    /// Streams that were refused or broken in the life of the connection; one more ends it.
    pub(super) max_refused: Option<usize>,
    /// Of one header list, as HTTP/2 counts it: 32 more than name and value for each header.
    pub(super) max_header_list_bytes: u32,
    /// Body bytes that may be sent ahead: of one request, and of all together.
    pub(super) stream_window_bytes: u32,
    pub(super) connection_window_bytes: u32,
    /// Bytes that are read in one turn.
    pub(super) turn_bytes: usize,
    /// Bytes in the life of the connection, whatever they say: pings and settings too.
    pub(super) max_bytes: u64,
}

impl Bounds {
    /// Of somebody who may only ask for health, reflection and the probes.
    pub(super) const STRANGER: Self = Self {
        max_streams: 8,
        max_given_up: 16,
        max_refused: Some(16),
        max_header_list_bytes: 8 * 1024,
        stream_window_bytes: 2 * 1024,
        connection_window_bytes: 64 * 1024,
        turn_bytes: 8 * 1024,
        max_bytes: 256 * 1024,
    };

    /// Of a peer that the listener trusts.
    pub(super) const fn trusted(listener: &Listener, max_streams: u32) -> Self {
        Self {
            max_streams,
            // More than one turn can bring.
            max_given_up: 2 * TURN_BYTES / GIVEN_UP_BYTES,
            max_refused: None,
            max_header_list_bytes: listener.max_header_list_bytes,
            stream_window_bytes: 64 * 1024,
            connection_window_bytes: 4 * 1024 * 1024,
            turn_bytes: TURN_BYTES,
            max_bytes: u64::MAX,
        }
    }
}
