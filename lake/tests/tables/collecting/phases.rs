//! The phases of a collection, one by one.
