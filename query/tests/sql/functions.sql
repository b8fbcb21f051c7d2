-- three of amplitude at 5 Hz, sampled at 100 Hz for a second
select round(band_energy(array_agg(v order by n), 100, 4, 6), 6) as at_5, round(band_energy(array_agg(v order by n), 100, 10, 50), 6) as above
from (select value as n, 3 * sin(2 * pi() * 5 * value / 100) as v from generate_series(0, 99));

-- over the last four rows: alternating values are at half the rate
select n, round(spectral_energy(v, 1, 0.4, 0.6) over (order by n rows between 3 preceding and current row), 3) as energy
from (values (1, 1.0), (2, -1.0), (3, 1.0), (4, -1.0), (5, 5.0), (6, 5.0), (7, 5.0), (8, 5.0), (9, null)) as t (n, v)
order by n;

select pump, spectral_energy(flow, 1, 0, 0.6 order by ts) from pumps.telemetry group by pump;

select round(band_energy([1.0, -1.0, 1.0, -1.0], 1, 0.4, 0.6), 3) as energy, band_energy([1.0], 1, 0, 1) as too_few, band_energy(null, 1, 0, 1) as none;

select band_energy(make_array(1.0, 2.0), 1, 3, 2);

select band_energy('loud', 1, 0, 1);

select spectral_energy(flow, 0, 0, 1) over (order by ts rows 3 preceding) from pumps.telemetry;
