-- The last reading of every pump, rows not yet committed included.
select site, pump, ts, running, pressure_bar, flow_m3h, vibration_mm_s, temperature_c, current_a
from (
    select *, row_number() over (partition by site, pump order by ts desc) as place
    from pumps.telemetry
)
where place = 1
order by site, pump
