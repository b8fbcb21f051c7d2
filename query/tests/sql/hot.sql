select count(*), max(ts), count(note) from pumps.telemetry;
select count(*) from "main@{commit 2}".pumps.telemetry;
select count(*) from dev.pumps.telemetry;
select pump, ts, flow, starts, note from pumps.telemetry where ts > '2026-11-04T06:00:00Z' order by ts, pump;
select pump, count(*) from pumps.telemetry where flow > 20 group by pump order by pump;
select starts from pumps.telemetry order by ts desc, pump limit 3;
explain select count(*) from pumps.telemetry;
delete from telemetry where starts >= 900;
select count(*) from telemetry;
