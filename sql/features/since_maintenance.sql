-- Hours since each pump was last looked after, and what was done, from a table
-- plant.maintenance (pump, done_at, kind). Reports that are entered late would
-- leak here; to learn only from what was known then, join it point in time:
--
--   [[dataset.join]]
--   table = "plant.maintenance"
--   on = ["pump"]
--   time = "done_at"
--   columns = ["kind"]
select
    ts,
    site,
    pump,
    (date_part('epoch', ts) - date_part('epoch', done_at)) / 3600 as hours_since_maintenance,
    kind as last_maintenance
from (
    select
        ts,
        site,
        pump,
        is_reading,
        last_value(done_at) ignore nulls over past as done_at,
        last_value(kind) ignore nulls over past as kind
    from (
        select ts, site, pump, true as is_reading, null as done_at, null as kind
        from pumps.telemetry
        union all
        select done_at as ts, null as site, pump, false as is_reading, done_at, kind
        from plant.maintenance
    )
    window past as (
        partition by pump order by ts
        rows between unbounded preceding and current row
    )
)
where is_reading
