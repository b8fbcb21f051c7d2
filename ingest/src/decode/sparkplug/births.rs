//! What birth certificates said: the metrics of each edge node and device, by name and by alias.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::address::Address;
use super::metric::Datatype;
use super::names;
use super::proto::{Metric, MetricValue, Payload};
use crate::decode::kind::MOST_NAME_BYTES;

/// The metric that numbers the sessions of an edge node.
pub(super) const BD_SEQ: &str = "bdSeq";
/// Bytes of birth certificates that are remembered, so that made-up edge nodes cannot fill memory.
const MOST_BYTES: usize = 64 << 20;

/// A birth certificate as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
}

/// What has been counted since the last time it was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SparkplugCounts {
    /// Birth certificates that said something new.
    pub(crate) births: usize,
    /// Data whose birth certificate was not seen.
    pub(crate) unborn: usize,
    /// Gaps in the sequence numbers of edge nodes: messages lost on their way.
    pub(crate) gaps: usize,
}

impl SparkplugCounts {
    /// Adds what was counted after them.
    pub(crate) fn add(&mut self, later: Self) {
        self.births += later.births;
        self.unborn += later.unborn;
        self.gaps += later.gaps;
    }
}

/// All edge nodes and devices that are known.
#[derive(Debug, Default)]
pub(crate) struct Births {
    groups: HashMap<String, HashMap<String, Node>>,
    bytes: usize,
    learned: Vec<Certificate>,
    pub(super) counts: SparkplugCounts,
}

#[derive(Debug, Default)]
struct Node {
    birth: Option<Arc<Birth>>,
    devices: HashMap<String, Arc<Birth>>,
    seq: Option<u64>,
}

/// One birth certificate.
#[derive(Debug)]
pub(super) struct Birth {
    certificate: Certificate,
    aliases: HashMap<u64, usize>,
    names: HashMap<String, usize>,
    metrics: Vec<Known>,
    columns: HashSet<String>,
    pub(super) bd_seq: Option<u64>,
}

/// A metric of a birth certificate.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) column: Arc<str>,
    pub(super) datatype: Datatype,
}

impl Birth {
    /// Reads a birth certificate for rows with that time column.
    pub(super) fn new(
        certificate: Certificate,
        payload: &Payload,
        time: &str,
    ) -> Result<Self, String> {
        let mut found: Vec<(String, Option<u64>, Datatype)> = Vec::new();
        let mut bd_seq = None;
        for bytes in &payload.metrics {
            let metric = metric(bytes)?;
            let name = metric
                .name
                .ok_or("a metric of the birth certificate has no name")?;
            if name.len() > MOST_NAME_BYTES {
                return Err("a metric of the birth certificate has too long a name".into());
            }
            let wrong = |why| format!("metric '{name}': {why}");
            let number = metric
                .datatype
                .ok_or_else(|| wrong("it has no datatype".into()))?;
            if name == BD_SEQ {
                bd_seq = session(metric.value.as_ref());
            }
            let datatype = Datatype::of(number).map_err(wrong)?;
            found.push((name, metric.alias, datatype));
        }
        let all: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        let columns = names::columns(&all, time);
        let mut birth = Self {
            certificate,
            aliases: HashMap::new(),
            names: HashMap::new(),
            columns: columns.iter().cloned().collect(),
            metrics: Vec::with_capacity(columns.len()),
            bd_seq,
        };
        for ((name, alias, datatype), column) in found.into_iter().zip(columns) {
            let at = birth.metrics.len();
            let column = column.into();
            birth.metrics.push(Known { column, datatype });
            if birth.names.insert(name.clone(), at).is_some() {
                return Err(format!("the birth certificate has metric '{name}' twice"));
            }
            if let Some(alias) = alias.filter(|alias| birth.aliases.insert(*alias, at).is_some()) {
                return Err(format!("the birth certificate has alias {alias} twice"));
            }
        }
        Ok(birth)
    }

