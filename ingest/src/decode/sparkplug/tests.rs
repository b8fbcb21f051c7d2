//! Births, data and deaths in turn.
