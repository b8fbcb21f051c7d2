//! Dead letters, looked at and sent again: messages that became no rows, with their bytes and
//! the reason.
//!
//! [`list`] counts and shows them. [`replay`] decodes them again by the streams as they are now.
//! One commit adds the rows of those that are mended and takes their letters away, so that
//! whatever interrupts a replay, a letter is either still there or its rows are in the table,
//! and never both. No broker takes part: decoding is plain computation, and the time of arrival
//! is kept.

mod filter;
mod letters;
mod listing;
mod replay;
mod trial;

pub use filter::{Filter, TopicEdit};
pub use letters::Letter;
pub use listing::{Listing, list};
pub use replay::{Replayed, replay};
