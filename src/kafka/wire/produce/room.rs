//! How large a request may be, and what may travel beside it.
//!
//! A broker closes the connection on a request above its `socket.request.max.bytes`, without a response
//! (so do Azure Event Hubs and others). Whatever was in flight on that connection is then in doubt. So a
//! batch larger than anything the broker has answered before goes alone, and one that was on a connection
//! when the broker closed it goes alone on the next.

/// The smallest limit of a broker that is taken into account.
pub const SURELY_TAKEN: usize = 64 << 10;

/// So many times in a row must the broker close the connection on a batch before its size is the reason:
/// the first may be a restart, and the others happen on connections that have just answered something else.
pub const MOST_CUTS: u32 = 3;

/// What may travel with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Other batches in its request, and other requests on its connection.
    Shared,
    /// Nothing, until it is answered.
    Alone,
}

/// What the next request and its connection hold already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupancy {
    /// Nothing.
    Vacant,
    Shared,
}

/// The room for one more batch.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub occupancy: Occupancy,
    /// Bytes left in the request.
    pub left: usize,
    /// Bytes of the largest request that the broker has answered.
    pub taken: usize,
}

impl Room {
    pub fn sharing(self, bytes: usize, cuts: u32) -> Sharing {
        if cuts > 0 || bytes > self.taken { Sharing::Alone } else { Sharing::Shared }
    }
}
