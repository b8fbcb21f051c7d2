-- Which way each pump is going: what its readings gain or lose an hour, over the
-- last ten minutes and the last hour. A worn bearing warms and shakes more and
-- more; a filter that clogs takes flow away.
select
    ts,
    site,
    pump,
    regr_slope(temperature_c, hour) over ten_minutes as temperature_slope_10m,
    regr_slope(temperature_c, hour) over an_hour as temperature_slope_1h,
    regr_slope(vibration_mm_s, hour) over ten_minutes as vibration_slope_10m,
    regr_slope(vibration_mm_s, hour) over an_hour as vibration_slope_1h,
    regr_slope(flow_m3h, hour) over an_hour as flow_slope_1h,
    regr_slope(current_a, hour) over an_hour as current_slope_1h
from (
    select *, date_part('epoch', ts) / 3600 as hour
    from pumps.telemetry
)
window
    ten_minutes as (
        partition by site, pump order by ts
        range between interval '10 minutes' preceding and current row
    ),
    an_hour as (
        partition by site, pump order by ts
        range between interval '1 hour' preceding and current row
    )
