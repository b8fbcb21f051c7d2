-- The running pumps minute by minute, the last minutes first.
select
    date_bin(interval '1 minute', ts) as minute,
    pump,
    round(avg(pressure_bar), 2) as pressure_bar,
    round(avg(flow_m3h), 1) as flow_m3h,
    round(max(vibration_mm_s), 2) as vibration_mm_s
from pumps.telemetry
where running
group by minute, pump
order by minute desc, pump
limit 60
