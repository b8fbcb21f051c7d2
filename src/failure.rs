//! How a failure ends: the message a person reads, and the exit code a script reads.

use std::error::Error as _;
use std::fmt::Write as _;
use std::process::ExitCode;

use catalog::Error;

/// Exit code for something the user can correct.
const USER: u8 = 1;
/// Exit code for a fault of ours.
const OURS: u8 = 2;

/// The exit code for `error`.
pub(crate) fn exit_code(error: &Error) -> ExitCode {
    ExitCode::from(code(error))
}

fn code(error: &Error) -> u8 {
    if error.is_user_error() { USER } else { OURS }
}

/// The exit code for a command line that clap did not take, or answered itself.
pub(crate) fn usage_code(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        ExitCode::from(USER)
    } else {
        ExitCode::SUCCESS
    }
}

/// `error[code]: message`, what caused it, and what to do, each on a line.
pub(crate) fn describe(error: &Error) -> String {
    let mut text = format!("error[{}]: {}", error.code(), error.message());
    let mut said = error.message().to_owned();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many libraries repeat their cause in their own message.
        if !said.contains(&cause_text) {
            let _ = write!(
                text,
                "\n  caused by: {}",
                cause_text.replace('\n', "\n    ")
            );
        }
        said = cause_text;
        source = cause.source();
    }
    if let Some(hint) = error.hint() {
        let _ = write!(text, "\nhint: {hint}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_mistakes_exit_with_one_and_ours_with_two() {
        assert_eq!(code(&Error::invalid("x")), 1);
        assert_eq!(code(&Error::not_found("x")), 1);
        assert_eq!(code(&Error::unavailable("x")), 1);
        assert_eq!(code(&Error::corrupt("x")), 2);
        assert_eq!(code(&Error::internal("x")), 2);
    }

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let error = Error::unavailable("cannot reach the broker")
            .with_source(std::io::Error::other("connection refused"))
            .with_hint("is it running?");
        assert_eq!(
            describe(&error),
            format!(
                "error[{}]: cannot reach the broker\n  caused by: connection refused\nhint: is it running?",
                error.code()
            )
        );
    }
}
