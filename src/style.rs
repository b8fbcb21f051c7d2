//! Colours, on terminals only: what is piped or redirected is plain text.

use std::io::{self, IsTerminal};
use std::sync::LazyLock;

static COLOURED: LazyLock<bool> = LazyLock::new(|| {
    // https://no-color.org
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refused
});

fn paint(code: &str, text: &str) -> String {
    match *COLOURED {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}

/// A commit.
pub(crate) fn commit(text: &str) -> String {
    paint("33", text)
}

/// A ref, or something added.
pub(crate) fn green(text: &str) -> String {
    paint("32", text)
}

/// Something in the way, or removed.
pub(crate) fn red(text: &str) -> String {
    paint("31", text)
}
