-- What has come in since a moment: the table now beside the table as it was.
-- Put in any time or commit of `pumphouse log main`.
select now.pump, now.readings as readings_now, coalesce(before.readings, 0) as readings_then
from (
    select pump, count(*) as readings from main.pumps.telemetry group by pump
) as now
left join (
    select pump, count(*) as readings
    from "main@2026-11-01T00:00:00Z".pumps.telemetry
    group by pump
) as before on before.pump = now.pump
order by now.pump
