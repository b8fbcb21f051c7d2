-- How much each pump has sent, and when.
select
    site,
    pump,
    count(*) as readings,
    min(ts) as first_reading,
    max(ts) as last_reading
from pumps.telemetry
group by site, pump
order by site, pump
