-- Messages that could not become rows, by reason, with one payload of each that is text.
select
    reason,
    count(*) as messages,
    max(received_at) as last_seen,
    max(topic) as a_topic,
    max(try_cast(payload as varchar)) as a_payload
from ingest.dead_letters
group by reason
order by messages desc
