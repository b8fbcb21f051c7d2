//! Why the changes of two sides cannot both stand.

/// A reason in words, made to follow what the merged side did: `deleted rows: replaced 1
/// file by 1; <reason>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clash(pub(super) String);

impl Clash {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// The outcome of one part of a three-way merge.
pub(super) type Outcome<T> = std::result::Result<T, Clash>;

/// What of a value that both sides may have changed shall stand; none when both changed
/// it, and differently.
pub(super) fn pick<T: PartialEq>(sides: [T; 3]) -> Option<T> {
    let [base, ours, theirs] = sides;
    if theirs == base || theirs == ours {
        Some(ours)
    } else if ours == base {
        Some(theirs)
    } else {
        None
    }
}
