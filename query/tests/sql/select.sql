select pump, ts, flow, starts, note from pumps.telemetry order by ts, pump limit 4;
select count(*), count(flow), count(note), min(ts), max(ts), min(flow), max(starts), max(pump) from telemetry;
select date_trunc('day', ts) as day, pump, avg(flow) as flow from pumps.telemetry group by 1, 2 order by 1, 2 limit 5;
select arrow_typeof(ts), arrow_typeof(pump), arrow_typeof(date_trunc('day', ts)) from pumps.telemetry limit 1;
select pump, starts from pumps.telemetry where ts >= '2026-11-02T06:00:00Z' and ts < '2026-11-03' order by pump;
select starts from pumps.telemetry where pump like 'b%' and flow is not null and note is null order by starts;
select starts from pumps.telemetry where flow is null and ts > timestamp '2026-11-04' order by starts;
with latest as (select pump, max(ts) as ts from pumps.telemetry group by pump)
select t.pump, t.flow from pumps.telemetry t join latest l on t.pump = l.pump and t.ts = l.ts order by t.pump;
select ts, flow, lag(flow) over (order by ts) as before from pumps.telemetry where pump = 'a' order by ts desc limit 3;
select starts from pumps.telemetry order by ts desc, pump desc limit 2;
select pump from pumps.telemetry where pump in (select pump from dev.pumps.trial where starts > 719) order by ts limit 2;
explain select count(*) from pumps.telemetry;
select count(*) from generate_series(1, 5);
select 1 as one, 'text' as two, null as three, now() > timestamp '2020-01-01' as four;
select arrow_typeof(now()), (now() - ts) is null as age, ts + interval '1 hour' as later, (ts < now()) is null as past from pumps.telemetry order by ts, pump limit 1;
select date_bin(interval '6 hours', ts) as bin, count(*) as n from pumps.telemetry where ts < '2026-11-02' group by 1 order by 1;
select arrow_typeof(to_timestamp('2026-11-01T00:00:00')), to_timestamp('2026-11-01T00:00:00') = ts as same from pumps.telemetry order by ts, pump limit 1;
