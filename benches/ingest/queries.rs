//! SQL over Arrow Flight, as a client sees it: how many rows there are, whether one has arrived.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use query::flight::Client;
use std::net::SocketAddr;
use std::time::Duration;

/// A Flight SQL connection to the server under test.
pub(crate) struct Queries {
    client: Client,
}

impl Queries {
    pub(crate) async fn connect(address: SocketAddr) -> crate::Result<Self> {
        let client = Client::connect(&address.to_string(), None).await?;
        Ok(Self { client })
    }

    /// Returns once `pumphouse` counts `expected` rows; more is an error.
    pub(crate) async fn wait_for_rows(&mut self, expected: u64) -> crate::Result<()> {
        loop {
            match self.count("select count(*) from bench.telemetry").await? {
                n if n == expected => return Ok(()),
                n if n > expected => return Err(format!("{n} rows of {expected}").into()),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Returns once the row of probe `id` is in the table.
    pub(crate) async fn wait_for_probe(&mut self, id: u64) -> crate::Result<()> {
        let sql = format!(
            "select count(*) from bench.telemetry where pump = 'probe' and probe = {id} and publisher = 1"
        );
        while self.count(&sql).await? == 0 {}
        Ok(())
    }

    /// The count, or 0 while the table does not exist yet.
    async fn count(&mut self, sql: &str) -> crate::Result<u64> {
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
