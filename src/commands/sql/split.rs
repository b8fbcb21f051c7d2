//! Cutting text into SQL statements at semicolons, but not those inside quotes or comments.

/// The statements in `text`, without their semicolons; the last need not have one.
pub(super) fn statements(text: &str) -> Vec<&str> {
    let (mut found, tail) = split(text);
    found.extend(tail);
    found
}

/// True when nothing more is to be typed: `text` ends with a semicolon or says nothing.
pub(super) fn is_complete(text: &str) -> bool {
    split(text).1.is_none()
}

/// The finished statements, and the unfinished one behind them if there is one.
fn split(text: &str) -> (Vec<&str>, Option<&str>) {
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 0);
    // Whether the statement holds anything but blanks and comments.
    let mut says_something = false;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        at += if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment_length(rest)
        } else if c == '\'' || c == '"' {
            says_something = true;
            // A doubled quote inside reads as two quoted parts side by side.
            rest[1..].find(c).map_or(rest.len(), |end| end + 2)
        } else if c == ';' {
            if says_something {
                found.push(text[start..at].trim());
            }
            start = at + 1;
            says_something = false;
            1
        } else {
            says_something |= !c.is_whitespace();
            c.len_utf8()
        };
    }
    (found, says_something.then(|| text[start..].trim()))
}

/// Length of the block comment that `text` begins with; they nest.
fn comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons() {
        assert_eq!(
            statements("select 1; select 2 ;\n"),
            ["select 1", "select 2"]
        );
        assert_eq!(statements(" ;; select 1"), ["select 1"]);
        assert!(statements(" -- nothing\n /* at ; all */ ;").is_empty());
    }

    #[test]
    fn quotes_and_comments_hide_semicolons() {
        for text in [
            "select ';', 'it''s; so', \"a;b\"",
            "select 1 -- one; two\n + 2",
            "select /* a; /* b; */ c; */ 1",
            "select 'öl;'",
        ] {
            assert_eq!(statements(&format!("{text}; select 2")), [text, "select 2"]);
        }
    }

    #[test]
    fn a_statement_is_open_until_its_semicolon() {
        assert!(is_complete("select 1;"));
        assert!(is_complete(""));
        assert!(is_complete("select 1; -- done"));
        for open in [
            "select 1",
            "select 1; select 2",
            "select ';",
            "select \"a;",
            "select 1 /* ; */",
        ] {
            assert!(!is_complete(open), "{open}");
        }
        assert!(!is_complete("select /* ;"));
    }
}
