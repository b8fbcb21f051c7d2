-- Messages that could not become rows, by reason, with one payload of each.
select
    reason,
    count(*) as messages,
    max(received_at) as last_seen,
    max(topic) as a_topic,
    max(arrow_cast(payload, 'Utf8')) as a_payload
from ingest.dead_letters
group by reason
order by messages desc
