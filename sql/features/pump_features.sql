-- What each pump did lately, row by row: the last reading and rolling figures
-- of the minute before it. Faults show there: cavitation shakes pressure and
-- flow, a worn bearing shakes and heats, a leak takes flow at the same current.
-- Windows are ranges of time, so any sampling rate will do.
select
    ts,
    site,
    pump,
    running,
    pressure_bar,
    flow_m3h,
    vibration_mm_s,
    temperature_c,
    current_a,
    avg(pressure_bar) over minute as pressure_avg,
    stddev(pressure_bar) over minute as pressure_std,
    avg(flow_m3h) over minute as flow_avg,
    stddev(flow_m3h) over minute as flow_std,
    avg(vibration_mm_s) over minute as vibration_avg,
    max(vibration_mm_s) over minute as vibration_max,
    stddev(vibration_mm_s) over minute as vibration_std,
    avg(temperature_c) over minute as temperature_avg,
    temperature_c - avg(temperature_c) over ten_minutes as temperature_rise,
    avg(current_a) over minute as current_avg,
    avg(case when running then 1.0 else 0.0 end) over ten_minutes as duty,
    flow_m3h / nullif(current_a, 0.0) as flow_per_amp,
    pressure_bar / nullif(current_a, 0.0) as pressure_per_amp,
    fault
from pumps.telemetry
window
    minute as (
        partition by site, pump order by ts
        range between interval '1 minute' preceding and current row
    ),
    ten_minutes as (
        partition by site, pump order by ts
        range between interval '10 minutes' preceding and current row
    )