    /// The metric of that name or else alias.
    pub(super) fn find(&self, name: Option<&str>, alias: Option<u64>) -> Option<&Known> {
        let at = match (name, alias) {
            (Some(name), _) => self.names.get(name),
            (None, alias) => self.aliases.get(&alias?),
        };
        self.metrics.get(*at?)
    }

    /// The column of a metric that the certificate does not name.
    pub(super) fn column_beside(&self, name: &str, time: &str) -> String {
        names::column_beside(name, time, &self.columns)
    }
}

/// One metric of a payload.
pub(super) fn metric(bytes: &Bytes) -> Result<Metric, String> {
    Metric::decode(bytes.clone()).map_err(|e| format!("not Sparkplug B: {e}"))
}

/// The number of a session.
pub(super) fn session(value: Option<&MetricValue>) -> Option<u64> {
    match value? {
        MetricValue::Int(v) => Some(u64::from(*v)),
        MetricValue::Long(v) => Some(*v),
        _ => None,
    }
}

impl Births {
    /// The birth certificate of an edge node or device.
    pub(super) fn find(&self, of: Address<'_>) -> Option<Arc<Birth>> {
        let node = self.groups.get(of.group)?.get(of.node)?;
        match of.device {
            None => node.birth.clone(),
            Some(device) => node.devices.get(device).cloned(),
        }
    }

    /// Remembers a birth certificate. An edge node that is born anew has no devices yet. The same
    /// certificate once more is a redelivery.
    ///
    /// # Errors
    /// When too much is remembered already.
    pub(super) fn learn(&mut self, of: Address<'_>, birth: Birth) -> Result<Arc<Birth>, String> {
        if let Some(known) = self
            .find(of)
            .filter(|it| it.certificate == birth.certificate)
        {
            return Ok(known);
        }
        let size = birth.certificate.size();
        if self.bytes + size > MOST_BYTES {
            return Err("too many birth certificates to remember another".into());
        }
        let birth = Arc::new(birth);
        let group = self.groups.entry(of.group.to_owned()).or_default();
        let node = group.entry(of.node.to_owned()).or_default();
        let forgotten: usize = match of.device {
            None => {
                let devices = node.devices.drain().map(|(_, birth)| birth);
                let before = node.birth.replace(Arc::clone(&birth));
                devices.chain(before).map(|it| it.certificate.size()).sum()
            }
            Some(device) => {
                let before = node.devices.insert(device.to_owned(), Arc::clone(&birth));
                before.map_or(0, |it| it.certificate.size())
            }
        };
        self.bytes = self.bytes + size - forgotten;
        self.counts.births += 1;
        self.learned.push(birth.certificate.clone());
        Ok(birth)
    }

    /// Compares a sequence number with the one before; those of births begin anew. The same once
    /// more is a redelivery.
    pub(super) fn follow(&mut self, of: Address<'_>, seq: Option<u64>, begins: bool) {
        let node = self
            .groups
            .get_mut(of.group)
            .and_then(|g| g.get_mut(of.node));
        let (Some(node), Some(seq)) = (node, seq) else {
            return;
        };
        let before = node.seq.replace(seq).filter(|_| !begins);
        if before.is_some_and(|before| seq != before && seq != (before + 1) % 256) {
            self.counts.gaps += 1;
            tracing::debug!(
                group = of.group,
                edge_node = of.node,
                seq,
                ?before,
                "sequence gap"
            );
        }
    }

    /// The certificates learned since the last call.
    pub(crate) fn take_learned(&mut self) -> Vec<Certificate> {
        std::mem::take(&mut self.learned)
    }

    /// The counts since the last call.
    pub(crate) fn take_counts(&mut self) -> SparkplugCounts {
        std::mem::take(&mut self.counts)
    }
}

impl Certificate {
    /// Bytes it takes, with what is read out of it.
    fn size(&self) -> usize {
        2 * (self.topic.len() + self.payload.len()) + 256
    }
}
