//! SQL over Arrow Flight, as a client sees it: how many rows there are, whether one has arrived.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use query::flight::Client;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Result;
use crate::message::FIRST_PROBE;

/// What does not come in this time does not come.
const PATIENCE: Duration = Duration::from_secs(120);

/// A Flight SQL connection to the server under test.
pub(crate) struct Queries {
    client: Client,
}

impl Queries {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let client = Client::connect(&address.to_string(), None).await?;
        Ok(Self { client })
    }

    /// Returns once `pumphouse` counts `expected` rows; more is an error, and so is waiting
    /// without getting any.
    pub(crate) async fn wait_for_rows(&mut self, expected: u64) -> Result<()> {
        let (mut last, mut changed) = (0, Instant::now());
        loop {
            let rows = self.rows().await?;
            if rows == expected {
                return Ok(());
            }
            if rows != last {
                (last, changed) = (rows, Instant::now());
            }
            if rows > expected || changed.elapsed() > PATIENCE {
                return Err(format!("{rows} rows of {expected}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The rows there are.
    async fn rows(&mut self) -> Result<u64> {
        self.count("select count(*) from bench.telemetry").await
    }

    /// Returns once the row of probe `number` is in the table.
    pub(crate) async fn wait_for_probe(&mut self, number: u64) -> Result<()> {
        let sql = format!(
            "select count(*) from bench.telemetry where pump = 'probe' and seq = {}",
            FIRST_PROBE + number
        );
        let started = Instant::now();
        while self.count(&sql).await? == 0 {
            if started.elapsed() > PATIENCE {
                return Err(format!("probe {number} is not to be seen").into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// The count, or 0 while the table does not exist yet.
    async fn count(&mut self, sql: &str) -> Result<u64> {
        let batches = match self.client.collect(sql).await {
            Ok((_, batches)) => batches,
            Err(error) if error.kind() == catalog::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let column = batches.first().ok_or("no rows")?.column(0);
        let counts = column.as_primitive_opt::<Int64Type>().ok_or("no count")?;
        Ok(u64::try_from(counts.value(counts.len() - 1))?)
    }
}
