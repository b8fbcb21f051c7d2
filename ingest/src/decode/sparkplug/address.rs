//! Topics of Sparkplug B: `spBv1.0/{group}/{type}/{edge node}[/{device}]`.

use crate::topic::SPARKPLUG;

/// What a message says of its edge node or device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Act {
    Birth,
    Data,
    Death,
}

/// Who a message is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address<'t> {
    pub(super) group: &'t str,
    pub(super) node: &'t str,
    /// None for the edge node itself.
    pub(super) device: Option<&'t str>,
}

/// # Errors
/// Why messages of this topic make no rows, in words for a dead letter.
pub(super) fn parse(topic: &str) -> Result<(Address<'_>, Act), String> {
    let levels: Vec<&str> = topic.split('/').collect();
    let (group, kind, node, device) = match levels.as_slice() {
        [SPARKPLUG, "STATE", _] => {
            return Err("the state of a host application makes no row".into());
        }
        [SPARKPLUG, group, kind, node] => (*group, *kind, *node, None),
        [SPARKPLUG, group, kind, node, device] => (*group, *kind, *node, Some(*device)),
        _ => return Err("no topic of Sparkplug B".into()),
    };
    let act = match (kind, device) {
        ("NBIRTH", None) | ("DBIRTH", Some(_)) => Act::Birth,
        ("NDATA", None) | ("DDATA", Some(_)) => Act::Data,
        ("NDEATH", None) | ("DDEATH", Some(_)) => Act::Death,
        ("NCMD" | "DCMD", _) => return Err("a command of Sparkplug B makes no row".into()),
        _ => return Err("no topic of Sparkplug B".into()),
    };
    let address = Address {
        group,
        node,
        device,
    };
    match group.is_empty() || node.is_empty() || device.is_some_and(str::is_empty) {
        true => Err("no topic of Sparkplug B: a level is empty".into()),
        false => Ok((address, act)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_taken_apart() {
        let (address, act) = parse("spBv1.0/g/DDATA/n/d").unwrap();
        assert_eq!(
            (address.group, address.node, address.device),
            ("g", "n", Some("d"))
        );
        assert_eq!(act, Act::Data);
        assert_eq!(parse("spBv1.0/g/NDEATH/n").unwrap().1, Act::Death);
        for topic in [
            "",
            "spBv1.0",
            "spBv1.0/g/NBIRTH",
            "spBv1.0/g/NBIRTH/n/d",
            "spBv1.0/g/DDATA/n",
            "spBv1.0/g/NCMD/n",
            "spBv1.0/g/OTHER/n",
            "spBv1.0//NDATA/n",
            "spBv1.0/g/DDATA/n/",
            "spBv1.0/STATE/host",
            "spAv1.0/g/NDATA/n",
            "spBv1.0/g/DDATA/n/d/e",
        ] {
            assert!(parse(topic).is_err(), "{topic}");
        }
    }
}
