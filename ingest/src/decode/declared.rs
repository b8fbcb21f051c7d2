//! Types of declared columns as settings write them, such as `struct<temp: double, on: boolean>`.

use catalog::{Error, Result};

use super::kind::{Column, Kind, is_field_name};

/// Levels of structs and lists.
const MOST_DEPTH: usize = 16;

impl Kind {
    /// The type of a declared column.
    ///
    /// # Errors
    /// `InvalidInput` listing the types there are.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut rest = text.trim();
        parse(&mut rest, MOST_DEPTH)
            .filter(|_| rest.is_empty())
            .ok_or_else(|| {
                Error::invalid(format!("'{text}' is no column type")).with_hint(
                    "use boolean, int, long, float, double, string, binary, timestamp, date, \
                     list<TYPE> or struct<NAME: TYPE, ...>",
                )
            })
    }
}

/// Takes a type off the start of `rest`.
fn parse(rest: &mut &str, depth: usize) -> Option<Kind> {
    let end = rest.find(['<', '>', ',', ':']).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    *rest = after;
    Some(match name.trim() {
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "string" => Kind::String,
        "binary" => Kind::Binary,
        "timestamp" => Kind::Timestamp,
        "date" => Kind::Date,
        "list" => {
            take(rest, '<')?;
            let of = parse(rest, depth.checked_sub(1)?)?;
            take(rest, '>')?;
            Kind::list(of)
        }
        "struct" => {
            take(rest, '<')?;
            let columns = fields(rest, depth.checked_sub(1)?)?;
            take(rest, '>')?;
            Kind::Struct(columns)
        }
        _ => return None,
    })
}

fn fields(rest: &mut &str, depth: usize) -> Option<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::new();
    loop {
        let (name, after) = rest.split_once(':')?;
        *rest = after;
        let name = name.trim();
        if !is_field_name(name) || columns.iter().any(|c| c.name == name) {
            return None;
        }
        columns.push(Column::new(name, parse(rest, depth)?));
        if take(rest, ',').is_none() {
            return Some(columns);
        }
    }
}

/// Takes a character, and the blanks after it, off the start of `rest`.
fn take(rest: &mut &str, c: char) -> Option<()> {
    *rest = rest.trim_start().strip_prefix(c)?.trim_start();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read() {
        let double = || Column::new("temp", Kind::Double);
        let on = Column::new("on", Kind::list(Kind::Struct(vec![double()])));
        let both = Kind::Struct(vec![double(), on]);
        let text = " struct< temp : double, on: list<struct<temp:double>> > ";
        assert_eq!(Kind::parse(text).unwrap(), both);
        assert_eq!(Kind::parse("list<long>").unwrap(), Kind::list(Kind::Long));
    }

    #[test]
    fn every_plain_type_has_its_arrow_type() {
        let all = "boolean int long float double string binary timestamp date";
        for name in all.split(' ') {
            let kind = Kind::parse(name).unwrap();
            assert_eq!(kind.name(), name);
            assert_eq!(Kind::of(&kind.data_type()), Some(kind));
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        let deep = format!("{}int{}", "list<".repeat(99), ">".repeat(99));
        for text in [
            "",
            "decimal",
            "list",
            "list<>",
            "list<int",
            "list<int>>",
            "struct<>",
            "struct<a>",
            "struct<a:int,>",
            "struct<a:int,a:int>",
            "struct<:int>",
            "struct<a.b:int>",
            "int,",
            &deep,
        ] {
            assert!(Kind::parse(text).is_err(), "{text}");
        }
    }
}
