-- What each pump was doing: stopped, starting, running, and how hard for itself.
-- Readings mean other things in another regime: a model that knows it is not
-- alarmed by every start.
select
    ts,
    site,
    pump,
    running,
    not running as is_stopped,
    running and not was_running as is_start,
    running and sum(case when running then 0 else 1 end) over lately > 0 as is_warming_up,
    sum(case when running and not was_running then 1 else 0 end) over an_hour as starts_1h,
    avg(case when running then 1.0 else 0.0 end) over an_hour as duty_1h,
    current_a / nullif(max(current_a) over an_hour, 0.0) as load_of_its_own
from (
    select
        *,
        coalesce(lag(running) over (partition by site, pump order by ts), running) as was_running
    from pumps.telemetry
)
window
    lately as (
        partition by site, pump order by ts
        range between interval '5 minutes' preceding and current row
    ),
    an_hour as (
        partition by site, pump order by ts
        range between interval '1 hour' preceding and current row
    )
