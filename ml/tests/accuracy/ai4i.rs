//! AI4I 2020: does a machine fail?
use crate::support::{Plant, csv, data, numbers};

#[tokio::test]
async fn the_file_becomes_a_table() {
    let Some(file) = data("ai4i/ai4i2020.csv") else {
        return;
    };
    let plant = Plant::new().await;
    plant.table("ai4i.machines", csv(&file, b',')).await;
    let sql = "select sum(\"Machine failure\") as failures from ai4i.machines";
    let (_, rows) = plant.engine.collect(sql, None).await.unwrap();
    assert_eq!(numbers(&rows, "failures"), [339.0]);
}
