-- Where the energy of each pump's vibration lies: of the last 64 readings, one a
-- second, as slow, middle and fast changes. What shakes in a rhythm shows as a
-- band that stands out. Of raw samples in a list column it would be
-- band_energy(samples, 1000, 10, 200).
select
    ts,
    site,
    pump,
    spectral_energy(vibration_mm_s, 1, 0.0, 0.05) over recent as vibration_slow,
    spectral_energy(vibration_mm_s, 1, 0.05, 0.2) over recent as vibration_middle,
    spectral_energy(vibration_mm_s, 1, 0.2, 0.51) over recent as vibration_fast,
    spectral_energy(pressure_bar, 1, 0.2, 0.51) over recent as pressure_fast
from pumps.telemetry
window recent as (
    partition by site, pump order by ts rows between 63 preceding and current row
)
