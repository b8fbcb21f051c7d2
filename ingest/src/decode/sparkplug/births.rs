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
use crate::topic::SPARKPLUG;

/// The metric that numbers the sessions of an edge node.
pub(super) const BD_SEQ: &str = "bdSeq";
/// Bytes of birth certificates that are remembered, so that made-up edge nodes cannot fill memory.
const MOST_BYTES: usize = 64 << 20;
/// Metrics of one birth certificate, as many as a table has columns.
const MOST_METRICS: usize = 1_000;
/// Bytes a known metric takes beside its name, about.
const METRIC_BYTES: usize = 256;

/// A birth certificate as it was received. One without a payload says that what was known of its
/// edge node or device holds no more.
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
    /// Whether none is remembered.
    pub(in crate::decode) blind: bool,
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
    /// Bytes it takes, about.
    size: usize,
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
        if payload.metrics.len() > MOST_METRICS {
            return Err(format!(
                "the birth certificate has more than {MOST_METRICS} metrics"
            ));
        }
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
        let names: usize = all.iter().map(|name| name.len()).sum();
        let mut birth = Self {
            // The name is there twice, and so is its column.
            size: certificate.size() + METRIC_BYTES * all.len() + 4 * names,
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
    let metric = Metric::decode(bytes.clone()).map_err(|e| format!("not Sparkplug B: {e}"))?;
    // Encoders that know no absent fields write an empty name beside an alias.
    Ok(Metric {
        name: metric
            .name
            .filter(|name| !name.is_empty() || metric.alias.is_none()),
        ..metric
    })
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
    /// When too much is remembered already. Then nothing is changed.
    pub(super) fn learn(&mut self, of: Address<'_>, birth: Birth) -> Result<Arc<Birth>, String> {
        if self.blind {
            return Ok(Arc::new(birth));
        }
        if let Some(known) = self
            .find(of)
            .filter(|it| it.certificate == birth.certificate)
        {
            return Ok(known);
        }
        let replaced = self.size(of);
        if self.bytes - replaced + birth.size > MOST_BYTES {
            return Err("too many birth certificates to remember another".into());
        }
        self.take(of);
        let birth = Arc::new(birth);
        let group = self.groups.entry(of.group.to_owned()).or_default();
        let node = group.entry(of.node.to_owned()).or_default();
        match of.device {
            None => node.birth = Some(Arc::clone(&birth)),
            Some(device) => {
                node.devices.insert(device.to_owned(), Arc::clone(&birth));
            }
        }
        self.bytes += birth.size;
        self.counts.births += 1;
        self.learned.push(birth.certificate.clone());
        Ok(birth)
    }

    /// Forgets a birth certificate that holds no more; with an edge node's those of its devices.
    pub(super) fn forget(&mut self, of: Address<'_>) {
        if self.take(of) {
            self.learned.push(Certificate::gone(of));
        }
    }

    /// Bytes that [`Births::take`] gives back, about.
    fn size(&self, of: Address<'_>) -> usize {
        let node = self.groups.get(of.group).and_then(|it| it.get(of.node));
        let sizes = |birth: &Arc<Birth>| birth.size;
        node.map_or(0, |node| match of.device {
            Some(device) => node.devices.get(device).map_or(0, sizes),
            None => {
                let devices: usize = node.devices.values().map(sizes).sum();
                devices + node.birth.as_ref().map_or(0, sizes)
            }
        })
    }

    /// Lets go of what was known; false where that was nothing.
    fn take(&mut self, of: Address<'_>) -> bool {
        let Some(group) = self.groups.get_mut(of.group) else {
            return false;
        };
        let Some(node) = group.get_mut(of.node) else {
            return false;
        };
        let mut taken: Vec<Arc<Birth>> = Vec::new();
        match of.device {
            None => taken.extend(node.devices.drain().map(|(_, birth)| birth)),
            Some(device) => taken.extend(node.devices.remove(device)),
        }
        if of.device.is_none() {
            taken.extend(node.birth.take());
        }
        if node.birth.is_none() && node.devices.is_empty() {
            group.remove(of.node);
        }
        if group.is_empty() {
            self.groups.remove(of.group);
        }
        self.bytes -= taken.iter().map(|birth| birth.size).sum::<usize>();
        !taken.is_empty()
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
    /// What says that the one of `of` holds no more.
    fn gone(of: Address<'_>) -> Self {
        let Address { group, node, .. } = of;
        let topic = match of.device {
            None => format!("{SPARKPLUG}/{group}/NBIRTH/{node}"),
            Some(device) => format!("{SPARKPLUG}/{group}/DBIRTH/{node}/{device}"),
        };
        Self {
            topic: topic.into(),
            payload: Bytes::new(),
        }
    }

    /// The same edge node's or device's, which holds no more.
    pub(crate) fn revoked(&self) -> Self {
        Self {
            topic: self.topic.clone(),
            payload: Bytes::new(),
        }
    }

    /// Bytes it takes, here and where it waits to be kept.
    fn size(&self) -> usize {
        2 * (self.topic.len() + self.payload.len()) + 256
    }
}
